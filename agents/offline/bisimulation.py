"""Conservative Q-learning on features with a bisimulation loss, for histories of observations.

Source: Hong et al. (2024), "Offline RL with observation histories: analyzing and improving sample
complexity", https://arxiv.org/abs/2310.20663. Histories are observations of `envs.frame_stack`.
"""

from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxrl.action_values import annealed
from jaxrl.bisimulation import bisimulation_loss
from jaxrl.errors import require, require_discrete
from jaxrl.fields import FRACTION, NOT_NEGATIVE, check_fields, number, record
from jaxrl.networks import blank, inputs
from jaxrl.networks.encoders import torso
from jaxrl.networks.layers import Dense, initialise
from jaxrl.policies import allowed, epsilon_greedy, only_allowed
from jaxrl.settings import Collection, EpsilonGreedy, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import Learner, descend, optimiser_for, polyak, replayed, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of CQL with bisimulation; vmap can sweep those that are not static."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    conservatism: float = number(1.0, NOT_NEGATIVE)
    """Weight of the conservative penalty in the loss."""
    bisimulation: float = number(0.1, NOT_NEGATIVE)
    """Weight of the bisimulation loss of the features."""
    exploration: EpsilonGreedy = EpsilonGreedy()
    """How actions are explored at random."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers; the last has as many units as there are features."""


class Prediction(NamedTuple):
    """What a network says of observations [..., *]."""

    features: Array  # [..., K]
    value: Array  # [..., A]
    reward: Array  # [..., A]
    successor: Array  # [..., A, K]


class Model(nn.Module):
    """Features, values, and predictions of rewards and of the successors' features."""

    encoder: nn.Module
    actions: int

    @nn.compact
    def __call__(self, obs: Tree) -> Prediction:
        """The predictions for observations; those of the model do not shape the features."""
        x = cast(Array, self.encoder(obs))
        still = nn.relu(Dense(x.shape[-1])(fixed(x)))
        after = Dense(self.actions * x.shape[-1], 1.0)(still)
        after = after.reshape(*x.shape[:-1], self.actions, x.shape[-1])
        return Prediction(x, Dense(self.actions, 1.0)(x), Dense(self.actions, 1.0)(still), after)


def bisimulation_cql(
    spec: Spec, hp: Hyperparameters, *, optimiser: optax.GradientTransformation | None = None
) -> Agent:
    """Double DQN with the penalty of CQL, on features with a bisimulation loss.

    For features phi, values Q that are linear in them, and predictions r and z of the reward and of
    the successor's features, the loss is

        (Q(s, a) - target)^2 / 2 + conservatism (log sum exp Q(s, .) - Q(s, a))
        + (r(s, a) - reward)^2 / 2 + |z(s, a) - phi(s')|^2 / 2
        + bisimulation times that of jaxrl.bisimulation.bisimulation_loss.

    The losses of r and z have no gradient by phi. `optimiser` takes the place of what `hp`
    describes. Raises an InputError if the hyperparameters do not fit each other, or actions are
    continuous.
    """
    check(spec, hp)
    encoder = torso(spec.observation, **vars(hp.network))
    model = Model(encoder, require_discrete(spec, "bisimulation-cql").num)

    def predicted(params: Tree, obs: Tree) -> Prediction:
        return cast(Prediction, model.apply(params, inputs(spec, encoder, obs)))

    def init(key: Key) -> Tree:
        return initialise(model, key, inputs(spec, encoder, blank(spec)))

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        now, rows = predicted(params, batch.obs), jnp.arange(len(batch.reward))
        after, lasting = predicted(params, batch.final), predicted(target, batch.final)
        best = only_allowed(after.value, allowed(spec, batch.final)).argmax(-1)
        aim = batch.reward + hp.discount * batch.discount * lasting.value[rows, best]
        taken = now.value[rows, batch.action]
        error = optax.l2_loss(taken, fixed(aim))
        mass = jax.nn.logsumexp(only_allowed(now.value, allowed(spec, batch.obs)), -1)
        alike = bisimulation_loss(
            now.features, now.reward, now.successor, batch.action, hp.discount, batch.weight
        )
        # Nothing follows a termination: its features are as good as zero.
        following = fixed(lasting.features) * (batch.discount != 0)[:, None]
        fit = optax.l2_loss(now.reward[rows, batch.action], batch.reward)
        fit = fit + optax.l2_loss(now.successor[rows, batch.action], following).sum(-1)
        each = error + hp.conservatism * (mass - taken) + hp.bisimulation * alike + fit
        metrics = {"critic_loss": error.mean(), "bisimulation_loss": alike.mean()}
        metrics |= {"model_loss": fit.mean(), "value": taken.mean()}
        return (batch.weight * each).mean(), metrics

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        value = predicted(view.params, obs).value
        policy = epsilon_greedy(value, annealed(hp.exploration, view.step), allowed(spec, obs))
        return cast(Array, policy.sample(seed=key)), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        value = only_allowed(predicted(view.params, obs).value, allowed(spec, obs))
        return value.argmax(-1), ()

    update = descend(init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    return Agent(memoryless(explore), memoryless(exploit), replayed(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "bisimulation-cql")
    check_fields(hp)
    words = "bisimulation-cql needs a hidden layer, whose last units are the features."
    require(len(hp.network.hidden) > 0, words)
    require_buffer(hp)
