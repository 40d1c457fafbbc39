"""Observations as an anchor that is near to the data, and the difference from it.

A policy that seeks the data is followed for some steps in a learnt model; where it arrives is the
anchor. It clones imagined trajectories that lead back to the data: a model of predecessors goes
away from a state of the data by actions that hardly change, and each of these actions, in the
predecessor that it was taken in, is a step of the way back. An agent that sees anchors and
differences instead of observations then meets familiar ones of both where the whole is unfamiliar.
Source: Song et al. (2024), "Compositional conservatism: a transductive approach in offline
reinforcement learning", https://arxiv.org/abs/2404.04682, and the authors' code,
https://github.com/runamu/compositional-conservatism.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxrl import models
from jaxrl.cloning import cloned, policy_actors, policy_network
from jaxrl.models.dynamics import vector_size
from jaxrl.networks import flat
from jaxrl.networks.layers import MLP, Dense
from jaxrl.settings import Layers
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update, listed, memoryless
from jaxrl.updates import imagined, together, without_context

fixed = jax.lax.stop_gradient


class Anchored(NamedTuple):
    """Observations [..., D] that are the sum of two vectors."""

    anchor: Array  # [..., D]
    difference: Array  # [..., D]


class Seeker(NamedTuple):
    """A policy that seeks the data, and the models that it is learnt and followed in."""

    update: Update  # it learns from (batch [B, ...], context), of which it ignores the context
    see: Callable[[Tree, Tree, Key], Anchored]  # (view, obs [B, *], key) -> of [B, D]
    spec: Spec  # of what is seen


class Transducer(nn.Module):
    """Features of a pair of inputs that are linear in what is made of each, and an MLP of them.

    Feature t is h_t(x, y) = f_t(x) . g_t(y), for the difference x and the anchor y, each beside the
    action if there is one, and vectors f_t and g_t of `rank` numbers from one MLP each. Without
    `after` the features are these; else an MLP of such layers follows. A module for the doors
    `encoder`, of policies, and `critic_encoder`.
    """

    hidden: Sequence[int] = (64, 64)
    features: int = 64
    rank: int = 4
    after: Sequence[int] = ()
    activation: str = "relu"

    @nn.compact
    def __call__(self, obs: Anchored, action: Array | None = None) -> Array:
        """Features [..., H] of anchored observations [..., D] and, of critics, actions [..., A]."""

        def vectors(x: Array) -> Array:
            x = x if action is None else jnp.concatenate([x, action], -1)
            x = MLP(tuple(self.hidden), self.activation)(x)
            x = Dense(self.features * self.rank, 1.0)(x)
            return x.reshape(*x.shape[:-1], self.features, self.rank)

        product = (vectors(obs.difference) * vectors(obs.anchor)).sum(-1)
        return MLP(tuple(self.after), self.activation)(product)


def seeker(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    horizon: int = 1,
    length: int = 5,
    scale: float | Array = 0.8,
    noise: float | Array = 0.1,
    members: int = 5,
    elites: int = 3,
    model_hidden: Sequence[int] = (200, 200),
    layers: Layers = Layers(),
) -> Seeker:
    """A policy that seeks the data, learnt with its models from the same batches.

    Predecessors are imagined from the successors s' of a batch: with a direction a that is the
    action of another step of the batch,

        a_k = clip(scale a + noise N(0, I)),  s_k ~ p(s | s_{k-1}, a_k),  s_0 = s',

    for k = 1, ..., `length`, and the policy has the loss |pi(s_k) - a_k|^2 / d. An anchor is the
    state after `horizon` steps of the policy in the mean prediction of the elite members.

    Args:
      spec: of observations that are one vector and continuous actions in [-1, 1].
      optimiser: of the two models and of the policy.
      horizon: steps from an observation to its anchor.
      length: steps of imagined ways back.
      scale: factor of the direction.
      noise: standard deviation of the noise on actions.
      members: networks of each model's ensemble.
      elites: members of least error that are used.
      model_hidden: units of the models' hidden layers.
      layers: of the policy.

    Raises:
      InputError: for other observations, or numbers that do not fit.
    """
    size = vector_size(spec)
    policy = policy_network(spec, "gaussian", layers)
    dynamics = models.gaussian_mlp(spec, members, model_hidden)
    fit = models.fitted(dynamics, models.likelihood, optimiser, elites)
    _, seek = policy_actors(policy)
    none = lambda obs: jnp.zeros(len(flat(spec.observation, obs)), bool)

    def away(views: tuple[Tree, Tree], view: Tree, batch: Transition, key: Key) -> Transition:
        """Steps [length * B] that lead back to the data."""
        k_direction, k_roll = jax.random.split(key)
        direction = scale * jax.random.permutation(k_direction, batch.action)

        def act(view: Tree, obs: Tree, key: Key) -> tuple[Array, tuple]:
            drawn = direction + noise * jax.random.normal(key, direction.shape)
            return jnp.clip(drawn, -1.0, 1.0), ()

        model = models.known_termination(models.dispersed(dynamics, views[1], elites), none)
        made, _ = models.branched(
            model, memoryless(act), (), batch.final, k_roll, length, batch.weight
        )
        return listed(made._replace(obs=made.final))

    both = together(fit, backwards(fit))
    imitate = cloned(policy, optimiser, "squared-error", "seeking_loss")
    learn = imagined(imitate, both, away)

    def read(state: Tree) -> tuple[Tree, Tree]:
        return fit.read(state.model[0]), learn.read(state)

    def see(view: tuple[Tree, Tree], obs: Tree, key: Key) -> Anchored:
        model = models.ensemble_model(dynamics, view[0], models.average(), noise=False)
        model = models.known_termination(model, none)
        path, _ = models.branched(model, seek, view[1], obs, key, horizon)
        here = flat(spec.observation, obs)
        anchor = flat(spec.observation, jax.tree.map(lambda x: x[-1], path.final))
        return fixed(Anchored(anchor, here - anchor))

    pair = jax.eval_shape(lambda: Anchored(jnp.zeros(size), jnp.zeros(size)))
    seen = spec._replace(observation=pair, mask=None)

    return Seeker(without_context(learn._replace(read=read)), see, seen)


def backwards(fit: Update) -> Update:
    """Fit a dynamics to the steps from successors back to the observations that they follow."""
    turned = lambda batch: batch._replace(obs=batch.final, final=batch.obs)

    def apply(state: Tree, batch: tuple[Transition, Tree], key: Key) -> tuple[Tree, dict]:
        state, metrics = fit.apply(state, (turned(batch[0]), batch[1]), key)
        return state, {f"backward_{name}": x for name, x in metrics.items()}

    return fit._replace(init=lambda key, example: fit.init(key, turned(example)), apply=apply)


def anchored(agent: Agent, seeker: Seeker) -> Agent:
    """An agent for `seeker.spec` that learns from batches [B, ...], as one of observations.

    The seeker learns from each batch first, and then the agent from what it makes of the batch.
    Put a replay around it: anchors then are always those of the latest models.
    """

    def seen(view: Tree, inner: Tree, batch: Transition, key: Key) -> Transition:
        k_now, k_next = jax.random.split(key)
        obs, final = seeker.see(view, batch.obs, k_now), seeker.see(view, batch.final, k_next)
        return batch._replace(obs=obs, final=final)

    learn = imagined(agent.update, seeker.update, seen)

    def read(state: Tree) -> tuple[Tree, Tree]:
        return seeker.update.read(state.model), agent.update.read(state.inner)

    def seeing(actor: Actor) -> Actor:
        def step(view: tuple, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
            k_see, k_act = jax.random.split(key)
            return actor.step(view[1], memory, seeker.see(view[0], obs, k_see), k_act)

        return Actor(actor.init, step)

    return Agent(seeing(agent.explore), seeing(agent.exploit), learn._replace(read=read))
