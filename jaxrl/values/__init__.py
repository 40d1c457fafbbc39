"""Value functions as projections of return distributions.

A return distribution is a set of weighted atoms, a backup is a map on atoms, and a critic is a
projection of atoms. The same functions serve tables and networks, means and distributions.

The laws, each with its test in tests/jaxrl/values:

- `push` is an action of the affine maps z -> r + g z: pushing twice is pushing by the composition,
  (0, 1) does nothing, g = 0 leaves the reward alone, so that terminal states are no special case
  (test_laws: push_is_an_action).
- `mix` is associative, commutes with `push`, and means are linear in it (test_laws:
  mix_is_associative).
- `project` after `decode` is the identity on what `project` can give, keeps the total weight, and
  keeps the mean if the family is scalar, categorical, two-hot, expectile, Gaussian or a mixture of
  Gaussians; HL-Gauss nearly (test_projections, test_splines_and_mixtures). A backup then has the
  mean of the scalar backup (test_laws: backups_of_mean_preserving_families).
- Scalar and categorical projections are linear, so that projecting before mixing loses nothing;
  quantile projections are not (test_laws: linear_projections_commute,
  quantile_projection_does_not).
- Quantiles that are sums of positive steps, or points of an increasing spline, ascend whatever the
  outputs are (tests/jaxrl/dp/test_direct: cannot_cross, test_splines_and_mixtures).
- No projection expands its distance: categorical ones the Cramer distance, quantiles and expectiles
  the infinite Wasserstein distance, means the Wasserstein distance. Projected policy evaluation
  therefore contracts by the root of gamma, which is attained, for categorical families, and by
  gamma for the others (test_contraction).
- `loss` is smallest at the projection, except that kappa > 0 moves quantiles towards the mean
  (test_losses: descent_reaches_the_projection), is linear in probabilities, so that mixing targets
  is averaging losses, and is finite for any target and any finite or infinite logits
  (test_losses: never_nan).
- `truncate` then `mean` is `cvar`; on equal weights it is `pessimistic` (test_statistics). `cvar`
  is the spectral measure of min(u / level, 1), and spectral measures mix as their weights do
  (tests/jaxrl/dp/test_risk: spectral_measures).
- A statistic that is monotone and moves with constants makes a backup that contracts by the
  discount, and its worst cases are those of an adversary: `cvar` of a bound on density ratios, the
  entropic value at risk of relative entropy (tests/jaxrl/dp/test_risk). Of the whole return
  instead of the next step these statistics need time, stock or level beside the state.
- A fixed point of a backup has the derivatives (I - dT)^-1 of its operator, of any order, in
  rewards, probabilities, discount, temperature and level, whatever iteration found it
  (tests/jaxrl/dp/test_derivatives).
- The `cramer` loss has unbiased gradients from samples, and is least at the projection of
  `categorical`; signed weights have one nearest distribution, `unsigned`
  (tests/jaxrl/dp/test_direct).
- Statistics and projections are shifted and scaled with the returns, at any scale, and atoms
  without probability do not matter (test_extremes).
- Multi-step targets are fixed points of backward recursions in `push` and signed mixtures, whose
  means are the functions of `jaxrl.returns` (test_multistep).

Examples:
    The examples of this package share a return `z` of 0 or 4, a `pair` of returns with means 1 and
    2, the values `q` of two actions, and two `steps` of rewards, discounts and boundaries:

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from jaxrl import values
    >>> z = values.ReturnDistribution(jnp.array([0.0, 4.0]), jnp.array([0.75, 0.25]))
    >>> pair = jax.tree.map(lambda *x: jnp.stack(x), z, values.shift(z, 1.0))
    >>> q = jnp.array([[1.0], [3.0]])
    >>> steps = jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5]), jnp.array([False, False])
"""

from jaxrl.values.categorical import (
    Support,
    asinh_support,
    categorical,
    gaussian_blur,
    hl_gauss,
    linear,
    on_support,
    symlog_support,
    two_hot,
    uniform_support,
    warped_support,
)
from jaxrl.values.cramer import cramer, unsigned
from jaxrl.values.critics import (
    CRITICS,
    OBJECTIVES,
    REDUCTIONS,
    Critic,
    Ensemble,
    Objective,
    critic,
    ensemble_critic,
    objective,
    reduction,
)
from jaxrl.values.distributions import (
    ReturnDistribution,
    SignedMeasure,
    Statistic,
    cdf,
    collapse,
    dirac,
    mean,
    mix,
    ordered,
    pessimistic,
    push,
    push_worst,
    quantiles,
    shift,
    truncate,
)
from jaxrl.values.ensemble import (
    average,
    ensemble,
    lower_confidence,
    minimum,
    quantile_of_ensemble,
    random_subset,
    truncated,
)
from jaxrl.values.evaluation import (
    entropic,
    entropy_shift,
    expected,
    greedy,
    munchausen,
    soft,
    sparsemax,
    take,
    tsallis,
)
from jaxrl.values.expectile import expectile
from jaxrl.values.mixture import gaussian_mixture
from jaxrl.values.monotone import (
    non_crossing_quantile,
    rational_quadratic,
    spline_quantile,
)
from jaxrl.values.multistep import (
    lambda_distributions,
    n_step_distributions,
    off_policy_distributions,
    retrace_distributions,
)
from jaxrl.values.particle import (
    energy,
    gaussian,
    gaussian_kernel,
    gaussian_wasserstein,
    particles,
)
from jaxrl.values.quantile import (
    fully_parameterised_quantile,
    implicit_quantile,
    midpoints,
    quantile,
    quantile_loss,
)
from jaxrl.values.representations import (
    Representation,
    collapsed,
    huber_means,
    require_distribution,
    require_explicit,
    scalar,
)
from jaxrl.values.selection import filled, sample_quantiles
from jaxrl.values.statistics import (
    cvar,
    entropic_risk,
    expected_utility,
    expectile_at,
    from_above,
    homeostatic,
    lexicographic,
    mean_variance,
    reach_probability,
    spectral,
    value_at_risk,
    variance,
    wang,
)

__all__ = [
    "CRITICS",
    "OBJECTIVES",
    "REDUCTIONS",
    "Critic",
    "Ensemble",
    "Objective",
    "Representation",
    "ReturnDistribution",
    "SignedMeasure",
    "Statistic",
    "Support",
    "asinh_support",
    "average",
    "categorical",
    "cdf",
    "collapse",
    "collapsed",
    "cramer",
    "critic",
    "cvar",
    "dirac",
    "energy",
    "ensemble",
    "ensemble_critic",
    "entropic",
    "entropic_risk",
    "entropy_shift",
    "expected",
    "expected_utility",
    "expectile",
    "expectile_at",
    "filled",
    "from_above",
    "fully_parameterised_quantile",
    "gaussian",
    "gaussian_blur",
    "gaussian_kernel",
    "gaussian_mixture",
    "gaussian_wasserstein",
    "greedy",
    "hl_gauss",
    "homeostatic",
    "huber_means",
    "implicit_quantile",
    "lambda_distributions",
    "lexicographic",
    "linear",
    "lower_confidence",
    "mean",
    "mean_variance",
    "midpoints",
    "minimum",
    "mix",
    "munchausen",
    "n_step_distributions",
    "non_crossing_quantile",
    "objective",
    "off_policy_distributions",
    "on_support",
    "ordered",
    "particles",
    "pessimistic",
    "push",
    "push_worst",
    "quantile",
    "quantile_loss",
    "quantile_of_ensemble",
    "quantiles",
    "random_subset",
    "rational_quadratic",
    "reach_probability",
    "reduction",
    "require_distribution",
    "require_explicit",
    "retrace_distributions",
    "sample_quantiles",
    "scalar",
    "shift",
    "soft",
    "sparsemax",
    "spectral",
    "spline_quantile",
    "symlog_support",
    "take",
    "truncate",
    "truncated",
    "tsallis",
    "two_hot",
    "uniform_support",
    "unsigned",
    "value_at_risk",
    "variance",
    "wang",
    "warped_support",
]
