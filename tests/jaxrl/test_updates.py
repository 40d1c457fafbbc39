"""Update transforms against loops in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import chisquare

from jaxrl import updates
from jaxrl.types import Transition, Update, population_axes
from jaxrl.updates import onpolicy

KEY = jax.random.key(0)
# An update whose state is nothing and whose metrics are what it was given.
ECHO = Update(
    lambda key, example: (), lambda state, batch, key: ((), {"batch": batch}), lambda s: s
)


def stream(steps, lanes, seed=0):
    """Transitions [T, B] numbered by their observation, with boundaries of both kinds."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, (steps, lanes), p=(0.6, 0.2, 0.2))
    number = np.arange(steps * lanes, dtype=np.float32).reshape(steps, lanes)
    return Transition(
        obs=number, action=number.astype(np.int32), reward=np.float32(rng.normal(size=kind.shape)),
        discount=np.float32(kind != 1), last=kind != 0, final=number + np.float32(0.5),
        extras=(), weight=np.ones(kind.shape, np.float32),
    )  # fmt: skip


def applied(update, state, data):
    """The state and the metrics of one program of an update, in numpy."""
    return jax.tree.map(np.asarray, jax.jit(update.apply)(state, data, KEY))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_n_step_transitions_give_the_n_step_target(n):
    """Agent's target r + gamma d V(final), from the fold, is the sum by its definition."""
    gamma, data = 0.9, stream(n, 50)
    out = applied(updates.n_step(ECHO, gamma), (), data)[1]["batch"]
    value = lambda final: np.sin(np.asarray(final))
    target = out.reward + gamma * out.discount * value(out.final)
    for lane in range(50):
        total, scale = 0.0, 1.0
        for t in range(n):
            total += scale * float(data.reward[t, lane])
            scale *= gamma
            if data.last[t, lane]:
                break
        alive = float(data.discount[t, lane])
        expected = total + scale * alive * value(data.final[t, lane])
        np.testing.assert_allclose(target[lane], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out.obs, data.obs[0])
    np.testing.assert_array_equal(out.action, data.action[0])


def test_epochs_visit_every_step_once_in_each_pass_in_a_new_order():
    data = stream(8, 6)
    seen = applied(updates.epochs(ECHO, passes=3, minibatches=4), (), data)[1]["batch"]
    obs = seen.obs.reshape(3, -1)
    assert seen.obs.shape == (3, 4, 1, 12)
    for one in obs:
        np.testing.assert_array_equal(np.sort(one), np.arange(48))
    assert (obs[0] != obs[1]).any() and (obs[1] != obs[2]).any()


def shuffles(size, draws):
    """Orders [draws, size], each of a key of its own."""
    draw = jax.vmap(lambda k: onpolicy.shuffled(k, size))
    return np.asarray(jax.jit(lambda key: draw(jax.random.split(key, draws)))(KEY))


@pytest.mark.parametrize("size", [1, 7, 30, 64, 120, 512])
def test_a_shuffle_is_a_permutation_and_a_fresh_one_for_each_key(size):
    orders = shuffles(size, 50)
    np.testing.assert_array_equal(np.sort(orders), np.broadcast_to(np.arange(size), (50, size)))
    assert size < 30 or len({tuple(order) for order in orders}) == 50


def test_a_shuffle_sends_every_item_and_every_pair_anywhere():
    size, draws = 64, 20_000
    orders = shuffles(size, draws)
    place = np.argsort(orders)  # [draws, size]: where each item comes to lie
    for item in (0, 9, 63):
        assert chisquare(np.bincount(place[:, item], minlength=size)).pvalue > 1e-3
    # How often two items share a minibatch of 16: neighbours in a row, in a column, and others.
    expected = draws * 15 / 63
    for other in (1, 8, 9, 63):
        together = (place[:, 0] // 16 == place[:, other] // 16).sum()
        assert chisquare([together, draws - together], [expected, draws - expected]).pvalue > 1e-3


def test_epochs_keep_sequences_whole():
    data = stream(8, 6)
    seen = applied(updates.epochs(ECHO, 1, 2, length=4), (), data)[1]["batch"]
    assert seen.obs.shape == (1, 2, 4, 6)
    starts = seen.obs[:, :, 0]
    for step in range(4):
        np.testing.assert_array_equal(seen.obs[:, :, step], starts + 6 * step)  # of one lane
    with pytest.raises(ValueError, match="do not divide into 5 minibatches"):
        onpolicy.check_divisible(8, 6, 5)


def test_target_follows_the_parameters_after_the_step():
    """The target moves to what the parameters have become, not to what they were."""
    loss = lambda params, target, batch, key: (params * batch, {})
    init = lambda key: jnp.array(1.0)
    update = updates.descend(init, loss, optax.sgd(0.1), updates.polyak(0.5))
    state, _ = applied(update, jax.jit(update.init)(KEY, None), np.float32(2.0))
    np.testing.assert_allclose((state.params, state.target), (0.8, 0.9), rtol=1e-6)
    late = updates.every(3, updates.polyak(1.0))
    update = updates.descend(init, loss, optax.sgd(0.1), late)
    state, targets, apply = jax.jit(update.init)(KEY, None), [], jax.jit(update.apply)
    for _ in range(6):
        state, _ = apply(state, np.float32(1.0), KEY)
        targets.append(float(state.target))
    np.testing.assert_allclose(targets, [1, 1, 0.7, 0.7, 0.7, 0.4], rtol=1e-5)


def test_replay_draws_uniformly_from_all_that_is_stored():
    update = updates.replay(ECHO, rows=10, batch_size=64, updates=500)
    state = jax.jit(update.init)(KEY, stream(4, 2))
    later = stream(2, 2, seed=1)._replace(obs=np.full((2, 2), 101, np.float32))
    _, metrics = applied(update, state, later)
    values, counts = np.unique(metrics["batch"].obs, return_counts=True)
    np.testing.assert_array_equal(values, [*range(8), 101])
    shares = counts / counts.sum()
    np.testing.assert_allclose(shares, [1 / 12] * 8 + [4 / 12], rtol=0.05)


def test_prioritised_replay_prefers_surprise_and_corrects_for_it():
    """Shares are p^a / sum p^a, and the weights are (N P)^-b over the largest of a batch."""

    def learn(state, batch, key):
        return state, {"batch": batch, "priority": 1.0 + batch.obs[0]}

    update = updates.prioritised(
        ECHO._replace(apply=learn),
        rows=8,
        batch_size=32,
        updates=2000,
        exponent=0.5,
        correction=0.7,
    )

    @jax.jit
    def run(first, second, nothing):
        state, _ = update.apply(update.init(KEY, first), second, KEY)
        return update.apply(state, nothing, jax.random.key(1))[1]["batch"]

    second = stream(4, 1)._replace(obs=np.arange(4, 8, dtype=np.float32)[:, None])
    nothing = jax.tree.map(lambda x: x[:0], stream(4, 1))
    batch = run(stream(4, 1), second, nothing)
    drawn = np.asarray(batch.obs).reshape(2000, 32)
    expected = np.sqrt(1.0 + np.arange(8))
    expected /= expected.sum()
    counts = np.array([(drawn == i).mean() for i in range(8)])
    np.testing.assert_allclose(counts, expected, rtol=0.05)
    weights = np.asarray(batch.weight).reshape(2000, 32)
    raw = (8 * expected[drawn.astype(int)]) ** -0.7
    np.testing.assert_allclose(weights, raw / raw.max(1, keepdims=True), rtol=1e-3)


def test_a_late_loss_is_descended_at_every_third_step_only():
    """Plain gradient descent on constant slopes, counted by hand, with a rate that falls."""
    slow = lambda params, target, batch, key: (params["slow"]["a"], {"late": jnp.array(2.0)})
    fast = lambda params, target, batch, key: (params["fast"].sum(), {"now": jnp.array(1.0)})
    init = lambda key: {"slow": {"a": jnp.zeros(())}, "fast": jnp.zeros(2)}
    falling = optax.sgd(lambda step: 1.0 - step / 8)
    period = updates.every(2, updates.polyak(1.0))
    late = updates.Late(slow, ("slow",), 3)
    update = updates.delayed(init, fast, late, falling, period)
    state = jax.jit(update.init)(KEY, None)
    seen, told, apply = [], [], jax.jit(update.apply)
    for _ in range(7):
        state, metrics = jax.tree.map(np.asarray, apply(state, None, KEY))
        seen.append((float(state.params["slow"]["a"]), float(state.params["fast"][0])))
        told.append((float(metrics["late"]), float(metrics["now"])))
        norm = np.sqrt(3 if metrics["late"] else 2)
        np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-6)
    rate = 1 - np.arange(7) / 8  # of all steps, in both parts
    moved = -np.cumsum(np.where(np.arange(7) % 3 == 2, rate, 0))
    np.testing.assert_allclose(seen, np.stack([moved, -np.cumsum(rate)], 1), rtol=1e-6)
    assert told == [(0, 1), (0, 1), (6, 1)] * 2 + [(0, 1)]
    assert state.target["fast"][0] == np.float32(seen[5][1])  # as it was after the sixth step
    # Without a delay it is the sum, clipped as one.
    at_once = updates.delayed(init, fast, updates.Late(slow, ("slow",), 1), optax.sgd(1.0))
    state, metrics = jax.jit(at_once.apply)(at_once.init(KEY, None), None, KEY)
    assert state.params["slow"]["a"] == state.params["fast"][0] == -1
    assert metrics["late"] == 2 and metrics["now"] == 1


def test_what_is_not_due_is_not_computed_for_any_number_of_members():
    """In a population the condition remains one, since all members count alike."""
    update = updates.delayed(
        lambda key: {"slow": jax.random.normal(key), "fast": jnp.zeros(())},
        lambda params, target, batch, key: (params["fast"] ** 2, {}),
        updates.Late(lambda params, target, batch, key: (jnp.sin(params["slow"]), {}), ("slow",)),
        optax.sgd(1.0),
    )
    keys = jax.random.split(KEY, 3)
    axes = population_axes(jax.eval_shape(update.init, KEY, None))
    members = jax.vmap(lambda key: update.init(key, None), 0, axes)(keys)
    assert members.taken.value.shape == () and members.params["slow"].shape == (3,)
    step = jax.vmap(lambda state, key: update.apply(state, None, key)[0], (axes, 0), axes)
    jaxpr = jax.make_jaxpr(step)(members, keys).jaxpr
    names = [eqn.primitive.name for eqn in jaxpr.eqns]
    assert "cond" in names and "cos" not in names  # the derivative of the late loss is within


def test_moments_and_explained_variance_are_those_of_weighted_numpy():
    rng = np.random.default_rng(0)
    x, target, weight = rng.normal(size=(3, 6, 4)) + 2
    weight = np.where(rng.random((6, 4)) < 0.3, 0, np.abs(weight))
    mean = np.average(x, weights=weight)
    std = np.sqrt(np.average((x - mean) ** 2, weights=weight))
    standardised, explained = map(jax.jit, (updates.standardised, updates.explained_variance))
    f = lambda *arrays: map(np.float32, arrays)
    np.testing.assert_allclose(standardised(*f(x, weight)), (x - mean) / std, rtol=1e-4, atol=1e-5)
    variance = lambda y: np.cov(y.ravel(), aweights=weight.ravel(), ddof=0)
    exact = 1 - variance(target - x) / variance(target)
    np.testing.assert_allclose(explained(*f(x, target, weight)), exact, rtol=1e-4)
    one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
    assert explained(one, one, one) == 0  # a constant has nothing to explain
    assert np.isfinite(standardised(one * 5, zero)).all()


def test_the_gradient_norm_is_reported():
    loss = lambda params, target, batch, key: (3 * params["a"] + 4 * params["b"], {})
    init = lambda key: {"a": jnp.ones(()), "b": jnp.ones(())}
    update = updates.descend(init, loss, optax.sgd(0.1))
    state = jax.jit(update.init)(KEY, None)
    assert applied(update, state, None)[1] == {"gradient_norm": 5.0}
