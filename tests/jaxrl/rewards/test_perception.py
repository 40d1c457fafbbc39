"""Rewards from embeddings, stages and distances, and the progress of frames, beside numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import spearmanr

from jaxrl import progress, rewards
from jaxrl.errors import InputError
from jaxrl.settings import Layers
from jaxrl.types import Discrete, Spec, Transition, Update


def test_an_embedding_is_rewarded_along_the_way_from_the_baseline_to_the_goal():
    rng = np.random.default_rng(0)
    goal, baseline, x = (rng.normal(size=n) for n in (6, 6, (20, 6)))
    found = jax.jit(lambda x, a: rewards.goal_baseline_reward(goal, baseline, a)(x))
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)
    d = unit(goal) - unit(baseline)
    for strength in (0.0, 0.4, 1.0):
        matrix = strength * np.outer(d, d) / (d @ d) + (1 - strength) * np.eye(6)
        wanted = 1 - 0.5 * np.square((unit(x) - unit(goal)) @ matrix).sum(1)
        np.testing.assert_allclose(found(x, strength), wanted, atol=1e-5)
    np.testing.assert_allclose(found(x, 0.0), unit(x) @ unit(goal), atol=1e-5)
    assert np.isfinite(found(0 * x, 0.5)).all()
    with pytest.raises(InputError, match="vectors \\[D\\] of one length"):
        rewards.goal_baseline_reward(jnp.zeros(3), jnp.zeros(4))


def test_stages_are_those_of_the_best_cut_and_pay_more_the_later():
    """All cuts are tried; and three stages that five features of eight tell, by hand."""
    rng, frames, number = np.random.default_rng(1), 7, 3
    cut = jax.jit(jax.vmap(lambda x: rewards.segmented(x, number)))
    data = rng.normal(size=(30, frames, 2))

    def cost(x, stage):
        return sum(np.square(x[stage == k] - x[stage == k].mean(0)).sum() for k in range(number))

    for x, found in zip(data, np.asarray(cut(data))):
        every = [
            np.searchsorted(np.array(cuts), np.arange(frames), side="right")
            for cuts in itertools.combinations(range(1, frames), number - 1)
        ]
        assert (np.diff(found) >= 0).all() and set(found) == {0, 1, 2}
        assert cost(x, found) == pytest.approx(min(cost(x, stage) for stage in every), rel=1e-4)
    stage = np.repeat(np.arange(3), 20)
    x = rng.normal(size=(60, 8)) * 0.1
    x[:, 0], x[:, 1] = x[:, 0] + (stage == 1), x[:, 1] - 2 * (stage == 2)
    told = rewards.stage_features(jnp.asarray(x), jnp.asarray(stage), 3, 1)
    np.testing.assert_array_equal(told.chosen.argmax(1)[1:], [0, 1])
    within, without = x[stage == 1, 0], x[stage != 1, 0]
    np.testing.assert_allclose(told.mean[1, 0], within.mean(), rtol=1e-4)
    np.testing.assert_allclose(told.deviation[1, 0], within.std(), rtol=1e-3)
    assert abs(within.mean() - without.mean()) > within.std() + without.std()
    paid = np.asarray(jax.jit(rewards.stage_reward)(told, jnp.asarray(x)))
    chances = np.asarray(rewards.stage_chances(told, jnp.asarray(x)))
    by_hand = (2 * chances[:, 1:].sum(1) + 4 * chances[:, 2]) / 6
    np.testing.assert_allclose(paid, by_hand, atol=1e-5)
    means = [paid[stage == k].mean() for k in range(3)]
    assert means[0] < means[1] < means[2]
    with pytest.raises(InputError, match="7 frames have 1 to 7 stages"):
        rewards.segmented(jnp.zeros((7, 2)), 8)


def test_exploration_pays_the_distance_to_neighbours_and_then_what_is_paid():
    """By a loop over batches, of which the first two explore."""
    told = Update(
        lambda key, example: jnp.zeros(9),
        lambda state, batch, key: (batch.reward, {}),
        lambda state: state,
    )
    update = rewards.exploring(told, 2, 3)
    rng, ones = np.random.default_rng(2), jnp.ones(9)
    batch = Transition(jnp.zeros((9, 2)), ones, ones, ones, ones < 0, ones, (), ones)
    state, distances = update.init(jax.random.key(0), batch), []
    apply = jax.jit(update.apply)
    for step in range(3):
        x = rng.normal(size=(9, 2))
        now = batch._replace(obs=jnp.asarray(x, jnp.float32))
        state, metrics = apply(state, now, jax.random.key(0))
        away = np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1), 1)[:, 3]
        distances.append(away)
        assert metrics["neighbour_distance"] == pytest.approx(away.mean(), rel=1e-4)
        wanted = away / np.concatenate(distances).std() if step < 2 else np.ones(9)
        np.testing.assert_allclose(update.read(state), wanted, rtol=1e-3)
    with pytest.raises(InputError, match="9 points have no 9 others each"):
        rewards.neighbour_distance(jnp.zeros((9, 2)), 9)


def test_progress_knows_no_order_and_its_correlation_with_time_is_spearmans():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 5, (20, 8)).astype(float)
    found = jax.jit(progress.value_order_correlation)(values)
    wanted = [spearmanr(x, np.arange(8)).statistic for x in values]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert progress.value_order_correlation(jnp.zeros(4)) == 0
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(1))
    model = progress.progress_model(spec, 8, Layers((16,)))
    learner = progress.progress_learner(model, optax.adam(1e-2))
    # Demonstrations go to the right, each from a place and at a speed of its own.
    start, speed = rng.normal(size=(2, 1, 16)), rng.uniform(0.5, 2, (1, 16))
    time = np.linspace(0, 1, 6)[:, None]
    frames = np.stack([start[0] + speed * time, np.broadcast_to(start[1], (6, 16))], -1)
    frames = jnp.asarray(frames, jnp.float32)
    order = np.array([0, 3, 1, 5, 2, 4])

    @jax.jit
    def learnt(key):
        step = lambda state, key: (learner.apply(state, frames, key)[0], None)
        state = learner.init(key, frames)
        params = jax.lax.scan(step, state, jax.random.split(key, 300))[0].params
        return model.at(params, frames), model.at(params, frames[order])

    told, shuffled = learnt(jax.random.key(0))
    np.testing.assert_allclose(shuffled, told[order], atol=1e-4)
    assert progress.value_order_correlation(told.T).mean() > 0.95
