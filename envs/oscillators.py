"""Oscillators under control, whose steps are polynomials of state and action.

Both follow a differential equation x' = f(x, u) by Euler's explicit method,
x <- x + time_step f(x, u), so that what a sparse regression of their steps should find is known
exactly: see `jaxrl.models.sparse_dynamics`. Rewards are minus a quadratic cost of the state and the
action before the step, times the length of the step, so that a return approximates an integral over
time. Neither ever terminates.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.environments import begun
from jaxrl.types import Array, Box, Env, Key, Spec, TimeStep


def van_der_pol(
    damping: float | Array = 1.0, strength: float | Array = 2.0, time_step: float | Array = 0.05
) -> Env:
    """Hold a van der Pol oscillator, which is unstable at rest, by a bounded force.

    The place x and the speed y of the observation [2] follow x' = y and
    y' = damping (1 - x^2) y - x + strength u, for an action u in [-1, 1]; the cost is
    x^2 + y^2 + u^2 / 10. An episode begins at a random place and speed in [-2, 2]. Left alone, it
    goes round its limit cycle, of an amplitude near 2.
    """

    def velocity(state: Array, action: Array) -> Array:
        x, y = state
        return jnp.stack([y, damping * (1 - x**2) * y - x + strength * action[0]])

    def cost(state: Array, action: Array) -> Array:
        return jnp.square(state).sum() + 0.1 * jnp.square(action[0])

    start = lambda key: jax.random.uniform(key, (2,), jnp.float32, minval=-2.0, maxval=2.0)
    return _controlled(velocity, cost, start, -1.0, time_step)


def lotka_volterra(
    prey_catch: float | Array = 0.4,
    predator_catch: float | Array = 0.2,
    time_step: float | Array = 0.05,
) -> Env:
    """Fish prey and predators so that their populations stop oscillating.

    The populations x of prey and y of predators in the observation [2] follow
    x' = x - x y - prey_catch x u and y' = -y + x y - predator_catch y u, for an effort u in [0, 1];
    the cost is (x - 1)^2 + (y - 1)^2. An episode begins at random populations in [0.4, 1.6]. Left
    alone, they oscillate about 1 for ever; as fish are only ever taken, it matters when. Source:
    the Lotka-Volterra fishing problem of Sager (2006), https://mintoc.de.
    """

    def velocity(state: Array, action: Array) -> Array:
        (x, y), u = state, action[0]
        return jnp.stack([x - x * y - prey_catch * x * u, -y + x * y - predator_catch * y * u])

    cost = lambda state, action: jnp.square(state - 1.0).sum()
    start = lambda key: jax.random.uniform(key, (2,), jnp.float32, minval=0.4, maxval=1.6)
    return _controlled(velocity, cost, start, 0.0, time_step)


def _controlled(
    velocity: Callable[[Array, Array], Array],
    cost: Callable[[Array, Array], Array],
    start: Callable[[Key], Array],
    least: float,
    time_step: float | Array,
) -> Env:
    """The environment of a differential equation of two numbers and one action in [least, 1]."""

    def init(key: Key) -> tuple[Array, TimeStep]:
        state = start(key)
        return state, begun(state)

    def step(state: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        action = jnp.clip(action, least, 1.0)
        reward = -time_step * cost(state, action)
        state = state + time_step * velocity(state, action)
        return state, begun(state)._replace(reward=reward)

    box = Box(jnp.full(1, least), jnp.ones(1))
    return Env(init, step, Spec(jax.ShapeDtypeStruct((2,), jnp.float32), box), fresh=1.0)
