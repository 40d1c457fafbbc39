"""Values of goals, distances and scores, against exact ones in numpy."""

from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.goals import distances, transitions
from jaxrl import goals, settings
from jaxrl.conditioned import Conditioned
from jaxrl.goals import Wanted
from jaxrl.types import Goals, Transition, Update

STATE = Goals(jax.ShapeDtypeStruct((), jnp.int32), lambda obs: obs, lambda a, g: a == g)
table = lambda params, obs, goal: params[obs, goal][..., None] * jnp.ones(2)


def expectile(targets, level):
    """The expectile of equally likely targets, by bisection."""
    low, high = targets.min(), targets.max()
    for _ in range(200):
        middle = (low + high) / 2
        above = level * np.maximum(targets - middle, 0).sum()
        below = (1 - level) * np.maximum(middle - targets, 0).sum()
        low, high = (middle, high) if above > below else (low, middle)
    return middle


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_loss_is_least_at_expectiles_over_steps(level):
    """Of all actions in all states of a maze, for all goals; there the gradient is zero."""
    graph, gamma = transitions("u"), 0.8
    count = len(graph)
    value = np.zeros((count, count))
    for _ in range(60):
        value = np.array([
            [0.0 if s == g else expectile(-1 + gamma * value[graph[s], g], level)
             for g in range(count)]
            for s in range(count)
        ])  # fmt: skip
    state, action, goal = (jnp.asarray(x.ravel()) for x in np.mgrid[:count, :4, :count])
    after = jnp.asarray(graph)[state, action]

    def loss(params, target):
        each = goals.goal_value_loss(table, params, target, STATE, state, after, goal, gamma, level)
        return each.sum()

    slope = jax.jit(jax.grad(loss))
    exact = jnp.asarray(value, jnp.float32)
    np.testing.assert_allclose(slope(exact, exact), 0.0, atol=2e-4)
    # One tenth away it is not.
    away = np.asarray(slope(exact + 0.1, exact))
    assert (away > 0.05).all()


def test_the_best_step_counts_as_the_level_tends_to_one():
    """Then values are those of the shortest paths, -(1 - gamma^d) / (1 - gamma)."""
    graph, gamma, level = transitions("u"), 0.8, 1 - 1e-6
    far = distances("u")
    value = -(1 - gamma**far) / (1 - gamma)
    for s in range(len(graph)):
        for g in range(len(graph)):
            if s != g:
                found = expectile(-1 + gamma * value[graph[s], g], level)
                np.testing.assert_allclose(found, value[s, g], atol=1e-4)


def test_luck_is_taken_for_skill():
    """A risky step leads to 0 once in ten times and else to -10: the mean would be -9."""
    aims = jnp.array([0.0] + [-10.0] * 9)
    after = jnp.arange(1, 11)

    def slope(level, value):
        params = jnp.concatenate([value[None], aims + 1.0])[:, None] * jnp.ones((1, 12))
        loss = lambda params, target: goals.goal_value_loss(
            table, params, target, STATE, jnp.zeros(10, int), after, jnp.full(10, 11), 1.0, level
        ).sum()
        return jax.grad(loss)(params, params)[0, 11]

    levels = jnp.array([0.5, 0.7, 0.9, 0.99])
    found = jax.jit(jax.vmap(slope))(levels, jnp.array([-9.0, -7.9411765, -5.0, -0.8333333]))
    np.testing.assert_allclose(found, 0.0, atol=1e-4)


def test_options_end_at_their_goals_and_with_their_episodes():
    """With options of n steps the value of a walk is that of ceil(d / n) of them."""
    steps, gamma, size = 12, 0.9, 3
    place = jnp.arange(steps)[:, None]
    one = jnp.ones((steps, 1))
    last = place % 6 == 5
    see = lambda x: Conditioned(x, x)
    data = Transition(see(place), place, -one, one, last, see(place + 1), (), one)
    hp = SimpleNamespace(
        collection=settings.Collection(num_envs=1),
        replay=settings.Replay(buffer_size=steps, batch_size=200),
    )

    def learn(state, batch, key):
        found = goals.stored(batch)
        ahead = jax.random.randint(key, found.now.shape, 1, 100) % found.remaining + 1
        wanted = Wanted(found.now + ahead, ahead)
        told = [goals.optioned(found, wanted, n) for n in (1, size)]
        places = jnp.arange(steps + 1)
        gap = jnp.clip(places[None] - places[:, None], 0)
        exact = -(1 - gamma ** jnp.ceil(gap / size)) / (1 - gamma)
        slope = jax.grad(lambda params, target: goals.goal_value_loss(
            table, params, target, STATE, found.now, told[1], wanted.goal, gamma, 0.7
        ).sum())(exact, exact)  # fmt: skip
        return state, {"now": found.now, "ahead": ahead, "told": told, "slope": slope}

    update = goals.remembered(Update(lambda key, example: (), learn, lambda state: state), hp)

    @jax.jit
    def run(key):
        return update.apply(update.init(key, data), jax.tree.map(lambda x: x[:0], data), key)[1]

    found = jax.tree.map(lambda x: np.asarray(x[0]), run(jax.random.key(0)))
    now, ahead = found["now"], found["ahead"]
    np.testing.assert_array_equal(found["told"][0], now + 1)
    np.testing.assert_array_equal(found["told"][1], now + np.minimum(ahead, size))
    assert ((now + ahead - 1) // 6 == now // 6).all() and {*now} == {*range(steps)}
    np.testing.assert_allclose(found["slope"], 0.0, atol=2e-4)


def union(left, right):
    """The length of the union of intervals, by sweeping over their ends."""
    ends = sorted({*left, *right})
    inside = lambda x: any(a <= x < b for a, b in zip(left, right))
    return sum(b - a for a, b in pairwise(ends) if inside(a))


def test_distances_have_the_laws_of_paths():
    for x, y, there, back in (((0, 1), (2, 3), 3, 0), ((0, 1), (2, 1.5), 2, 0)):
        x, y = jnp.array(x, float), jnp.array(y, float)
        assert goals.interval_distance(x, y) == there and goals.interval_distance(y, x) == back
    line = jnp.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    d = lambda a, b: goals.residual_distance(line[a], line[b])
    assert d(0, 2) <= d(0, 1) + d(1, 2)  # squares of them would be 4 and 1 + 1
    x = jax.random.normal(jax.random.key(0), (40, 24))
    for name, metric in goals.METRICS.items():
        every = jax.jit(lambda x, metric=metric: metric(x[:, None], x[None], 0.3))
        far = np.asarray(every(x))
        np.testing.assert_allclose(np.diagonal(far), 0.0, atol=1e-6)
        assert (far[:, None] <= far[..., None] + far[None] + 1e-5).all(), name
        assert (np.abs(far - far.T) > 0.1).mean() > 0.5, name
        slope = jax.grad(lambda x, metric=metric: metric(x, x, 0.3).sum())(x)
        assert np.isfinite(slope).all()
        if name == "iqe":
            for i, j in ((0, 1), (2, 3), (5, 4)):
                left, right = (np.asarray(z).reshape(3, 8) for z in (x[i], jnp.maximum(x[i], x[j])))
                parts = [union(a, b) for a, b in zip(left, right)]
                wanted = 0.3 * np.mean(parts) + 0.7 * max(parts)
                np.testing.assert_allclose(far[i, j], wanted, rtol=1e-5)


def test_the_best_scores_are_ratios_of_discounted_occupancies():
    """There the mean gradient of many batches is zero, up to the error of the mean.

    In batches of N the binary score is the logarithm of the ratio, less that of N - 1, and softmax
    scores may have any function of the pair, or of the goal, beside it.
    """
    states, gamma, size, batches = 4, 0.7, 6, 20_000
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(states), size=states)
    after = (1 - gamma) * np.linalg.inv(np.eye(states) - gamma * p) @ p  # [s, g]
    begin = rng.dirichlet(np.ones(states))
    ratio = np.log(after / (begin @ after))
    c = rng.normal(size=states)
    best = {
        "binary": ratio - np.log(size - 1),
        "forward": ratio + c[:, None],
        "backward": ratio + c[None],
    }

    def slopes(scores, kind, key):
        def loss(scores, s, g):
            return goals.CONTRASTS[kind](scores[s[:, None], g[None]], jnp.ones(size))

        k_state, k_goal = jax.random.split(key)
        s = jax.random.categorical(k_state, jnp.log(begin), shape=(batches, size))
        g = jax.random.categorical(k_goal, jnp.log(after)[s])
        each = jax.vmap(jax.grad(loss), (None, 0, 0))(scores, s, g)
        return each.mean(0), each.std(0) / batches**0.5

    for kind, scores in best.items():
        shift = jnp.array([0.0, 0.3])[:, None, None] * jnp.asarray(rng.choice([-1, 1], (4, 4)))
        tried = jnp.asarray(scores) + shift  # the best ones, and others
        run = jax.jit(jax.vmap(lambda x, kind=kind: slopes(x, kind, jax.random.key(1))))
        mean, error = map(np.asarray, run(tried))
        assert (np.abs(mean[0]) < 5 * error[0]).all(), kind
        assert (np.abs(mean[1]) > 5 * error[1]).any(), kind
