"""Statistics of scores against closed forms, other libraries and brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments import statistics
from experiments.statistics import bands, bootstrap, interval
from jaxrl.errors import InputError

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(10, 3)) + [0.0, 1.0, 5.0]


def close(found, expected):
    """Whether two numbers agree to single precision."""
    return float(found) == pytest.approx(expected, rel=1e-5)


def gaps(scores, number):
    """Scores, the last of some of which are missing."""
    return np.where(np.arange(len(scores))[:, None] < number, scores, np.nan)


@pytest.mark.parametrize("runs", [1, 3, 4, 10])
def test_the_interquartile_mean_is_a_trimmed_mean(runs):
    scores = SCORES[:runs]
    expected = scipy.stats.trim_mean(scores, 0.25, axis=None)
    assert float(statistics.interquartile_mean(jnp.asarray(scores))) == pytest.approx(
        expected, rel=1e-5
    )
    # Missing runs count as if they were not there.
    some = gaps(SCORES, [runs, 3, 1])
    expected = scipy.stats.trim_mean(some[np.isfinite(some)], 0.25)
    assert float(statistics.interquartile_mean(jnp.asarray(some))) == pytest.approx(
        expected, rel=1e-5
    )


def test_median_and_gap_and_profile():
    scores = jnp.asarray(SCORES)
    assert float(statistics.median(scores)) == pytest.approx(np.median(SCORES.mean(0)), rel=1e-5)
    assert float(statistics.median(scores[:, :1])) == pytest.approx(
        np.median(SCORES[:, 0]), rel=1e-5
    )
    short = np.mean([max(1.0 - x, 0.0) for x in SCORES.reshape(-1)])
    assert float(statistics.optimality_gap(scores)) == pytest.approx(short, rel=1e-5)
    at = np.array([-9.0, 0.5, 99.0])
    expected = [(x < SCORES).mean() for x in at]
    np.testing.assert_allclose(statistics.performance_profile(scores, at), expected, rtol=1e-5)
    assert float(statistics.optimality_gap(jnp.full((3, 2), 2.0))) == 0.0


def test_the_probability_of_improvement_is_that_of_mann_and_whitney():
    x, y = SCORES.round(), RANDOM.normal(size=(7, 3)).round() + 1.0  # with ties
    expected = np.mean(
        [scipy.stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(x.T, y.T)]
    )
    found = statistics.probability_of_improvement(jnp.asarray(x), jnp.asarray(y))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(statistics.probability_of_improvement(jnp.asarray(x), jnp.asarray(x))) == 0.5


def test_the_bootstrap_draws_runs_within_each_task():
    # All 16 resamples of two runs on two tasks are equally likely.
    scores = np.array([[0.0, 10.0], [2.0, 14.0]])
    draws = (
        list(itertools.product((0.0, 2.0), repeat=2)),
        list(itertools.product((10.0, 14.0), repeat=2)),
    )
    means = np.sort([np.mean([*a, *b]) for a in draws[0] for b in draws[1]])
    found = bootstrap(statistics.mean, scores, draws=20_000, confidence=0.5)
    assert found.value == pytest.approx(6.5)
    assert found.low == np.quantile(means, 0.25) and found.high == np.quantile(means, 0.75)
    # A task of one run, and one with a run missing: nothing is drawn from the gap.
    found = bootstrap(statistics.mean, [[1.0, 5.0], [3.0, np.nan]], draws=4_000)
    assert (float(found.low), float(found.high)) == pytest.approx((7 / 3, 11 / 3))


def test_equal_runs_have_an_interval_of_no_width():
    for of in (*statistics.STATISTICS.values(), statistics.optimality_gap):
        found = bootstrap(of, np.full((5, 2), 0.25))
        assert found.low == found.high == found.value


def test_pairs_take_away_what_seeds_share():
    shared = RANDOM.normal(size=(20, 1)) * 10
    x, y = shared + 0.5 + 0.1 * RANDOM.normal(size=(20, 1)), shared
    paired = bootstrap(statistics.paired_difference, x, y, paired=True)
    apart = bootstrap(statistics.difference, x, y)
    assert paired.low > 0.3 and paired.high < 0.7
    assert apart.low < 0 < apart.high
    with pytest.raises(InputError, match="same tasks and seeds"):
        bootstrap(statistics.paired_difference, x, y[1:], paired=True)


def test_intervals_cover_as_often_as_they_say():
    # 200 samples of 25: a 90 % interval of the mean covers it in 86 to 94 % (5 deviations: 10 %).
    samples = np.random.default_rng(3).normal(size=(200, 25, 1)).astype(np.float32)
    tails = (0.05, 0.95)

    def one(scores, key):
        resamples = jax.vmap(lambda k: statistics.mean(statistics.resampled(k, scores)))
        found = resamples(jax.random.split(key, 500))
        return jnp.array([jnp.quantile(found, tail) for tail in tails])

    keys = jax.random.split(jax.random.key(0), len(samples))
    low, high = np.asarray(jax.jit(jax.vmap(one))(samples, keys)).T
    assert 0.78 < np.mean((low < 0) & (high > 0)) < 0.97


def test_bands_are_intervals_at_each_place():
    curves = np.stack([SCORES[:, 0], SCORES[:, 1], np.full(10, np.nan)], 1)
    curves[3:, 1] = np.nan
    found = bands(statistics.interquartile_mean, curves)
    for i, column in enumerate((SCORES[:, 0], SCORES[:3, 1])):
        expected = interval(column, statistics.interquartile_mean)
        np.testing.assert_allclose([x[i] for x in found], expected, rtol=0.2, atol=0.15)
        assert found.value[i] == pytest.approx(scipy.stats.trim_mean(column, 0.25), rel=1e-5)
    assert all(np.isnan(x[2]) for x in found)
    assert all(np.isnan(interval([np.nan, np.inf])))


def test_the_area_under_a_curve_is_its_mean_height():
    steps = [0.0, 1.0, 4.0]
    curves = [[0.0, 2.0, 2.0], [1.0, np.nan, 3.0], [np.nan, np.nan, 7.0], [np.nan] * 3]
    areas = statistics.area_under_curve(steps, curves)
    np.testing.assert_allclose(areas, [(1 + 6) / 4, 2.0, 7.0, np.nan])


def test_wrong_scores_are_told():
    with pytest.raises(InputError, match="shape"):
        bootstrap(statistics.mean, [1.0, 2.0])
    with pytest.raises(InputError, match="Every task"):
        bootstrap(statistics.mean, [[1.0, np.nan]])
    with pytest.raises(InputError, match="iqm"):
        statistics.statistic("iqn")


def test_rliable_agrees():
    metrics = pytest.importorskip("rliable.metrics")
    library = pytest.importorskip("rliable.library")
    scores = jnp.asarray(SCORES)
    for ours, theirs in (
        (statistics.interquartile_mean, metrics.aggregate_iqm),
        (statistics.median, metrics.aggregate_median),
        (statistics.mean, metrics.aggregate_mean),
        (statistics.optimality_gap, metrics.aggregate_optimality_gap),
    ):
        assert float(ours(scores)) == pytest.approx(float(theirs(SCORES)), rel=1e-5)
        found = bootstrap(ours, SCORES)
        _, intervals = library.get_interval_estimates(
            {"x": SCORES}, lambda s, of=theirs: np.array([of(s)]), reps=2_000
        )
        np.testing.assert_allclose([found.low, found.high], intervals["x"][:, 0], atol=0.06)
