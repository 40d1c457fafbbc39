"""Constrained processes: the best policy whose discounted costs stay below limits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP
from jaxrl.dp.scalar import soft_value_iteration
from jaxrl.dp.successor import occupancy
from jaxrl.errors import require, require_positive
from jaxrl.types import Array


class Constrained(NamedTuple):
    """An approximate solution of a constrained process."""

    occupancy: Array  # [S, A] of the policy, which is in general random
    multipliers: Array  # [K] prices of the costs
    value: Array  # [] discounted reward
    costs: Array  # [K] discounted costs


def constrained_occupancy(
    mdp: TabularMDP,
    costs: Array,
    limits: Array,
    gamma: float | Array,
    steps: int = 500,
    rate: float | Array = 0.1,
    temperature: float | Array = 0.01,
) -> Constrained:
    """Maximise the return subject to discounted costs [K, S, A] of at most `limits` [K].

    Prices of the costs ascend the dual, lambda <- max(0, lambda + rate_t (cost - limit)) with
    rate_t = rate / sqrt(t), each against a policy that is best for reward - lambda cost with a
    small entropy bonus; the second half of the occupancies is averaged. An optimal policy may have
    to be random, which none of the policies of a Lagrangian is, but their average. The exact
    optimum is a linear programme of occupancies. Raises `InputError` unless there is a limit for
    each cost. Source: Altman (1999), "Constrained Markov decision processes", chapter 3.

    Examples:
        >>> costs = jnp.array([[[0.0, 0.0], [1.0, 1.0]]])  # to be in state 1
        >>> found = dp.constrained_occupancy(mdp, costs, jnp.array([1.0]), 0.5, steps=20)
        >>> print(found.value, found.multipliers)  # the limit is not reached: try, then stop
        2.0 [0.]
    """
    require_positive(steps=steps)
    states, actions = mdp.transition.shape[:2]
    require(
        costs.shape == (len(limits), states, actions),
        f"{len(limits)} limits need costs [{len(limits)}, {states}, {actions}], not {costs.shape}.",
    )
    reward = (mdp.transition * mdp.reward).sum(-1)

    def step(prices: Array, t: Array) -> tuple[Array, tuple[Array, Array]]:
        paid = reward - jnp.einsum("k,ksa->sa", prices, costs)
        priced = mdp._replace(reward=jnp.broadcast_to(paid[..., None], mdp.transition.shape))
        q = soft_value_iteration(priced, gamma, temperature).theta
        mu = occupancy(mdp, jax.nn.softmax(q / temperature), gamma)
        excess = (costs * mu).sum((1, 2)) - limits
        new = jnp.maximum(prices + rate / jnp.sqrt(t + 1.0) * excess, 0.0)
        return new, (mu, prices)

    _, (visits, prices) = jax.lax.scan(step, jnp.zeros(len(limits)), jnp.arange(steps))
    mu, price = visits[steps // 2 :].mean(0), prices[steps // 2 :].mean(0)
    return Constrained(mu, price, (mu * reward).sum(), (costs * mu).sum((1, 2)))
