"""Conservative Q-learning for discrete actions (Kumar et al. 2020): double DQN with a penalty.

Source: "Conservative Q-learning for offline reinforcement learning",
https://arxiv.org/abs/2006.04779.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents import dqn
from agents.offline.cql import fading
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, number, record, static
from jaxrl.networks import Own
from jaxrl.types import Agent, Array, Spec


@record
class Hyperparameters(dqn.Hyperparameters):
    """The hyperparameters of discrete CQL: those of DQN, and of the penalty."""

    conservatism: float = number(1.0, NOT_NEGATIVE)
    """Weight of the penalty in the critic's loss."""
    conservatism_steps: float = static(0.0, NOT_NEGATIVE)
    """Environment steps over which the weight of the penalty falls linearly to 0, beginning anew in
    a run that goes on from another one; 0 keeps it."""
    critic: values.Critic = values.Critic("quantile")
    """Critic's representation of the return."""


def discrete_cql(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """Double DQN with the penalty weight (log sum exp Q(s, .) - Q(s, a)), for discrete actions.

    For a scalar critic in a table, with targets T of actions of frequencies mu, the loss is least
    at Q = T + weight (1 - pi / mu), where pi is the softmax of Q: values are as in the data on
    average, and lower for what the policy prefers. The other arguments are those of `dqn.dqn`.
    Raises an InputError as it does, or for a prioritised replay, which would change frequencies.
    """
    words = "discrete-cql needs a uniform replay of its data: leave prioritised off."
    require(not hp.prioritised, words)

    make = partial(dqn.dqn, spec, hp, representation, network=network, optimiser=optimiser)

    def weighted(weight: float | Array) -> Agent:
        def penalty(value: Array, action: Array) -> Array:
            taken = jnp.take_along_axis(value, action[..., None], -1)[..., 0]
            return weight * (jax.nn.logsumexp(value, -1) - taken)

        return make(penalty=penalty)

    return fading(weighted, hp)
