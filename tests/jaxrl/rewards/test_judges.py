"""Judges of segments and annotators, beside sums and chances in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from jaxrl.errors import InputError
from jaxrl.rewards import judges, segments
from jaxrl.types import Transition

L, N = 5, 4000


def drawn(seed, steps=L, number=N):
    """Segments of unequal lengths, with a reward, an observation and ends."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(size=(steps, number, *shape)), jnp.float32)
    length = rng.integers(1, steps + 1, number)
    weight = jnp.asarray(np.arange(steps)[:, None] < length, jnp.float32)
    last = jnp.asarray(rng.random((steps, number)) < 0.1)
    ones = jnp.ones((steps, number))
    return Transition(normal(2), normal(1), normal(), ones, last, normal(2), (), weight)


def test_scores_of_segments():
    data, gamma = drawn(0, number=7), 0.8
    counts = np.asarray(data.weight) * gamma ** np.arange(L)[:, None]
    expected = (np.asarray(data.reward) * counts).sum(0)
    np.testing.assert_allclose(segments.partial_return(gamma)(data), expected, rtol=1e-4)
    factors = segments.summed(lambda obs, action, final: obs - final, gamma)(data)
    by_hand = (np.asarray(data.obs - data.final) * counts[..., None]).sum(0)
    np.testing.assert_allclose(factors, by_hand, atol=1e-5)
    # The sum telescopes where each successor is the next observation.
    chained = data._replace(obs=jnp.concatenate([data.obs[:1], data.final[:-1]]))
    value = lambda obs: obs @ jnp.array([1.0, 2.0])
    found = segments.deterministic_regret(value, gamma)(chained)
    length = np.asarray(data.weight).sum(0).astype(int)
    end = np.asarray(value(data.final))[length - 1, np.arange(7)]
    expected = expected + gamma**length * end - np.asarray(value(chained.obs))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    cut = np.asarray(segments.within_episode(data).weight)
    for n in range(7):
        ended = np.flatnonzero(data.last[:, n])
        keep = np.arange(L) <= (ended[0] if len(ended) else L)
        np.testing.assert_array_equal(cut[:, n], np.asarray(data.weight)[:, n] * keep)
    with pytest.raises(InputError, match="at least one step"):
        segments.total(data._replace(reward=jnp.zeros(3)), data.reward)


def test_judges_err_as_often_as_they_say():
    """Rates over 4,000 pairs are within four standard errors of their expectation."""
    one, other = drawn(1), drawn(2)
    score = segments.partial_return()
    gap = np.asarray(score(one) - score(other))
    kind = lambda data: (data.obs[0, :, 0] > 0).astype(jnp.int32) + (data.obs[0, :, 1] > 0)
    beats = jnp.array([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]])
    exact = judges.rational(score)

    @jax.jit
    def all_of(keys):
        noisy = judges.boltzmann(score, 2.0)
        crowd = judges.users([exact, judges.mistaken(exact, 1.0)], [0.7, 0.3])
        quiet = judges.abstaining(judges.indifferent(exact, score, 0.5), score, 0.0)
        factors = lambda data: segments.summed(lambda obs, action, final: obs)(data)
        return [
            judge(key, one, other)
            for judge, key in zip(
                [exact, noisy, judges.mistaken(exact, 0.2), crowd, quiet,
                 judges.boltzmann(score, 2.0, sampled=False), judges.cyclic(kind, beats),
                 judges.hierarchical(factors, jnp.array([0.5, 0.0]), relative=True)], keys,
            )
        ]  # fmt: skip

    best, noisy, wrong, crowd, quiet, soft, cycle, levels = jax.device_get(
        all_of(jax.random.split(jax.random.key(0), 8))
    )
    np.testing.assert_array_equal(best.label, gap > 0)
    assert (best.weight == 1).all()

    def near(hits, chance):
        error = np.sqrt(max((chance * (1 - chance)).mean(), 1e-6) / hits.size)
        assert abs(hits.mean() - chance.mean()) < 4 * error

    chance = expit(gap / 2)
    np.testing.assert_allclose(soft.label, chance, atol=1e-5)
    for part in (gap > 1, gap < -1, abs(gap) < 1):
        near(noisy.label[part], chance[part])
        near(wrong.label[part] != best.label[part], np.full(part.sum(), 0.2))
        near(crowd.label[part] == best.label[part], np.full(part.sum(), 0.7))
    a, b = np.asarray(kind(one)), np.asarray(kind(other))
    for i, j in ((0, 1), (1, 2), (2, 0)):
        pair = (a == i) & (b == j)
        near(cycle.label[pair], np.full(pair.sum(), 0.9))
    np.testing.assert_array_equal(quiet.label == 0.5, abs(gap) <= 0.5)
    shown = np.maximum(score(one), score(other)) >= 0
    np.testing.assert_array_equal(quiet.weight, shown)
    factors = [np.asarray((x.obs * x.weight[..., None]).sum(0)) for x in (one, other)]
    margin = 0.5 * np.concatenate(factors).std(0)[0]
    first, second = (factors[0] - factors[1]).T
    by_hand = np.where(abs(first) > margin, first > 0, second > 0)
    clear = abs(abs(first) - margin) > 1e-3
    np.testing.assert_array_equal(levels.label[clear], by_hand[clear])
    assert (levels.weight == 1).all()  # the second has no margin
    with pytest.raises(InputError, match="share for each judge"):
        judges.users([exact, exact], [1.0])
    with pytest.raises(InputError, match="sum to one with those of the opposite"):
        judges.cyclic(kind, jnp.ones((2, 2)))


def test_labels_run_out_and_come_late():
    one, other = drawn(3, number=6), drawn(4, number=6)
    score = segments.partial_return()
    least = np.sort(np.maximum(score(one), score(other)))[2]
    picky = judges.abstaining(judges.rational(score), score, least)
    slow = judges.delayed(judges.budgeted(judges.annotator(picky), 7), 2)
    answers = np.asarray(picky(jax.random.key(0), one, other).weight)
    assert answers.sum() == 4
    state = slow.init(one)
    given = []
    for round_ in range(5):
        state, found = slow.ask(state, jax.random.key(1), one, other)
        given.append(np.asarray(found.weight))
        if round_ >= 2:
            np.testing.assert_array_equal(found.first.obs, one.obs)
    kept = np.cumsum(np.tile(answers, 3)).reshape(3, 6) <= 7
    expected = np.concatenate([np.zeros((2, 6)), answers * kept])
    np.testing.assert_array_equal(given, expected)
    assert np.sum(given) == 7 and state.inner[1] == 0
    none = judges.budgeted(judges.annotator(picky), 0)
    assert not none.ask(none.init(one), jax.random.key(2), one, other)[1].weight.any()
    for call in (lambda: judges.budgeted(slow, -1), lambda: judges.delayed(slow, 0)):
        with pytest.raises(InputError):
            call()
