"""Statistics against their definitions, in float64 and by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from jaxrl import values
from tests.jaxrl.values.families import close, distribution, distributions, rows, sample

some = settings(max_examples=40, deadline=None, derandomize=True)
LEVELS = [0.0, 0.05, 0.3, 0.5, 0.8, 1.0]


def exact(d):
    """Atoms and probabilities [B, N] in float64, the latter summing to one."""
    p = np.asarray(d.probabilities, np.float64)
    return np.asarray(d.atoms, np.float64), p / p.sum(-1, keepdims=True)


def quantile_by_definition(z, p, level):
    """The least atom with a positive weight whose distribution function reaches the level."""
    candidates = np.sort(z[p > 0])
    for x in candidates:
        if p[z <= x].sum() >= level - 2e-6:
            return x
    return candidates[-1]


def cvar_by_definition(z, p, level):
    """max_b b - E max(b - Z, 0) / level, at the atoms, where the maximum is."""
    if level == 0:
        return z[p > 1e-6].min()
    return max(b - (p * np.maximum(b - z, 0)).sum() / level for b in z)


@pytest.mark.parametrize("level", LEVELS)
@some
@given(d=distributions())
def test_value_at_risk_and_cvar(level, d):
    var, cvar = (np.asarray(STATISTICS[name](d, level)) for name in ("var", "cvar"))
    for i, (z, p) in enumerate(zip(*exact(d))):
        if np.abs(np.cumsum(p[np.argsort(z)]) - level).min() > 1e-5 or level == 0:
            assert var[i] == pytest.approx(quantile_by_definition(z, p, level))
        assert cvar[i] == pytest.approx(cvar_by_definition(z, p, level), abs=2e-4)


STATISTICS = {
    "var": jax.jit(lambda d, level: values.value_at_risk(level)(d)),
    "cvar": jax.jit(lambda d, level: values.cvar(level)(d)),
    "expectile": jax.jit(lambda d, level: values.expectile_at(level)(d)),
    "entropic": jax.jit(lambda d, a: values.entropic_risk(a)(d)),
}


def test_value_at_risk_at_a_jump_is_the_lower_atom():
    """Where sums of float32 weights round, the exact levels i/N still give atom i, not i + 1."""
    counts = (3, 7, 10, 51, 200)
    many = [distribution(np.arange(n), np.ones(n)) for n in counts]
    run = lambda many: [values.quantiles(d, jnp.arange(1, n + 1) / n) for n, d in zip(counts, many)]
    for n, got in zip(counts, jax.jit(run)(many)):
        close(got, np.arange(n))


def test_cvar_of_known_distributions():
    @jax.jit
    def run(d):
        known = [values.cvar(level)(d) for level in (0.25, 1.0)]
        known += [values.from_above(values.cvar(level))(d) for level in (0.1, 0.25)]
        return known, jax.vmap(lambda level: values.cvar(level)(d))(jnp.linspace(0.1, 1, 5))

    known, swept = run(distribution(np.arange(10.0), np.ones(10)))
    close(known, [(0 + 1 + 0.5 * 2) / 2.5, 4.5, 9.0, (9 + 8 + 0.5 * 7) / 2.5], 1e-12, 1e-6)
    assert (np.diff(swept) > 0).all()  # a level may be swept


@pytest.mark.parametrize("level", [0.02, 0.3, 0.5, 0.9])
@some
@given(d=distributions())
def test_expectile_solves_its_equation(level, d):
    got = np.asarray(STATISTICS["expectile"](d, level))
    for i, (z, p) in enumerate(zip(*exact(d))):
        balance = lambda m, z=z, p=p: (
            level * (p * np.maximum(z - m, 0)).sum()
            - (1 - level) * (p * np.maximum(m - z, 0)).sum()
        )
        root = optimize.brentq(balance, z.min() - 1, z.max() + 1)
        assert got[i] == pytest.approx(root, abs=3e-4)


@pytest.mark.parametrize("aversion", [-3.0, -0.1, -1e-4, 0.0, 1e-4, 0.1, 1.0, 30.0])
@some
@given(d=distributions())
def test_entropic_risk(aversion, d):
    got = np.asarray(STATISTICS["entropic"](d, aversion))
    for i, (z, p) in enumerate(zip(*exact(d))):
        p, z = p[p > 0], z[p > 0]
        wanted = (p * z).sum()
        if aversion:
            x = -aversion * (z - wanted)
            log = np.log1p((p * np.expm1(x)).sum()) if np.abs(x).max() < 1 else np.logaddexp.reduce(
                x + np.log(p)
            )  # fmt: skip
            wanted -= log / aversion
        assert got[i] == pytest.approx(wanted, abs=2e-4)


def test_entropic_risk_of_a_gaussian_has_its_closed_form_and_a_gradient():
    risk = lambda a, d: values.entropic_risk(a)(d)

    @jax.jit
    def run(theta):
        d = values.gaussian(16).decode(theta)
        known = [risk(a, d) for a in (-1.0, 0.3, 1.0)]
        return known, [jax.grad(risk)(a, d) for a in (0.0, 1e-3, 5.0)]

    known, slopes = run(np.float32([1.5, np.log(0.8)]))
    close(known, 1.5 - np.array([-1.0, 0.3, 1.0]) * 0.64 / 2, 1e-4, 0)
    assert np.isfinite(slopes).all()


@jax.jit
def utilities(d):
    swept = jnp.array([0.0, 3.0])  # one target per distribution
    return (
        values.variance(d),
        values.mean_variance(0.7)(d),
        values.expected_utility(jnp.sin)(d),
        values.reach_probability(2.0)(d),
        values.homeostatic(-1.5)(d),
        values.reach_probability(swept)(d),
    )


@some
@given(d=distributions())
def test_moments_utilities_and_targets(d):
    z, p = exact(d)
    mean = (p * z).sum(-1)
    variance = (p * (z - mean[:, None]) ** 2).sum(-1)
    spread, penalised, sine, reached, distance, swept = utilities(d)
    close(spread, variance, 1e-3)
    close(penalised, mean - 0.7 * variance, 1e-3)
    close(sine, (p * np.sin(z)).sum(-1))
    close(reached, (p * (z >= 2)).sum(-1))
    close(distance, -(p * np.abs(z + 1.5)).sum(-1))
    close(swept, (p * (z >= np.array([[0], [3]]))).sum(-1))


@jax.jit
def maps(d, points, level):
    truncated = values.truncate(d, level)
    return (
        values.cdf(d, points),
        truncated.probabilities,
        values.mean(truncated),
        values.cvar(level)(d),
        values.ordered(d),
    )


@some
@given(d=distributions(), level=st.floats(0.05, 1.0))
def test_cdf_quantiles_and_truncation_agree(d, level):
    z, p = exact(d)
    points = np.float32(np.linspace(-11, 11, 7) * np.ones((2, 1)))
    wanted = (p[:, None] * (z[:, None] <= points[..., None])).sum(-1)
    cdf, weights, mean, cvar, ordered = maps(d, points, level)
    close(cdf, wanted)
    close(mean, cvar)
    close(np.asarray(weights).sum(-1), 1.0)
    for a, b in zip(rows(ordered), rows(d)):
        assert (np.diff(a.atoms) >= 0).all()
        assert sorted(zip(*a)) == sorted(zip(*b))


def test_truncation_of_equal_weights_is_pessimism():
    equal = sample(0, (4, 3, 5))._replace(probabilities=np.full((4, 3, 5), 1 / 5, np.float32))
    drops = (0, 4, 14)

    @jax.jit
    def run(d):
        kept = [values.truncate(values.average(d), 1 - drop / 15) for drop in drops]
        return [(values.mean(x), values.mean(values.pessimistic(d, drop)))
                for x, drop in zip(kept, drops)]  # fmt: skip

    for kept, pessimistic in run(equal):
        close(kept, pessimistic)
    with pytest.raises(ValueError, match="drop must be between 0 and 14"):
        values.pessimistic(equal, 15)


def test_lexicographic_order_is_that_of_pairs():
    """Against the greatest pair in Python's own order, over all of a small grid."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 3, (2, 50, 4)).astype(np.float32)
    d = distribution(np.stack([first - second, first + second], -1), np.ones((50, 4, 2)))
    spread = lambda d: jnp.sqrt(values.variance(d))

    @jax.jit
    def run(d):
        loose = values.lexicographic(values.mean, spread, tolerance=10.0)(d)
        return values.lexicographic(values.mean, spread)(d), loose

    strict, loose = map(np.asarray, run(d))
    choice = strict.argmax(-1)
    for i in range(50):
        pairs = list(zip(first[i], second[i]))
        assert pairs[choice[i]] == max(pairs)
    close(loose, second, 1e-3)


@pytest.mark.parametrize("make", [values.cvar, values.value_at_risk, values.expectile_at])
def test_levels_outside_the_unit_interval_are_refused(make):
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, but it is 1\.5"):
        make(1.5)
