"""PRDC, TD3 whose actor imitates the nearest action of the data (Ran et al. 2023).

Where TD3+BC imitates the action that was taken in the same state, the actor stays near any action
of the data set that was taken in a similar state. Source: "Policy regularization with dataset
constraint for offline reinforcement learning", https://arxiv.org/abs/2306.06569.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from agents import td3
from agents.offline import td3_bc
from agents.offline.td3_bc import distance, normalised
from jaxrl import values
from jaxrl.buffers import Buffer, everything
from jaxrl.data import nearest
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, number, record
from jaxrl.networks import Own, flat, flat_action, scaled
from jaxrl.normalise import remembering, shown
from jaxrl.types import Agent, Array, Spec, Transition, Tree

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(td3_bc.Hyperparameters):
    """The hyperparameters of PRDC: those of TD3+BC, and of the distance to the data."""

    state_weight: float = number(2.0, NOT_NEGATIVE)
    """Factor of observations beside actions in the distance to the data; with an infinite one the
    nearest action is that of the same step, as in TD3+BC."""


def prdc(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3 with the actor's loss -weight Q(s, pi(s)) / mean |Q| + |pi(s) - a'|^2 / d.

    Here (s', a') is the pair of the data set that is nearest to (s, pi(s)):

        (s', a') = argmin |state_weight (s' - s)|^2 + |a' - pi(s)|^2,

    found among all stored steps at every gradient step, and without a gradient. The other arguments
    are those of `td3.td3`. Raises an InputError as it does, or for n-step returns.
    """
    require(hp.n_step == 1, f"prdc learns from one-step returns: leave n_step {hp.n_step} at 1.")
    td3.check(spec, hp)
    seen = shown(spec, hp.normalise_observations)

    def point(obs: Tree, action: Array) -> Array:
        """Pairs [N, *] as vectors whose distances are compared."""
        state = flat(seen.observation, scaled(seen.observation, obs))
        return jnp.concatenate([hp.state_weight * state, flat_action(seen, action)], -1)

    def loss(value: Array, action: Array, batch: Transition) -> Array:
        stored = batch.extras
        known = jnp.where(stored.weight[:, None] > 0, point(stored.obs, stored.action), jnp.inf)
        index, _ = nearest(known, fixed(point(batch.obs, action)))
        near = stored.action[index[:, 0]]
        return distance(action, near) / action[0].size - hp.value_weight * normalised(value, batch)

    agent = td3.learner(
        seen, hp, representation, actor_loss=loss, network=network, optimiser=optimiser
    )

    def beside(buffer: Buffer) -> Callable[[Transition], Transition]:
        stored = everything(buffer)._replace(extras=())
        return lambda batch: batch._replace(extras=stored)

    return remembering(agent, spec, hp, beside=beside)
