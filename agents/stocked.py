"""Deep Q-learning that obeys a stock: it optimises a statistic of stock and return together.

Source: Pires et al. (2025), "Optimizing return distributions with distributional dynamic
programming". See `jaxrl.stock`.
"""

import jax
from flax import struct

from agents import dqn
from jaxrl import values
from jaxrl.errors import require
from jaxrl.stock import Stocked, relabelled, stocked
from jaxrl.types import Agent, Array, Env, Key, Spec, Update


@struct.dataclass
class Hyperparameters(dqn.Hyperparameters):
    """What stock-conditioned DQN can be told, beyond DQN."""

    initial_stock: float = 0.0
    """The stock at the start of an episode: less than what is wanted, it is to be earned."""
    lowest_stock: float = -10.0
    """The least stock to learn for."""
    highest_stock: float = 10.0
    """The greatest stock to learn for."""
    critic: values.Critic = values.Critic("quantile")
    """What the critic predicts of the return."""
    objective: values.Objective = values.Objective("homeostatic", 0.0)
    """What of stock and return together is to be maximised."""


def bounds(hp: Hyperparameters) -> tuple:
    """The range of stocks."""
    return hp.lowest_stock, hp.highest_stock


def world(env: Env, hp: Hyperparameters) -> Env:
    """The environment that shows the stock, of one lane."""
    return stocked(env, hp.discount, hp.initial_stock, bounds(hp))


def stocked_dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
) -> Agent:
    """DQN on `Stocked` observations, trained for all stocks within bounds at once.

    One network then obeys any stock it is shown. Raises an InputError as `dqn` does, and if
    observations have no stock.
    """
    require(
        isinstance(spec.observation, Stocked),
        "stocked-dqn needs observations with a stock: transform the environment by `stocked`.",
    )

    def draw(key: Key, stock: Array) -> Array:
        low, high = bounds(hp)
        return jax.random.uniform(key, stock.shape, minval=low, maxval=high)

    def schedule(update: Update, _: dqn.Hyperparameters) -> Update:
        return dqn.remember(relabelled(update, hp.discount, draw, bounds(hp)), hp)

    return dqn.dqn(spec, hp, representation, statistic, schedule=schedule)
