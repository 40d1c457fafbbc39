"""Returns and advantages along trajectories, time first: [T, ...].

Every function takes `discount` [T, ...], the agent's discount times that of the environment (0 at
termination), `last` [T, ...], true at each episode boundary, and `next_value` [T, ...], the value
of the true successor of each step. A boundary cuts traces, and a truncation bootstraps from its
successor; the end of the array is treated as a truncation.
"""

import jax

from jaxrl.types import Array
import jax.numpy as jnp


def gae(
    reward: Array, discount: Array, last: Array, value: Array, next_value: Array, lam: float | Array
) -> Array:
    """Generalised advantage estimates [T, ...].

    A_t = delta_t + discount_t lam A_{t+1}, delta_t = R_{t+1} + discount_t V(S_{t+1}) - V(S_t),
    where the second term is zero at a boundary. Source: Schulman et al. (2016), equation 16.
    """
    delta = reward + discount * next_value - value
    carry = jnp.where(last, 0.0, lam * discount)

    def step(advantage: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, carry = now
        advantage = delta + carry * advantage
        return advantage, advantage

    _, advantage = jax.lax.scan(
        step, jnp.zeros_like(delta[0]), (delta, carry), reverse=True, unroll=8
    )
    return advantage
