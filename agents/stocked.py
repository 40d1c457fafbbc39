"""Stock-conditioned deep Q-learning: it optimises a statistic of the sum of stock and return.

Source: Pires et al. (2025), "Optimizing return distributions with distributional dynamic
programming". See `jaxrl.stock`.
"""

import jax
import numpy as np
import optax
from jax.core import Tracer

from agents import dqn
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import number, record
from jaxrl.networks import Own
from jaxrl.stock import restocked, stock_of, stocked
from jaxrl.types import Agent, Array, Env, Key, Spec, Update


@record
class Hyperparameters(dqn.Hyperparameters):
    """The hyperparameters of stock-conditioned DQN, beyond those of DQN."""

    initial_stock: float = number(0.0)
    """Stock at the start of an episode."""
    lowest_stock: float = number(-10.0)
    """Lower bound of the stock."""
    highest_stock: float = number(10.0)
    """Upper bound of the stock."""
    critic: values.Critic = values.Critic("quantile")
    """Critic's representation of the return."""
    objective: values.Objective = values.Objective("homeostatic", 0.0)
    """Statistic of the sum of stock and return that the agent maximises."""


def bounds(hp: Hyperparameters) -> tuple:
    """The range of stocks; an InputError if it is empty or excludes the initial stock."""
    low, start, high = hp.lowest_stock, hp.initial_stock, hp.highest_stock
    if not any(isinstance(x, Tracer) for x in (low, start, high)):
        within = np.all((np.asarray(low) <= start) & (np.asarray(start) <= high))
        require(
            bool(within),
            f"initial_stock {start} must lie between lowest_stock {low} and highest_stock {high}.",
        )
    return low, high


def world(env: Env, hp: Hyperparameters) -> Env:
    """The environment of one lane, with the stock in its observations."""
    return stocked(env, hp.discount, hp.initial_stock, bounds(hp))


def stocked_dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """DQN on observations with a stock, trained for all stocks within bounds at once.

    The other arguments are those of `dqn`. Raises an InputError as `dqn` does, and if observations
    have no stock.
    """
    require(
        stock_of(spec.observation) is not None,
        "stocked-dqn needs observations with a stock: transform the environment by `stocked`.",
    )

    def draw(key: Key, stock: Array) -> Array:
        low, high = bounds(hp)
        return jax.random.uniform(key, stock.shape, minval=low, maxval=high)

    def schedule(update: Update, _: dqn.Hyperparameters) -> Update:
        return dqn.remember(restocked(update, hp.discount, draw, bounds(hp)), hp)

    own = {"network": network, "optimiser": optimiser}
    return dqn.dqn(spec, hp, representation, statistic, schedule=schedule, **own)
