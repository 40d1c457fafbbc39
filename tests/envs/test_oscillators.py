"""Oscillators under control, against scipy's integrator and against their coefficients."""

from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import envs
from jaxrl import models
from jaxrl.environments import require_box, vectorize
from jaxrl.types import Transition

# The right-hand sides, written again from the literature.
FIELDS = {
    "van-der-pol": lambda s, u: [s[1], 0.8 * (1 - s[0] ** 2) * s[1] - s[0] + 1.5 * u],
    "lotka-volterra": lambda s, u: [
        s[0] * (1 - s[1] - 0.3 * u), s[1] * (s[0] - 1 - 0.1 * u)
    ],
}  # fmt: skip
COSTS = {
    "van-der-pol": lambda s, u: s[0] ** 2 + s[1] ** 2 + 0.1 * u**2,
    "lotka-volterra": lambda s, u: (s[0] - 1) ** 2 + (s[1] - 1) ** 2,
}
MAKERS = {"van-der-pol": envs.van_der_pol, "lotka-volterra": envs.lotka_volterra}
PARAMS = {
    "van-der-pol": dict(damping=0.8, strength=1.5),
    "lotka-volterra": dict(prey_catch=0.3, predator_catch=0.1),
}
# The coefficients of one step of length 0.1, by the name of the product.
TABLES = {
    "van-der-pol": {
        "x": {"x": 1.0, "y": 0.1},
        "y": {"x": -0.1, "y": 1.08, "xxy": -0.08, "u": 0.15},
        "r": {"xx": -0.1, "yy": -0.1, "uu": -0.01},
    },
    "lotka-volterra": {
        "x": {"x": 1.1, "xy": -0.1, "xu": -0.03},
        "y": {"y": 0.9, "xy": 0.1, "yu": -0.01},
        "r": {"1": -0.2, "x": 0.2, "y": 0.2, "xx": -0.1, "yy": -0.1},
    },
}
NAMES = ["1"] + ["".join(c) for n in (1, 2, 3) for c in combinations_with_replacement("xyu", n)]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("u", [0.0, 0.7])
def test_steps_follow_the_differential_equation_the_closer_the_shorter(name, u):
    """Euler's method is of the first order: four times the steps, a quarter of the error."""
    start = np.array([0.6, 0.9])
    whole = lambda t, s: [*FIELDS[name](s, u), COSTS[name](s, u)]
    exact = solve_ivp(whole, (0, 4), [*start, 0.0], rtol=1e-9, atol=1e-11).y[:, -1]
    errors = []
    for steps in (400, 1600):
        env = MAKERS[name](**PARAMS[name], time_step=4 / steps)

        def step(state, _, env=env):
            return env.step(state, jnp.array([u]), jax.random.key(0))

        run = jax.jit(lambda s, step=step, n=steps: jax.lax.scan(step, s, None, n)[1])
        now = run(jnp.array(start, jnp.float32))
        found = [*np.asarray(now.obs)[-1], -np.asarray(now.reward, np.float64).sum()]
        errors.append(np.abs(found - exact).max())
        assert not now.last.any() and (now.discount == 1).all()
    assert errors[0] < 0.2 and errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("name", TABLES)
def test_their_coefficients_are_recovered_from_two_hundred_random_steps(name):
    env = vectorize(envs.make(name, **PARAMS[name], time_step=0.1), 10)
    k_start, k_act = jax.random.split(jax.random.key(0))
    state, first = env.init(k_start)
    low = require_box(env, name).low
    action = low + (1 - low) * jax.random.uniform(k_act, (20, 10, 1))

    @jax.jit
    def fitted(state, obs, action):
        def step(carry, action):
            state, obs = carry
            state, now = env.step(state, action, jax.random.key(0))
            return (state, now.obs), (obs, now)

        _, (obs, now) = jax.lax.scan(step, (state, obs), action)
        one = jnp.ones_like(now.reward)
        data = Transition(obs, action, now.reward, one, now.last, now.final, (), one)
        update = models.sparse_dynamics(env.spec, models.polynomials(3), 0.005)
        return update.read(update.init(jax.random.key(0), data))[0]

    expected = np.array([[TABLES[name][k].get(n, 0.0) for k in "xyr"] for n in NAMES])
    found = np.asarray(fitted(state, first.obs, action))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_array_equal(found != 0, expected != 0)


@pytest.mark.parametrize("name", FIELDS)
def test_they_keep_the_rules_of_environments_and_actions_beyond_the_bounds_are_clipped(name):
    envs.check(envs.make(name, max_steps_in_episode=30), steps=70)
    env = envs.make(name)
    state, _ = env.init(jax.random.key(1))
    after = [env.step(state, jnp.array([u]), jax.random.key(0))[1].obs for u in (1.0, 9.0)]
    np.testing.assert_array_equal(*after)
    with pytest.raises(ValueError, match="no parameter 'dampin"):
        envs.make("van-der-pol", dampin=1)
