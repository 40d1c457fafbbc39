"""Shards of lanes that learn as one: on one device, on several, and beside a plain learner."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import dqn, ppo, sac
from agents.offline import td3_bc
from jaxrl import cloning, prioritised, sharding
from jaxrl.errors import InputError
from jaxrl.loop import advance, assemble
from jaxrl.population import mesh_of, populate, usable_mesh
from jaxrl.types import (
    Actor,
    Agent,
    Box,
    Experiment,
    Run,
    Spec,
    Transition,
    Update,
    count,
    population_axes,
)

SHARDS = 4


def in_shards(fn, in_axes=0, out_axes=0):
    return jax.vmap(fn, in_axes, out_axes, axis_name=sharding.SHARDS, axis_size=SHARDS)


def parted(x, axis):
    """Arrays whose axis of lanes is cut into shards, which come first."""
    lead = (*x.shape[:axis], SHARDS, -1, *x.shape[axis + 1 :])
    return jnp.moveaxis(x.reshape(lead), axis, 0)


def steps(key, time, lanes):
    """Random transitions [T, B] of three features, with weights and ends."""
    keys = iter(jax.random.split(key, 8))
    normal = lambda *more: jax.random.normal(next(keys), (time, lanes, *more))
    last = jax.random.bernoulli(next(keys), 0.2, (time, lanes))
    value, weight = normal(), jax.random.uniform(next(keys), (time, lanes))
    extras = ppo.Extras(-2.0 + 0.1 * value, value, ())
    obs, final = 3 + 2 * normal(3), 3 + 2 * normal(3)
    return Transition(
        obs, normal(2), normal(), 1.0 - last, last, final, extras, weight.at[0].set(0.0)
    )


def test_ppo_on_shards_is_ppo_on_all_lanes():
    """Its gradients, advantages and running statistics are those of the whole batch.

    The plain update, which knows of no shards, is the oracle: with one minibatch a pass, shuffling
    changes nothing. An average of the shards' standardised advantages, of their variances or of
    their clipped gradients would differ; weights make each shard's sums unequal.
    """
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Box(-jnp.ones(2), jnp.ones(2)))
    hp = ppo.Hyperparameters(
        hidden=(4,), epochs=3, minibatches=1, normalise_observations=True, max_gradient_norm=0.01
    )
    update = ppo.ppo(spec, hp).update
    k_init, k_first, k_second, k_learn = jax.random.split(jax.random.key(0), 4)
    first, second = steps(k_first, 5, 8), steps(k_second, 5, 8)

    def learn(start, batches):
        state = start(batches[0])
        for batch in batches:
            state, metrics = update.apply(state, batch, k_learn)
        return state, sharding.average(metrics)

    start = lambda example: update.init(k_init, example)
    whole, told = jax.jit(lambda a, b: learn(start, (a, b)))(first, second)
    parts = jax.tree.map(lambda x: parted(x, 1), (first, second))
    state, seen = jax.jit(in_shards(lambda *batches: learn(start, batches)))(*parts)
    running = state.scale.running.reshape(-1)
    np.testing.assert_allclose(running, whole.scale.running, rtol=1e-5)
    plain = lambda state: (state.inner, state.scale.moments)
    for mine, theirs in zip(jax.tree.leaves(plain(state)), jax.tree.leaves(plain(whole))):
        assert (mine == mine[0]).all(), "shards differ"
        np.testing.assert_allclose(mine[0], theirs, rtol=1e-4, atol=1e-5)
    for name in told:
        np.testing.assert_allclose(seen[name][0].mean(), told[name].mean(), rtol=1e-3, atol=1e-5)


def test_statistics_of_a_batch_are_those_of_all_shards():
    """Of all lanes in numpy: quantiles, weights by softmax, and the mean size of values."""
    rng = np.random.default_rng(0)
    advantage, share = rng.normal(size=(SHARDS, 3)), rng.uniform(0, 1, (SHARDS, 3))
    advantage[1] += 5.0  # all the best are in one shard
    share[2] = 0.0

    @in_shards
    def found(advantage, share):
        batch = SimpleNamespace(weight=share)
        quantile = jnp.quantile(sharding.gathered(advantage), 0.9)
        weight = cloning.softmax_weight(advantage, 2.0, share)
        return quantile, weight, td3_bc.normalised(advantage, batch)

    quantile, weight, value = found(jnp.asarray(advantage), jnp.asarray(share))
    np.testing.assert_allclose(quantile, np.quantile(advantage, 0.9), rtol=1e-5)
    grown = np.exp(advantage / 2) * (share > 0)
    mean = (share * grown).sum() / share.sum()
    np.testing.assert_allclose(weight, grown / mean, rtol=1e-4)
    size = (share * np.abs(advantage)).sum() / share.sum()
    np.testing.assert_allclose(value, advantage / size, rtol=1e-4)


def test_priorities_of_several_trees_weigh_like_those_of_one():
    """The mean over shards of w f is, in expectation, that of one tree with all leaves.

    By numpy, for every exponent: without the relative mass it is right for exponent 0 only if all
    shards have the same mass.
    """
    rng = np.random.default_rng(0)
    leaf = rng.uniform(0.1, 1.0, (SHARDS, 8)) * np.array([[0.1], [1.0], [4.0], [9.0]])
    value = rng.normal(size=leaf.shape)
    for exponent in (0.0, 0.4, 1.0):

        def mean(leaf, value, exponent=exponent):
            mass = sharding.relative(leaf.sum())
            weight = prioritised.importance(leaf / leaf.sum(), leaf.size, exponent, mass)
            return sharding.average((leaf / leaf.sum() * weight * value).sum())

        found = in_shards(mean)(jnp.asarray(leaf), jnp.asarray(value))
        chance = leaf / leaf.sum()
        weight = (leaf.size * chance) ** -exponent
        np.testing.assert_allclose(found, (chance * weight * value).sum() / weight.max(), rtol=1e-4)


def run_of_dqn(**own):
    hp = dqn.Hyperparameters(
        hidden=(4,), num_envs=8, warmup=16, batch_size=8, buffer_size=64, prioritised=True,
        normalise_observations=True, decay=0.5, updates=1,
    )  # fmt: skip
    return assemble(dqn.dqn, envs.make("CartPole-v1"), replace(hp, **own), 200, shards=SHARDS)


def test_devices_do_not_matter():
    """Two members of four shards each, on one device and on a mesh of two by two, by priority.

    Parameters, targets and counters are one for all shards; replays, trees and lanes are not.
    """
    setup = run_of_dqn()
    parts = setup.parts()
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    axes = population_axes(jax.eval_shape(setup.experiment.init, keys[0]))
    train = lambda key: advance(setup.experiment, setup.experiment.init(key), 5)
    runs = []
    for mesh in (None, mesh_of(jax.devices()[:4], data=2)):
        spread = populate(train, (0,), (axes, 0), mesh, ((None,), (parts, None)))
        runs.append(jax.jit(spread)(keys))
    for one, other in zip(*map(jax.tree.leaves, runs)):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    state = parts.learner
    none = lambda tree: all(x is None for x in jax.tree.leaves(tree, is_leaf=lambda x: x is None))
    assert none(state.inner.inner) and none(state.moments) and none(parts.step)
    assert state.inner.tree.nodes == 0 and state.inner.buffer.words == 0
    # Shards have keys of their own, so that their lanes do not all do the same.
    reward = runs[0][0].learner.inner.buffer.words
    assert (reward[:, 0] != reward[:, 1]).any()


def test_what_shards_would_learn_apart_is_refused():
    """A number that is not averaged varies between shards, which tracing finds; averaged, not."""

    def step(run, mean):
        return run._replace(
            learner=run.learner + mean(jax.random.normal(sharding.own(run.key)))
        ), {}

    actor = Actor(lambda lanes: (), lambda view, memory, obs, key: ((), (), ()))
    agent = Agent(actor, actor, Update(lambda *x: (), lambda *x: (), lambda state: state))
    init = lambda key: Run(jnp.zeros(()), (), key, count())
    made = lambda mean: Experiment(init, lambda run: step(run, mean))
    parts = sharding.sharded(made(sharding.average), SHARDS, agent).parts()
    assert parts.learner is None
    alone = sharding.sharded(made(lambda x: x), SHARDS)
    assert alone.parts().learner == 0
    values = jax.eval_shape(alone.experiment.init, jax.random.key(0))
    assert values.learner.shape == (SHARDS,)
    with pytest.raises(InputError, match="cannot be trained in shards"):
        sharding.sharded(made(lambda x: x), SHARDS, agent).parts()


def test_a_shard_has_an_equal_part_of_what_is_collected_and_replayed():
    hp = sac.Hyperparameters(num_envs=8, warmup=1_001, buffer_size=8_000, decay_steps=100.0)
    own = sharding.divided(hp, 4)
    assert own.collection.num_envs == 2 and own.collection.warmup == 251
    assert own.replay.buffer_size == 2_000 and own.replay.batch_size == hp.replay.batch_size // 4
    assert own.replay.updates == hp.replay.updates and own.optimisation.decay_steps == 25.0
    with pytest.raises(InputError, match="num_envs 8 does not divide into 3 equal shards: try 9"):
        sharding.divided(hp, 3)


def test_a_mesh_is_as_large_as_what_it_divides_allows():
    shape = lambda *args, **asked: usable_mesh(*args, asked=asked).devices.shape
    there = len(jax.devices())
    assert there == 4, "the tests force four devices"
    assert shape(6) == (3, 1) and shape(2, 8) == (2, 2) and shape(1, 8) == (1, 4)
    assert shape(2, 8, data=4) == (1, 4) and shape(2, 8, members=1) == (1, 4)
    assert shape(4, 4, data=1, members=2) == (2, 1)
    for words, match in (
        (dict(data=3), "3 devices do not divide the 8 shards of each member: try data=2"),
        (dict(members=2, data=4), "need 8 devices, but there are 4"),
        (dict(model=2), "no axis of devices called"),
    ):
        with pytest.raises(InputError, match=match):
            usable_mesh(2, 8, words)
