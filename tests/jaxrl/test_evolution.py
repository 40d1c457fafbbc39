"""Population-based training on problems whose solutions are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import ppo
from jaxrl.errors import InputError
from jaxrl.evolution import Range, evolved, evolving

KEY = jax.random.key(7)


def scan(pbt, key, generations):
    """The end of an evolution, and what came of its generations."""
    run = lambda now: jax.lax.scan(lambda x, _: pbt.step(x), now, None, generations)
    return jax.jit(lambda key: run(pbt.init(key)))(key)


def test_two_surrogates_find_what_neither_finds_alone():
    """Jaderberg et al. (2017), figure 2: maximise 1.2 - a^2 - b^2 by gradients of h0 a^2 + h1 b^2.

    With h fixed at (1, 0) or (0, 1) one of a and b stays at 0.9: 1.2 - 0.81 = 0.39.
    """
    ranges = {"a": Range(0.0, 1.0), "b": Range(0.0, 1.0)}
    init = lambda key, h: jnp.array([0.9, 0.9])

    def train(theta, h, key):
        weights = jnp.stack([h["a"], h["b"]])
        return jax.lax.fori_loop(0, 4, lambda _, x: x - 0.02 * 2 * weights * x, theta)

    score = lambda theta, h, key: 1.2 - (theta**2).sum()
    fixed = train(init(None, None), {"a": jnp.ones(()), "b": jnp.zeros(())}, None)
    assert score(fixed, None, None) < 0.39
    pbt = evolving(init, train, score, ranges, 4)
    seeds = jax.random.split(KEY, 16)
    _, told = jax.jit(jax.vmap(lambda key: scan(pbt, key, 60)))(seeds)
    best = np.asarray(told.scores[:, -1].max(-1))
    assert np.median(best) > 1.15 and best.min() > 0.8


def noisy_quadratic(members, share):
    """Descend x^2 / 2 in 256 dimensions from 100, with gradients whose noise has variance 1.

    After t steps of rate r the mean square is 1e4 (1 - r)^2t + r / (2 - r) (1 - (1 - r)^2t): the
    best rate is 1 at first, and then falls like 1 / t.
    """

    def train(x, numbers, key):
        def step(i, x):
            noise = jax.random.normal(jax.random.fold_in(key, i), x.shape)
            return x - numbers["rate"] * (x + noise)

        return jax.lax.fori_loop(0, 4, step, x)

    init = lambda key, numbers: jnp.full(256, 100.0)
    score = lambda x, numbers, key: -jnp.log(jnp.square(x).mean())
    return evolving(init, train, score, {"rate": Range(1e-3, 1.0, log=True)}, members, share)


def test_a_schedule_is_found_that_beats_every_fixed_rate():
    t, rates = 4 * 15, np.linspace(1e-3, 1, 1000)
    kept = (1 - rates) ** (2 * t)
    best_fixed = (1e4 * kept + rates / (2 - rates) * (1 - kept)).min()  # in closed form
    seeds = jax.random.split(KEY, 8)
    _, told = jax.jit(jax.vmap(lambda key: scan(noisy_quadratic(16, 0.25), key, 15)))(seeds)
    found = np.exp(-np.asarray(told.scores[:, -1].max(-1)))
    assert np.median(found) < 0.6 * best_fixed
    # Without selection, numbers stay what they were and the law of fixed rates holds.
    _, told = scan(noisy_quadratic(16, 0.0), KEY, 15)
    np.testing.assert_array_equal(told.parents, np.tile(np.arange(16), (15, 1)))
    rate = np.asarray(told.numbers["rate"])
    np.testing.assert_array_equal(rate, np.tile(rate[:1], (15, 1)))
    kept = (1 - rate[-1]) ** (2 * t)
    expected = 1e4 * kept + rate[-1] / (2 - rate[-1]) * (1 - kept)
    spread = np.abs(np.log(np.exp(-np.asarray(told.scores[-1])) / expected))
    assert spread.max() < 0.6  # five deviations of a mean of 256 squares: 5 sqrt(2 / 256) = 0.44


def test_the_worst_take_over_whole_runs_of_the_best():
    """Scores are the members' marks, of which one is not a number."""
    marks = jnp.array([3.0, jnp.nan, 5.0, 1.0, 4.0, 2.0, 9.0, 6.0])
    init = lambda key, numbers: {"mark": jnp.zeros(()), "memory": jax.random.normal(key, (3,))}
    train = lambda run, numbers, key: run
    pbt = evolving(init, train, lambda run, *_: run["mark"], {"x": Range(1.0, 2.0)}, 8, anew=0.0)
    now = pbt.init(KEY)
    now = now._replace(runs=now.runs | {"mark": marks})
    after, told = jax.jit(pbt.step)(now)
    parents = np.asarray(told.parents)
    assert {parents[1], parents[3]} <= {6, 7}  # the two worst copy from the two best
    others = [0, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(parents[others], others)
    for name in ("mark", "memory"):
        np.testing.assert_array_equal(after.runs[name], now.runs[name][parents])
    x, before = np.asarray(after.numbers["x"]), np.asarray(now.numbers["x"])
    np.testing.assert_array_equal(x[others], before[others])
    for i in (1, 3):
        options = np.clip(before[parents[i]] * np.array([0.8, 1.25]), 1.0, 2.0)
        assert np.isclose(x[i], options, rtol=1e-6).any()


def test_what_cannot_evolve_is_refused():
    make = lambda *args, **kwargs: evolving(None, None, None, *args, **kwargs)
    for arguments, message in (
        (({"x": Range(0.0, 1.0)}, 1), "two members"),
        (({}, 4), "at least one number"),
        (({"x": Range(1.0, 1.0)}, 4), "empty"),
        (({"x": Range(0.0, 1.0, True)}, 4), "logarithms"),
        (({"x": Range(0.0, 1.0)}, 4, 0.9), "0.5"),
    ):
        with pytest.raises(InputError, match=message):
            make(*arguments)


def test_an_agent_evolves_and_resumes_exactly():
    env, hp = envs.make("chain"), ppo.Hyperparameters(num_envs=2, rollout_length=8, hidden=(4,))
    ranges = {"learning_rate": Range(1e-4, 1e-2, log=True), "discount": Range(0.9, 0.99)}
    pbt = evolved(ppo.ppo, env, hp, ranges, 4, 200, 3, episodes=2)
    step = jax.jit(pbt.step)
    states = [jax.jit(pbt.init)(KEY)]
    for _ in range(3):
        states.append(step(states[-1])[0])
    again = step(jax.tree.map(jnp.copy, states[2]))[0]
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(states[3]), strict=True):
        same = jax.random.key_data if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else jnp.asarray
        np.testing.assert_array_equal(same(a), same(b))
    # 3 generations of at least 200 steps in all, 16 in an update: 5 updates each.
    assert int(states[3].runs.step.value) == 15 and int(states[3].generation.value) == 3
    with pytest.raises(TypeError):
        evolved(ppo.ppo, env, hp, {"lerning_rate": Range(0.0, 1.0)}, 4, 200, 3)
