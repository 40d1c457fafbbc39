"""Behaviour cloning conditioned on the return that followed (Emmons et al. 2022, "RvS-R").

A policy learns which actions were taken before which average reward, and acts as if it wanted one.
In a stochastic environment it takes luck for skill. Source: "RvS: What is essential for offline RL
via supervised learning?", https://arxiv.org/abs/2112.10751.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents.offline import bc
from agents.offline.cql import unknown_returns
from jaxrl import returns
from jaxrl.cloning import cloning_loss, policy_actors, policy_network
from jaxrl.conditioned import Conditioned
from jaxrl.data import places
from jaxrl.environments import composed
from jaxrl.fields import number, record
from jaxrl.networks import Own
from jaxrl.normalise import replaying, shown
from jaxrl.settings import Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import descend, enriched, optimiser_for, replayed


@record
class Hyperparameters(bc.Hyperparameters):
    """The hyperparameters of RvS-R: those of behaviour cloning, and the return that is wanted."""

    target: float = number(0.0)
    """Average reward per remaining step that the agent acts for; steps remain until the end of the
    longest episode in the data set."""
    optimisation: Optimisation = Optimisation()
    """How parameters descend the gradient."""
    replay: Replay = Replay(batch_size=16_384)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(1024, 1024))
    """The network's layers."""


def rvs(
    spec: Spec,
    hp: Hyperparameters,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """Cloning of a policy pi(a | s, w), for discrete actions or continuous ones in [-1, 1].

    While it learns, w is the average return to go of the step, see `average_returns`, and while it
    acts it is the `target`. The network sees `Conditioned` observations. Only a data set teaches
    it: steps that are taken later have no weight, since what follows them is not known. `network`
    and `optimiser` take the place of what `hp` describes. Raises an InputError as `bc` does.
    """
    bc.check(spec, hp)
    seen = shown(spec, hp.normalise_observations)
    context = jax.ShapeDtypeStruct((), jnp.result_type(float))
    wider = seen._replace(
        observation=Conditioned(seen.observation, context),
        mask=composed(seen.mask, lambda obs: obs.obs),
    )
    policy = policy_network(wider, hp.policy, hp.network, network)
    axes = len(jax.tree.leaves(seen.observation)[0].shape)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        known = jnp.isfinite(batch.extras)
        obs = Conditioned(batch.obs, jnp.where(known, batch.extras, 0.0))
        error = cloning_loss(policy.at(params["actor"], obs), batch, loss=hp.loss)
        total = (batch.weight * known * error).mean()
        return total, {"policy_loss": total}

    def wanting(params: Tree, obs: Tree) -> Conditioned:
        leaf = jax.tree.leaves(obs)[0]
        lead = leaf.shape[: leaf.ndim - axes]
        return Conditioned(obs, jnp.broadcast_to(jnp.asarray(hp.target, float), lead))

    best = partial(bc.best_episodes, share=hp.best_share)

    def remember(update: Update) -> Update:
        stored = replayed(update, hp)
        return enriched(stored, lambda data: average_returns(best(data)), unknown_returns)

    acting = policy._replace(at=lambda params, obs: policy.at(params, wanting(params, obs)))
    init = lambda key: {"actor": policy.init(key)}
    update = descend(init, loss, optimiser_for(hp, optimiser))
    agent = Agent(*policy_actors(acting), update)
    return replaying(agent, spec, remember, hp.normalise_observations)


def average_returns(data: Transition) -> Transition:
    """The data set [T, B, ...] with the average return to go of each step as `extras`.

    At time t of an episode it is the sum of the rewards from there to its end, over H - t, where H
    is the length of the longest episode. Source: Emmons et al. (2022), in the authors' code.
    """
    one, none = jnp.ones_like(data.reward), jnp.zeros_like(data.reward)
    total = returns.lambda_returns(data.reward, one, data.last, none, 1.0)
    time = places(data.last)
    return data._replace(extras=total / (time.max() + 1 - time))
