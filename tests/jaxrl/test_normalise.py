"""Running statistics against two-pass statistics, over merges, devices and evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from jaxrl import normalise
from jaxrl.buffers import fetch
from jaxrl.errors import InputError
from jaxrl.sharding import DATA, SHARDS
from jaxrl.types import Agent, Discrete, Spec, Transition, Update, memoryless
from jaxrl.updates import replay
from jaxrl.updates.offpolicy import Replay

SPEC = {"a": jax.ShapeDtypeStruct((3,), jnp.float32), "b": jax.ShapeDtypeStruct((), jnp.float32)}


update = jax.jit(normalise.update)
standardise = jax.jit(normalise.standardise)


def data(*lead, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(1000.0, 0.5, (*lead, 3)) + [0, 1, 2]  # a large mean and a small variance
    return {"a": a.astype(np.float32), "b": rng.exponential(2.0, lead).astype(np.float32)}


def test_merged_moments_are_those_of_all_data_in_any_order():
    batches = [data(7, 4, seed=1), data(100, 1, seed=2), data(1, 3, seed=3)]
    for order in (batches, batches[::-1]):
        moments = normalise.init(SPEC)
        for batch in order:
            moments = update(moments, batch)
        for name, rank in (("a", 1), ("b", 0)):
            rows = [x[name].reshape(-1, *x[name].shape[2:]).astype(np.float64) for x in batches]
            whole = np.concatenate(rows)
            assert whole.ndim == rank + 1
            np.testing.assert_allclose(moments.mean[name], whole.mean(0), rtol=1e-6)
            np.testing.assert_allclose(moments.variance[name], whole.var(0), rtol=2e-3)
    assert float(moments.count) == 131


def test_samples_count_by_their_weight():
    """Whole numbers are copies; without weight a sample may be anything."""
    obs, copies = data(6), np.array([1, 0, 2, 0, 3, 1])
    bad = jax.tree.map(np.copy, obs)
    bad["a"][1] = bad["b"][1] = np.nan
    many = {name: np.repeat(x, copies, axis=0) for name, x in obs.items()}
    start = update(normalise.init(SPEC), data(9, seed=1))
    one = update(start, bad, weight=np.float32(copies))
    two = update(start, many)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), one[:3], two[:3])
    for before in (start, normalise.init(SPEC)):
        same = update(before, obs, weight=np.zeros(6, np.float32))
        jax.tree.map(np.testing.assert_array_equal, same, before)


def test_no_data_changes_nothing_and_much_data_keeps_moving():
    moments, obs = normalise.init(SPEC), data(5)
    same = standardise(moments, obs)
    np.testing.assert_array_equal(same["a"], obs["a"])
    moments = moments._replace(count=np.float32(1e9))
    ones = {"a": np.ones((10**4, 3), np.float32), "b": np.ones(10**4, np.float32)}
    after = update(moments, ones)
    assert float(after.mean["b"]) > 1e-4  # a float32 count of 1e9 would have swallowed these


def test_standardised_data_has_mean_zero_and_variance_one():
    obs = data(1000)
    out = standardise(update(normalise.init(SPEC), obs), obs)
    for x in jax.tree.leaves(out):
        np.testing.assert_allclose(np.asarray(x).mean(0), 0, atol=1e-2)
        np.testing.assert_allclose(np.asarray(x).std(0), 1, rtol=1e-2)


def test_a_constant_is_standardised_to_zero_however_large():
    obs = np.full((64,), 12345.678, np.float32)
    moments = normalise.init(jax.ShapeDtypeStruct((), jnp.float32))
    for _ in range(3):
        moments = update(moments, obs)
    assert float(moments.variance) < 1e-6
    np.testing.assert_allclose(standardise(moments, obs), 0, atol=1e-2)


def test_a_mean_one_million_deviations_away():
    x = np.random.default_rng(0).normal(1e4, 0.02, (50, 40)).astype(np.float32)
    moments = normalise.init(jax.ShapeDtypeStruct((), jnp.float32))
    moments = jax.lax.scan(lambda m, row: (normalise.update(m, row), None), moments, x)[0]
    np.testing.assert_allclose(moments.variance, x.astype(np.float64).var(), rtol=2e-2)
    error = float(moments.mean) - x.astype(np.float64).mean() + float(moments.mean_rest)
    assert abs(error) < 2e-4  # a float32 at 1e4 resolves 1e-3
    alone = np.square(x).mean() - np.square(x.mean())  # in float32: what this is not
    assert abs(alone - x.astype(np.float64).var()) > 1e-3


def test_small_batches_still_count_after_a_long_run():
    # Each step moves the mean by 4e-7, far below the rounding of a float32 at 999, 6e-5.
    steps, size, count = 20_000, 4, normalise.MEMORY
    start = normalise.init(jax.ShapeDtypeStruct((), jnp.float32))
    start = start._replace(count=jnp.float32(count), mean=jnp.float32(999.0))
    x = 1000 + np.random.default_rng(0).choice([-0.5, 0.5], (steps, size)).astype(np.float32)
    end = jax.jit(lambda m: jax.lax.scan(lambda m, x: (normalise.update(m, x), None), m, x)[0])
    end, mean, variance = end(start), 999.0, 1.0
    share = size / (count + size)
    for row in x.astype(np.float64):
        gap = row.mean() - mean
        variance += share * (row.var() - variance) + share * (1 - share) * gap**2
        mean += share * gap
    assert mean > 999.007
    np.testing.assert_allclose(float(end.mean) - 999, mean - 999, rtol=1e-2)
    np.testing.assert_allclose(float(end.variance) - 1, variance - 1, rtol=1e-2)


def test_donated_statistics_share_no_buffer():
    moments = normalise.init(SPEC)
    out = jax.jit(normalise.update, donate_argnums=0)(moments, data(5))
    assert float(out.count) == 5


def test_devices_share_statistics():
    """Two devices of two shards each, which have the same moments: those of all samples."""
    mesh = jax.make_mesh((2,), (DATA,), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    obs = data(8, 4)
    one = lambda x: normalise.update(normalise.init(SPEC), x)
    spread = jax.shard_map(
        jax.vmap(one, in_axes=1, out_axes=None, axis_name=SHARDS),
        mesh=mesh,
        in_specs=PartitionSpec(None, "data"),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    both = jax.jit(lambda x: (normalise.update(normalise.init(SPEC), x), spread(x)))
    one, spread = jax.tree.map(np.asarray, both(obs))
    assert float(spread.count) == float(one.count) == 32
    np.testing.assert_allclose(spread.mean["a"], one.mean["a"], rtol=1e-6)
    # The variance within devices and that between them, of the same law of total variance.
    within = np.stack([obs["b"][:, i] for i in range(4)]).astype(np.float64)
    np.testing.assert_allclose(spread.mean["b"], within.mean(), rtol=1e-5)
    np.testing.assert_allclose(spread.variance["b"], within.var(), rtol=1e-4)


def batch(reward, last, obs):
    one = np.ones_like(reward)
    return Transition(obs, one.astype(np.int32), reward, one, last, obs, (), one)


def probe():
    """An agent whose update keeps the batch that it was given."""
    keep = Update(lambda key, example: example, lambda state, batch, key: (batch, {}), lambda s: s)
    act = memoryless(lambda view, obs, key: (obs, ()))
    return Agent(act, act, keep)


def test_learning_uses_the_statistics_of_acting_and_evaluation_changes_none():
    spec = Spec(jax.ShapeDtypeStruct((), jnp.float32), Discrete(2))
    agent = normalise.normalise_observations(probe(), spec)
    obs, last = [data(6, 2, seed=s)["b"] for s in (0, 1)], np.zeros((6, 2), bool)

    @jax.jit
    def run(first, second):
        key = jax.random.key(0)
        state = agent.update.init(key, first)
        view = agent.update.read(state)
        acted = agent.exploit.step(view, (), second.obs, key)[0]
        return view.moments, acted, agent.update.apply(state, second, key)[0]

    before, acted, state = run(*(batch(x, last, x) for x in obs))
    np.testing.assert_allclose(before.mean, obs[0].mean(), rtol=1e-6)
    np.testing.assert_allclose(state.inner.obs, acted, rtol=1e-6)
    np.testing.assert_allclose(state.inner.final, acted, rtol=1e-6)
    both = np.concatenate(obs)
    np.testing.assert_allclose(state.moments.mean, both.mean(), rtol=1e-6)


def test_replayed_steps_are_seen_under_the_statistics_of_all_that_was_collected():
    """Stored raw; counted once each, however often they are replayed; bytes are no bytes after."""
    spec = Spec(jax.ShapeDtypeStruct((), jnp.float32), Discrete(2))
    remember = lambda update: replay(update, rows=18, batch_size=2, updates=5, length=6)
    agent = normalise.replaying(probe(), spec, remember, True)
    rng, last = np.random.default_rng(0), jnp.zeros((6, 2), bool)
    parts = [rng.normal(100.0, 3.0, (6, 2)).astype(np.float32) for _ in range(3)]

    def life():
        state = agent.update.init(jax.random.key(0), batch(parts[0], last, parts[0]))
        for part in parts[1:]:
            new = batch(part, last, part)
            state, _ = agent.update.apply(state, new, jax.random.key(1))
        view = agent.update.read(state)
        acted = [x.step(view, (), parts[0], jax.random.key(2))[0] for x in agent[:2]]
        return state, acted

    state, acted = jax.jit(life)()
    every = np.concatenate(parts).astype(np.float64)
    assert float(state.moments.count) == every.size
    np.testing.assert_allclose(state.moments.mean, every.mean(), rtol=1e-6)
    np.testing.assert_allclose(state.moments.variance, every.var(), rtol=1e-3)
    stored = fetch(state.inner.buffer, jnp.arange(36)).obs
    np.testing.assert_array_equal(stored, every.ravel())
    see = lambda x: (x - every.mean()) / every.std()
    for one in acted:
        np.testing.assert_allclose(one, see(parts[0]), atol=1e-3)
    replayed = state.inner.inner  # the last batch; the reward of a step is its raw observation
    np.testing.assert_allclose(replayed.obs, see(replayed.reward), atol=1e-3)
    np.testing.assert_allclose(replayed.final, replayed.obs)


def test_off_it_adds_nothing_and_bytes_become_floats_when_it_is_on():
    frames = Spec(jax.ShapeDtypeStruct((2,), jnp.uint8), Discrete(2))
    assert normalise.shown(frames, False) is frames
    assert normalise.shown(frames, True).observation.dtype == jnp.float32
    remember = lambda update: replay(update, rows=4, batch_size=2)
    agent, example = probe(), batch(*[jnp.zeros((2, 1))] * 3)
    off = normalise.replaying(agent, frames, remember, False)
    assert off.explore is agent.explore and off.exploit is agent.exploit
    assert isinstance(off.update.init(jax.random.key(0), example), Replay)
    with pytest.raises(InputError, match="normalise_observations hides which actions"):
        normalise.shown(frames._replace(mask=lambda obs: obs > 0), True)


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    rng = np.random.default_rng(0)
    reward, last = rng.normal(3, 2, (40, 3)).astype(np.float32), rng.random((40, 3)) < 0.2
    agent = normalise.normalise_rewards(probe(), 0.9)
    key, apply = jax.random.key(0), jax.jit(agent.update.apply)
    state = jax.jit(agent.update.init)(key, batch(reward, last, reward))
    totals, running = [], np.zeros(3)
    for r, end in zip(reward, last):
        running = 0.9 * running + r
        totals.append(running)
        running = np.where(end, 0, running)
    for half in (slice(0, 20), slice(20, 40)):  # the return runs on across rollouts
        state, _ = apply(state, batch(reward[half], last[half], reward[half]), key)
    np.testing.assert_allclose(state.inner.reward, reward[20:] / np.std(totals), rtol=1e-3)


def test_return_scale_over_devices_and_without_deviation():
    rng = np.random.default_rng(1)
    reward, last = rng.normal(1, 2, (30, 8)).astype(np.float32), rng.random((30, 8)) < 0.1
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    lanes = PartitionSpec(None, "data")

    def own(reward, last):  # of a shard of one lane
        fresh = normalise.init_scale(1)
        return normalise.update_scale(fresh, reward[:, None], last[:, None], 0.9)

    parts = jax.shard_map(
        jax.vmap(own, in_axes=1, out_axes=normalise.ReturnScale(None, 0), axis_name=SHARDS),
        mesh=mesh,
        in_specs=(lanes, lanes),
        out_specs=normalise.ReturnScale(PartitionSpec(), PartitionSpec("data")),
        check_vma=False,
    )

    @jax.jit
    def run(reward, last):
        fresh = normalise.init_scale(1)
        same = normalise.update_scale(fresh, jnp.ones((1, 1)), jnp.zeros((1, 1), bool), 0.9)
        undivided = [normalise.scaled(scale, jnp.array([3.0])) for scale in (fresh, same)]
        whole = normalise.update_scale(normalise.init_scale(8), reward, last, 0.9)
        return whole, parts(reward, last), undivided

    one, parts, undivided = jax.tree.map(np.asarray, run(reward, last))
    np.testing.assert_allclose(parts.moments.variance, one.moments.variance, rtol=1e-5)
    np.testing.assert_allclose(parts.running[:, 0], one.running, rtol=1e-6)
    for found in undivided:  # one return alone does not deviate
        np.testing.assert_allclose(found, 3.0, rtol=1e-6)


def test_a_first_batch_of_tiny_variance_is_not_rounded_against_the_placeholder():
    x = np.random.default_rng(0).normal(0, 1e-3, 200).astype(np.float32)
    moments = update(normalise.init(jax.ShapeDtypeStruct((), jnp.float32)), x)
    np.testing.assert_allclose(moments.variance, x.astype(np.float64).var(), rtol=1e-4)
