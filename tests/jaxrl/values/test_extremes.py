"""Statistics and families at their bounds, at any scale and offset, in float32 and float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import values
from jaxrl.errors import InputError
from tests.jaxrl.values import families, oracles
from tests.jaxrl.values.families import EXACT_MEAN, FAMILIES, LOGITS, SMOOTHED

RNG = np.random.default_rng(0)
LEVELS = np.array([0.0, 1e-7, 0.05, 0.3, 0.5, 0.9, 0.999, 1.0])
AVERSIONS = np.array([-1e30, -50.0, -1.0, -1e-3, 0.0, 1e-6, 0.3, 2.0, 1e4, 1e30])
OF_LEVELS = {
    "cvar": values.cvar,
    "upper-cvar": lambda level: values.from_above(values.cvar(level)),
    "value-at-risk": values.value_at_risk,
    "expectile": values.expectile_at,
}


def cases(dtype):
    """Distributions [B, 8]: random, tied, certain, and with atoms that have no probability."""
    z, p = RNG.normal(size=(12, 8)), RNG.dirichlet(np.ones(8), 12)
    z[1] = 2.5  # tied
    z[2, :4] = z[2, 4:]
    p[3] = np.eye(8)[5]  # certain, among others that are impossible
    p[4], z[4] = np.eye(8)[0], -1.0
    p[5, :3], p[6, -3:], p[7, ::2] = 0, 0, 0
    z[8, 0], z[8, -1], p[8, 0], p[8, -1] = -1e9, 1e9, 0, 0
    p[9] = np.array([1e-9, 1, 1, 1, 1, 1, 1, 1e-9]) / 6  # barely possible ends
    z[9] = np.array([-40, -1, 0, 1, -0.5, 0.2, 0.1, 50])
    p /= p.sum(-1, keepdims=True)
    scale, offset = np.array([[1], [1e-6], [1e6], [1]]), np.array([[0], [0], [0], [-1e5]])
    z = (scale[:, None] * z + offset[:, None]).reshape(-1, 8).astype(dtype)
    scale = np.repeat(scale[:, 0], 12)
    return z, np.tile(p, (4, 1)).astype(dtype), scale, np.repeat(np.abs(offset[:, 0]), 12)


@jax.jit
def every_statistic(d, scale):
    """All statistics of distributions [B, N], at all levels and aversions, and their gradients."""

    def one(make, level):
        value, gradient = jax.value_and_grad(lambda d: make(level)(d).sum())(d)
        return make(level)(d), [jnp.isfinite(x).all() for x in gradient], value

    by_level = {n: jax.lax.map(partial(one, f), LEVELS.astype(d.atoms.dtype))[:2]
                for n, f in OF_LEVELS.items()}  # fmt: skip
    risk = lambda a: values.entropic_risk(a / scale)
    aversions = AVERSIONS.astype(d.atoms.dtype)
    return by_level, jax.lax.map(partial(one, risk), aversions)[:2], values.variance(d)


def check(dtype, precision):
    """Every statistic against its definition, to a few units of the type's precision."""
    z, p, scale, offset = cases(dtype)
    by_level, risk, variance = jax.tree.map(
        np.asarray, every_statistic(values.ReturnDistribution(z, p), scale.astype(dtype))
    )
    assert variance.dtype == dtype and by_level["cvar"][0].dtype == dtype
    exact = z.astype(np.float64), p.astype(np.float64)
    atol = precision * (50 * scale + offset) + 4e-16 * scale  # and the oracle's own rounding
    for i, (atoms, weights) in enumerate(zip(*exact)):
        size = np.ptp(atoms[weights > 0]) + scale[i]
        for name, (got, finite) in by_level.items():
            assert np.all(finite), name
            for level, value in zip(LEVELS.astype(dtype), got[:, i]):
                wanted = oracles.statistic(name, atoms, weights, float(level))
                assert abs(value - wanted) <= atol[i] + precision * size, (name, level, i)
        assert np.all(risk[1])
        for aversion, value in zip(AVERSIONS.astype(dtype), risk[0][:, i]):
            a = float(aversion) / scale[i]
            wanted = oracles.statistic("entropic-risk", atoms, weights, a)
            assert abs(value - wanted) <= atol[i] + precision * size, (aversion, i)
        wanted = oracles.statistic("variance", atoms, weights, 0)
        error = (precision * (size + offset[i])) ** 2 + precision * wanted
        assert abs(variance[i] - wanted) <= 10 * error, i


def test_statistics_at_their_bounds_at_any_scale():
    check(np.float32, 2e-6)
    with jax.enable_x64(True):
        check(np.float64, 1e-13)


def test_levels_may_be_arrays_inside_a_trace():
    d = values.ReturnDistribution(np.arange(4, dtype=np.float32), np.full(4, 0.25, np.float32))

    @jax.jit
    def run(d, level):
        return [(make(level)(d), make(0.5)(d)) for make in OF_LEVELS.values()]

    for traced, plain in run(d, np.float32(0.5)):
        np.testing.assert_allclose(traced, plain)
    with pytest.raises(InputError, match="between 0 and 1"):
        jax.jit(lambda d: values.cvar(np.float32(2.0))(d))(d)


# What some probabilities below zero make of statistics.


def test_signed_measures_have_means_and_no_quantiles():
    """A Retrace target on two atoms: linear statistics are right, and the others are refused."""
    one = lambda p: values.ReturnDistribution(np.float32([[0, 2], [0, 2]]), np.float32(p))
    taken, following = one([[0.5, 0.5], [0.9, 0.1]]), one([[0.6, 0.4], [0.5, 0.5]])
    zero, single = np.zeros(2, np.float32), np.ones(2, np.float32)
    args = zero, single, np.zeros(2, bool), taken, following, single, 1.0
    grid = values.on_support(values.uniform_support(0.0, 2.0, 2))

    @jax.jit
    def run():
        return [
            (d, values.push(d, single, single), values.ordered(d), values.mean(d))
            for compress in (None, grid)
            for d in [values.retrace_distributions(*args, compress=compress)]
        ]

    targets = run()
    weights = np.array([[0.6, 0.4], [0.5, 0.5]]) + [[-0.4, 0.4], [0, 0]]  # by hand
    for *found, mean in targets:
        np.testing.assert_allclose(mean, 2 * weights[:, 1], atol=1e-6)
        for derived in found:
            assert isinstance(derived, values.SignedMeasure)
            for make in (*OF_LEVELS.values(), values.entropic_risk, values.mean_variance):
                with pytest.raises(InputError, match="negative probabilities"):
                    jax.eval_shape(make(0.3), derived)
    on_grid = targets[1][0]
    reach = jax.jit(values.reach_probability(1.0))(on_grid)
    np.testing.assert_allclose(reach, weights[:, 1], atol=1e-6)
    for name, family in FAMILIES.items():
        refused = name not in EXACT_MEAN | {"lower confidence"} or name.startswith(
            ("gaussian", "categorical", "expectile")
        )
        if refused and "two-hot" not in name and name != "hl-gauss":
            with pytest.raises(InputError):
                jax.eval_shape(family.project, on_grid)
    by_hand = values.ReturnDistribution(jnp.arange(3.0), np.float32([0.7, -0.2, 0.5]))
    with pytest.raises(InputError, match="take the mean"):
        values.cvar(0.3)(by_hand)


# Families.


def scaled(name, scale, offset):
    """The family of that name for returns multiplied by `scale` and raised by `offset`."""
    low, high = families.LOW * scale + offset, families.HIGH * scale + offset
    support = values.uniform_support(low, high, families.ATOMS)
    return {
        "scalar": values.scalar(),
        "categorical": values.categorical(support),
        "two-hot": values.two_hot(support),
        "hl-gauss": values.hl_gauss(support),
        "quantile": values.quantile(9, kappa=scale),
        "quantile kappa 0": values.quantile(9, kappa=0.0),
        "implicit": values.implicit_quantile(9, kappa=scale),
        "fully parameterised": values.fully_parameterised_quantile(9, kappa=scale),
        "expectile": values.expectile(9),
        "gaussian": values.gaussian(least=3e-4 * scale, greatest=2e5 * scale),
        "particles": values.particles(9),
        "truncated": values.ensemble(values.categorical(support), 2, values.truncated(4)),
        "lower confidence": values.ensemble(values.quantile(9), 3, values.lower_confidence(1.0)),
    }[name]


SCALED = ("scalar", "categorical", "two-hot", "hl-gauss", "quantile", "quantile kappa 0",
          "implicit", "fully parameterised", "expectile", "gaussian", "particles", "truncated",
          "lower confidence")  # fmt: skip


def test_families_are_scaled_with_returns():
    """Decoded projections of scaled and shifted returns are those of the returns, transformed."""
    d = families.sample(1, (4, 12), -8, 8)
    transforms = ((1.0, 0.0), (1e-6, 0.0), (1e6, 0.0), (1.0, -1e5))

    @jax.jit
    def all_of_them():
        return [
            [f.decode(f.project(values.push(d, jnp.full(4, b), jnp.full(4, a))))
             for a, b in transforms for f in [scaled(name, a, b)]] for name in SCALED
        ]  # fmt: skip

    for name, found in zip(SCALED, all_of_them()):
        for (a, b), out in zip(transforms, found):
            exact, moved = (
                (np.asarray(x.probabilities, np.float64), np.asarray(x.atoms, np.float64))
                for x in (found[0], out)
            )
            first, second = ((p * z).sum(-1) for p, z in (exact, moved))
            atol = 2e-3 if b else 1e-4
            np.testing.assert_allclose((second - b) / a, first, atol=20 * atol, err_msg=name)
            spread = lambda p, z: (p * (z - (p * z).sum(-1, keepdims=True)) ** 2).sum(-1)
            np.testing.assert_allclose(
                spread(*moved) / a**2, spread(*exact), atol=20 * atol, rtol=5e-3, err_msg=name
            )


def test_small_expectiles_are_imputed():
    family, d = values.expectile(9), families.sample(3, (5, 12), -3e-6, 3e-6)

    @jax.jit
    def run(d, certain):
        theta = family.project(d)
        return theta, family.project(family.decode(theta)), values.mean(family.decode(certain))

    theta, again, certain = map(np.asarray, run(d, np.full(9, 0.3, np.float32)))
    np.testing.assert_allclose(again, theta, atol=1e-9)
    np.testing.assert_allclose(certain, 0.3)


def test_a_support_far_from_zero_keeps_what_lies_on_its_atoms():
    support = values.uniform_support(1e5 - 1, 1e5 + 1, 51)
    family = values.categorical(support)

    @jax.jit
    def run(theta):
        law = family.decode(theta)
        return law.probabilities, family.decode(family.project(law)).probabilities

    np.testing.assert_allclose(*run(np.float32(RNG.normal(size=(3, 51)))), atol=1e-5)
    for low, high, size in ((1e5, 1e5 + 1e-3, 51), (-np.inf, 0.0, 3), (-3e38, 3e38, 5)):
        with pytest.raises(InputError, match="distinct"):
            values.uniform_support(low, high, size)
    with pytest.raises(InputError, match="low must be below high"):
        values.symlog_support(np.nan, 1.0, 3)


@pytest.mark.parametrize("width", [1e-6, 1e4, 1e9])
def test_any_width_of_a_histogram(width):
    family = values.hl_gauss(families.SUPPORT, width)

    @jax.jit
    def run(returns):
        out = family.decode(family.project(values.dirac(returns)))
        return out.probabilities, values.mean(out)

    probabilities, mean = run(np.float32([0, 3, 10, -50]))
    if width > 1:  # a uniform distribution
        np.testing.assert_allclose(probabilities, 1 / families.ATOMS, rtol=1e-3)
    else:
        np.testing.assert_allclose(mean, [0, 3, 10, -10], atol=1e-5)
    with pytest.raises(InputError, match="width must be above zero"):
        values.hl_gauss(families.SUPPORT, 0.0)


@pytest.mark.parametrize("make", [values.gaussian, values.gaussian_wasserstein])
def test_a_gaussian_beyond_its_bounds_comes_back(make):
    """From deviations far too small and far too large, to those of the target."""
    family, d = make(), families.sample(2, (40,), -3, 3)

    def step(theta, _):
        gradient = jax.grad(family.loss)(theta, d)
        return theta - 0.02 * gradient / (1e-6 + jnp.abs(gradient)), None

    @jax.jit
    def run(start):
        learn = lambda theta: jax.lax.scan(step, theta, None, 1500)[0]
        return jax.vmap(learn)(start), family.project(d)

    found, wanted = map(np.asarray, run(np.float32([[0, -20], [0, 20]])))
    np.testing.assert_allclose(found[:, 1], wanted[1], atol=0.05)


# Gradients where something is equal, dead, or infinite; without compilation, and in float64.


def test_gradients_are_finite_where_members_are_equal_dead_or_infinite():
    z, p = np.zeros((3, 4, 5), np.float32), np.full((3, 4, 5), 0.2, np.float32)
    broken = values.ReturnDistribution(z.copy(), p)
    broken.atoms[:, 1] = np.inf
    z[1], z[2, 0] = 1e5, np.arange(5)
    reductions = (
        values.minimum, values.average, values.truncated(7), values.lower_confidence(2.0),
        values.quantile_of_ensemble(0.5), partial(values.pessimistic, drop=7),
    )  # fmt: skip
    careful = (values.minimum, values.truncated(5), values.quantile_of_ensemble(0.4))

    @jax.jit
    def run(d, broken):
        total = lambda d, reduce: values.mean(reduce(d)).sum()
        return (
            [jax.grad(partial(total, reduce=reduce))(d) for reduce in reductions],
            values.mean(values.lower_confidence(1.0)(d)),
            [values.mean(reduce(broken)) for reduce in careful],
        )

    gradients, equal, whole = run(values.ReturnDistribution(z, p), broken)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))
    np.testing.assert_array_equal(np.asarray(equal)[0], 0.0)  # no floor
    np.testing.assert_allclose(np.asarray(equal)[1], 1e5, rtol=1e-6)
    for mean in whole:
        np.testing.assert_array_equal(mean, 0.0)


def test_soft_policies_may_exclude_actions():
    q = np.float32([[1.0, -np.inf, 2.0]])
    statistic = lambda d: q
    soft = lambda t: values.mean(values.soft(values.scalar(), t, 0.5, statistic)).sum()
    value, slope = jax.jit(jax.value_and_grad(soft))(np.float32([[[1.0], [7.0], [2.0]]]))
    np.testing.assert_allclose(value, 0.5 * np.logaddexp(1 / 0.5, 2 / 0.5), rtol=1e-6)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_families_in_float64(name):
    """Outputs, distributions, losses and gradients are float64, and precise to it; NaN is seen."""
    with jax.enable_x64(True), jax.debug_nans(True):
        family = remade(name)
        z, p = RNG.uniform(-4, 4, (2, 3, 12)), RNG.dirichlet(np.ones(12), (2, 3))
        d = values.ReturnDistribution(z, p)

        @jax.jit
        def all_of_it(d):
            theta = family.project(d)
            out = family.decode(theta)
            pushed = values.mix(values.push(out, jnp.ones((2, 3)), 0.9), jnp.full((2, 3), 1 / 3))
            start = theta if name.startswith("implicit") else theta * 0 - 1e3
            loss, slope = jax.value_and_grad(lambda t: family.loss(t, d).sum())(start)
            again = values.mean(family.decode(family.project(out)))
            return theta, out, again, values.mean(pushed), loss, slope

        theta, out, again, pushed, loss, slope = jax.tree.map(np.asarray, all_of_it(d))
        leaves = jax.tree.leaves((theta, out, again, pushed, loss, slope))
        assert all(x.dtype == np.float64 for x in leaves)
        assert np.isfinite(loss) and np.isfinite(slope).all()
        mean = (out.atoms * out.probabilities).sum(-1)
        if name in EXACT_MEAN:
            np.testing.assert_allclose(mean, (z * p).sum(-1), atol=1e-12)
        np.testing.assert_allclose(pushed, 1 + 0.9 * mean.mean(-1), atol=1e-12)
        if name not in SMOOTHED | families.PESSIMISTIC and "implicit" not in name:
            np.testing.assert_allclose(again, mean, atol=1e-9)
        single = jax.tree.map(lambda x: x.astype(np.float32), (theta, d))
        half = jax.jit(family.loss)(*single)
        assert np.isfinite(half).all()
        assert name not in LOGITS or (np.abs(out.probabilities.sum(-1) - 1) < 1e-12).all()


def test_families_without_compilation_where_nan_is_an_error():
    """At outputs that are huge or infinite: no operation gives NaN, even one that is not used."""
    # Operations are compiled for each size: these have few.
    few = {x: FAMILIES[x] for x in ("quantile", "expectile", "gaussian", "lower confidence")}
    few["categorical"] = values.categorical(values.uniform_support(-10.0, 10.0, 9))
    d = families.sample(0, (2, 9))
    with jax.disable_jit(), jax.debug_nans(True):
        for name, family in few.items():
            theta = np.float32(RNG.normal(size=(2, family.size)) * 1e9)
            if name in LOGITS:
                theta[:, :2] = np.inf
            risk = lambda theta, f=family: values.expectile_at(0.8)(f.decode(theta)).sum()
            for loss in (risk, lambda theta, f=family: f.loss(theta, d).sum()):
                assert np.isfinite(jax.grad(loss)(theta)).all()


def remade(name):
    """The family of that name, with atoms of the type that floats have now."""
    if name in SCALED and name not in ("truncated", "lower confidence"):
        return scaled(name, 1.0, 0.0)
    if name.endswith(("symlog", "asinh")):
        kind, spacing = name.split()
        make = {"categorical": values.categorical, "two-hot": values.two_hot}[kind]
        support = {"symlog": values.symlog_support, "asinh": values.asinh_support}[spacing]
        return make(support(families.LOW, families.HIGH, families.ATOMS))
    return FAMILIES[name]
