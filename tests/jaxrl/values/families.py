"""All representations by name, and random distributions: what the laws are checked on."""

import jax
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxrl import values

LOW, HIGH, ATOMS = -10.0, 10.0, 21
SUPPORT = values.uniform_support(LOW, HIGH, ATOMS)
SYMLOG = values.symlog_support(LOW, HIGH, ATOMS)
ASINH = values.asinh_support(LOW, HIGH, ATOMS)

FAMILIES = {
    "scalar": values.scalar(),
    "categorical": values.categorical(SUPPORT),
    "categorical symlog": values.categorical(SYMLOG),
    "categorical asinh": values.categorical(ASINH),
    "two-hot": values.two_hot(SUPPORT),
    "two-hot symlog": values.two_hot(SYMLOG),
    "hl-gauss": values.hl_gauss(SUPPORT),
    "quantile": values.quantile(9),
    "quantile kappa 0": values.quantile(9, kappa=0.0),
    "implicit": values.implicit_quantile(9),
    "fully parameterised": values.fully_parameterised_quantile(9),
    "expectile": values.expectile(9),
    "gaussian": values.gaussian(),
    "gaussian wasserstein": values.gaussian_wasserstein(),
    "particles": values.particles(9),
    "particles, gaussian kernel": values.particles(9, values.gaussian_kernel(1.0)),
    "ensemble": values.ensemble(values.quantile(9), 3),
    "lower confidence": values.ensemble(values.scalar(), 3, values.lower_confidence(1.0)),
    "truncated ensemble": values.ensemble(values.quantile(9), 2, values.truncated(4)),
}
PESSIMISTIC = {"truncated ensemble"}  # lowers the mean each time, on purpose
LOGITS = [n for n in FAMILIES if n.startswith(("categorical", "two-hot", "hl-gauss"))]
SMOOTHED = {"hl-gauss"}  # whose projection keeps the mean, and itself, only nearly
EXACT_MEAN = {
    "scalar",
    "categorical",
    "categorical symlog",
    "categorical asinh",
    "two-hot",
    "two-hot symlog",
    "expectile",
    "gaussian",
    "gaussian wasserstein",
}

every = {  # one program that gives a loss, its gradient, a projection and what outputs decode to
    name: jax.jit(
        lambda theta, d, f=family: (
            *jax.value_and_grad(lambda theta: f.loss(theta, d).sum())(theta),
            f.project(d),
            f.decode(theta),
        )
    )
    for name, family in FAMILIES.items()
}
project = {name: jax.jit(family.project) for name, family in FAMILIES.items()}
decode = {name: jax.jit(family.decode) for name, family in FAMILIES.items()}


def close(a, b, atol=1e-4, rtol=1e-5):
    """Assert that two arrays are nearly equal."""
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol, rtol=rtol)


def rows(d):
    """The distributions [N] of a batch [B, N]."""
    d = jax.tree.map(np.asarray, d)
    return [values.ReturnDistribution(*row) for row in zip(*d)]


def distribution(atoms, weights):
    """A ReturnDistribution of numpy's float32 arrays, with normalised weights."""
    weights = np.asarray(weights, np.float64)
    weights = weights / weights.sum(-1, keepdims=True)
    return values.ReturnDistribution(np.asarray(atoms, np.float32), np.float32(weights))


def sample(seed, shape, low=LOW, high=HIGH):
    """Distributions with atoms drawn from [low, high] and weights from a Dirichlet's marginals."""
    rng = np.random.default_rng(seed)
    return distribution(rng.uniform(low, high, shape), rng.exponential(size=shape) + 1e-3)


def arrays(shape, low, high):
    """Hypothesis arrays of float32 in [low, high], ends and ties included."""
    return hnp.arrays(
        np.float32, shape, elements=st.floats(low, high, width=32, allow_subnormal=False)
    )


def distributions(count=12, low=LOW, high=HIGH):
    """Hypothesis distributions [2, count]: repeated atoms, zero weights and bounds included."""
    weights = hnp.arrays(np.int8, (2, count), elements=st.integers(0, 16))
    weights = weights.filter(lambda w: w.any(-1).all())
    return st.builds(distribution, arrays((2, count), low, high), weights)


def cramer(a, b):
    """The Cramer distance: the root of the integral of squared differences of the cdfs, float64."""
    return np.sqrt(integral(a, b, lambda difference: difference**2))


def wasserstein(a, b):
    """The 1-Wasserstein distance, float64."""
    return integral(a, b, np.abs)


def integral(a, b, cost):
    """The integral of cost(F_a - F_b) for two distributions [N] and [M]."""
    atoms = np.concatenate([np.asarray(a.atoms, np.float64), np.asarray(b.atoms, np.float64)])
    weights = np.concatenate(
        [np.asarray(a.probabilities, np.float64), -np.asarray(b.probabilities, np.float64)]
    )
    order = np.argsort(atoms, kind="stable")
    difference = np.cumsum(weights[order])[:-1]
    return float((np.diff(atoms[order]) * cost(difference)).sum())


def wasserstein_infinity(a, b):
    """The largest difference of quantiles, for equal weights [N] in both."""
    return float(np.abs(np.sort(np.asarray(a.atoms)) - np.sort(np.asarray(b.atoms))).max())
