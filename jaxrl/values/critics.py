"""Settings of representations, statistics and ensembles, for command lines and files.

Numbers can be traced, so that whole runs can be vmapped over them; names and counts are static.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from jaxrl.errors import require, require_known, require_non_negative, require_positive
from jaxrl.types import Array, Key
from jaxrl.values.categorical import (
    Support,
    asinh_support,
    categorical,
    hl_gauss,
    symlog_support,
    two_hot,
    uniform_support,
)
from jaxrl.values.distributions import Statistic, mean, pessimistic
from jaxrl.values.ensemble import (
    Reduction,
    average,
    ensemble,
    lower_confidence,
    minimum,
    quantile_of_ensemble,
    random_subset,
    truncated,
)
from jaxrl.values.expectile import expectile
from jaxrl.values.mixture import gaussian_mixture
from jaxrl.values.monotone import spline_quantile
from jaxrl.values.particle import gaussian, particles
from jaxrl.values.quantile import fully_parameterised_quantile, implicit_quantile, quantile
from jaxrl.values.representations import Representation, scalar
from jaxrl.values.statistics import (
    cvar,
    entropic_risk,
    expected_utility,
    expectile_at,
    from_above,
    homeostatic,
    mean_variance,
    reach_probability,
    value_at_risk,
)

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Critic:
    """The settings of a `Representation`: what the outputs of a critic stand for."""

    family: str = static(default="scalar")
    """Family of return distributions: scalar, categorical, two-hot, hl-gauss, quantile, spline,
    expectile, implicit-quantile, fully-parameterised-quantile, gaussian, gaussian-mixture or
    particles."""
    atoms: int = static(default=51)
    """Number of atoms, quantiles, expectiles, fractions or particles of a distribution. A spline
    has a piece for every four, and a gaussian-mixture a component for every eight."""
    spacing: str = static(default="uniform")
    """Spacing of the atoms of categorical, two-hot and hl-gauss critics: uniform, symlog or
    asinh."""
    low: float = -110.0
    """Lowest atom of categorical, two-hot and hl-gauss critics, to which lower returns are
    clipped."""
    high: float = 110.0
    """Highest atom of categorical, two-hot and hl-gauss critics, to which higher returns are
    clipped."""
    width: float = 0.75
    """Standard deviation, in atoms, of the Gaussian of hl-gauss critics."""
    kappa: float = 1.0
    """Error at which the quantile Huber loss turns from quadratic to linear; 0 is the quantile
    loss."""


@struct.dataclass
class Objective:
    """The settings of a `Statistic`: what an agent maximises of its return."""

    statistic: str = static(default="mean")
    """Statistic of the return to maximise: mean, cvar, upper-cvar, value-at-risk, expectile,
    entropic-risk, mean-variance, reach-probability, homeostatic, shortfall or excess. All but mean
    need a critic of distributions."""
    level: float = 0.25
    """Share of returns of cvar and upper-cvar, level of value-at-risk and expectile, aversion to
    risk of entropic-risk and mean-variance, or target return of reach-probability, homeostatic
    (the negated expected distance to it), shortfall (the expectation of min(return - level, 0)) and
    excess (the expectation of max(return - level, 0))."""


@struct.dataclass
class Ensemble:
    """The settings of an ensemble of critics and of the `Reduction` of their predictions to one."""

    members: int = static(default=2)
    """Number of critics."""
    reduction: str = static(default="minimum")
    """Reduction of the critics' predictions to one in targets: minimum, average, truncated,
    lower-confidence or quantile."""
    subset: int = static(default=0)
    """Number of critics, drawn anew at each gradient step, that targets are computed from; 0 is
    all."""
    drop: int = static(default=2)
    """Number of highest atoms per critic that the truncated reduction leaves out, or as large a
    share of the probability where atoms have unequal probabilities."""
    level: float = 1.0
    """Number of standard deviations that the lower-confidence reduction subtracts, or the level of
    the quantile reduction: 0 is the minimum over critics and 1 the maximum."""


SPACINGS: dict[str, Callable[[float | Array, float | Array, int], Support]] = {
    "uniform": uniform_support,
    "symlog": symlog_support,
    "asinh": asinh_support,
}

CRITICS: dict[str, Callable[[Critic], Representation]] = {
    "scalar": lambda s: scalar(),
    "categorical": lambda s: categorical(support(s)),
    "two-hot": lambda s: two_hot(support(s)),
    "hl-gauss": lambda s: hl_gauss(support(s), s.width),
    "quantile": lambda s: quantile(s.atoms, s.kappa),
    "spline": lambda s: spline_quantile(max(s.atoms // 4, 1), kappa=s.kappa),
    "expectile": lambda s: expectile(s.atoms),
    "implicit-quantile": lambda s: implicit_quantile(s.atoms, s.kappa),
    "fully-parameterised-quantile": lambda s: fully_parameterised_quantile(s.atoms, s.kappa),
    "gaussian": lambda s: gaussian(),
    "gaussian-mixture": lambda s: gaussian_mixture(max(s.atoms // 8, 1)),
    "particles": lambda s: particles(s.atoms),
}


REDUCTIONS: dict[str, Callable[[Ensemble, bool], Reduction]] = {
    "minimum": lambda s, equal: minimum,
    "average": lambda s, equal: average,
    "truncated": lambda s, equal: (partial(pessimistic, drop=dropped(s)) if equal else
                                   truncated(dropped(s))),
    "lower-confidence": lambda s, equal: lower_confidence(s.level),
    "quantile": lambda s, equal: quantile_of_ensemble(s.level),
}  # fmt: skip


def dropped(settings: Ensemble) -> int:
    """How many atoms of all members together the truncated reduction leaves out."""
    return settings.drop * (settings.subset or settings.members)


def column(level: float | Array) -> Array:
    """Levels [...] as an array [..., 1] that broadcasts against atoms [..., N]."""
    return jnp.asarray(level)[..., None]


OBJECTIVES: dict[str, Callable[[float | Array], Statistic]] = {
    "mean": lambda level: mean,
    "cvar": cvar,
    "upper-cvar": lambda level: from_above(cvar(level)),
    "value-at-risk": value_at_risk,
    "expectile": expectile_at,
    "entropic-risk": entropic_risk,
    "mean-variance": mean_variance,
    "reach-probability": reach_probability,
    "homeostatic": homeostatic,
    "shortfall": lambda level: expected_utility(lambda z: jnp.minimum(z - column(level), 0.0)),
    "excess": lambda level: expected_utility(lambda z: jnp.maximum(z - column(level), 0.0)),
}


def critic(settings: Critic) -> Representation:
    """The representation that settings describe.

    Raises an InputError for an unknown family or spacing, or for numbers that do not fit.

    Examples:
        >>> values.critic(values.Critic("quantile", atoms=4)).size
        4
    """
    require_known("critic family", settings.family, CRITICS)
    require_positive(atoms=settings.atoms, width=settings.width)
    require_non_negative(kappa=settings.kappa)
    return CRITICS[settings.family](settings)


def support(settings: Critic) -> Support:
    """The support that settings describe. Raises an InputError if they do not fit."""
    require_known("spacing of atoms", settings.spacing, SPACINGS)
    return SPACINGS[settings.spacing](settings.low, settings.high, settings.atoms)


def objective(settings: Objective) -> Statistic:
    """The statistic that settings describe.

    Raises an InputError for an unknown statistic, or a level that it cannot have.

    Examples:
        >>> print(values.objective(values.Objective("cvar", level=0.8))(z))
        0.25
    """
    require_known("statistic", settings.statistic, OBJECTIVES)
    level = settings.level
    if not isinstance(level, Tracer):
        require(bool(np.isfinite(level).all()), f"level must be finite, but it is {level}.")
    return OBJECTIVES[settings.statistic](settings.level)


def reduction(settings: Ensemble, key: Key | None = None, equal: bool = False) -> Reduction:
    """The reduction that settings describe, of all members unless a `key` draws some of them.

    It is faster if all atoms are known to have `equal` probabilities. Raises an InputError for an
    unknown reduction, or for numbers that do not fit.

    Examples:
        >>> print(values.mean(values.reduction(values.Ensemble(reduction="minimum"))(pair)))
        1.0
    """
    require_known("reduction of an ensemble", settings.reduction, REDUCTIONS)
    members, subset = settings.members, settings.subset
    require_positive(members=members)
    require(0 <= subset <= members, f"subset must be between 0 and {members}, but it is {subset}.")
    require_non_negative(drop=settings.drop)
    if not subset or key is None:
        return REDUCTIONS[settings.reduction](replace(settings, subset=0), equal)
    return random_subset(key, subset, REDUCTIONS[settings.reduction](settings, equal))


def ensemble_critic(
    representation: Representation, settings: Ensemble, key: Key | None = None
) -> Representation:
    """The ensemble of a representation that settings describe; a `key` draws the subset.

    Raises an InputError for settings that do not fit each other or the representation, before
    anything is compiled.

    Examples:
        >>> three = values.ensemble_critic(values.scalar(), values.Ensemble(members=3))
        >>> print(values.mean(three.decode(jnp.array([3.0, 1.0, 2.0]))))
        1.0
    """
    reduce = reduction(settings, key, representation.equal)
    critics = ensemble(representation, settings.members, reduce)
    outputs = jax.ShapeDtypeStruct((representation.size,), jnp.float32)
    atoms = jax.eval_shape(representation.decode, outputs).atoms.shape[-1]
    if settings.reduction == "truncated":
        require(
            settings.drop < atoms,
            f"ensemble.drop is {settings.drop}, but its critics have {atoms} atoms each: "
            "drop fewer of them, or choose the reduction minimum.",
        )
    return critics
