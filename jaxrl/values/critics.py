"""Settings that name a representation or a statistic: plain values, for command lines and files.

Numbers can be traced, so that whole runs are vmapped over them; names and counts are static.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax.numpy as jnp
from flax import struct
from jax.core import Tracer

from jaxrl.errors import require, require_positive, unknown
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
from jaxrl.values.distributions import Statistic, mean
from jaxrl.values.ensemble import (
    Reduction,
    average,
    lower_confidence,
    minimum,
    quantile_of_ensemble,
    random_subset,
    truncated,
)
from jaxrl.values.expectile import expectile
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
    """What the outputs of a critic mean: the settings of a `Representation`."""

    family: str = static(default="scalar")
    """scalar, categorical, two-hot, hl-gauss, quantile, expectile, implicit-quantile,
    fully-parameterised-quantile, gaussian or particles."""
    atoms: int = static(default=51)
    """How many atoms, quantiles, expectiles, fractions or particles."""
    spacing: str = static(default="uniform")
    """Of the atoms of categorical, two-hot and hl-gauss: uniform, symlog or asinh."""
    low: float = -110.0
    """The lowest atom of categorical, two-hot and hl-gauss: lower returns count as it."""
    high: float = 110.0
    """The highest atom of categorical, two-hot and hl-gauss: higher returns count as it."""
    width: float = 0.75
    """Standard deviation, in atoms, of the Gaussian of hl-gauss."""
    kappa: float = 1.0
    """Error at which the loss of quantiles turns from quadratic to linear; 0 is linear at once."""


@struct.dataclass
class Objective:
    """What an agent maximises of its return: the settings of a `Statistic`."""

    statistic: str = static(default="mean")
    """mean, cvar, upper-cvar, value-at-risk, expectile, entropic-risk, mean-variance,
    reach-probability, homeostatic, shortfall or excess."""
    level: float = 0.25
    """The share of returns of the cvars, the level of value-at-risk and expectile, the aversion to
    risk of entropic-risk and mean-variance, the target of those after them. Shortfall is
    E min(return - level, 0) and excess E max(return - level, 0)."""


@struct.dataclass
class Ensemble:
    """Several critics, and what to believe where they disagree: the settings of a `Reduction`."""

    members: int = static(default=2)
    """How many critics."""
    reduction: str = static(default="minimum")
    """What targets believe: minimum, average, truncated, lower-confidence or quantile."""
    subset: int = static(default=0)
    """How many members, drawn anew at each gradient step, targets ask; 0 is all."""
    drop: int = static(default=2)
    """How many of the highest atoms of each member truncated leaves out."""
    level: float = 1.0
    """The standard deviations that lower-confidence subtracts, or the level of quantile."""


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
    "expectile": lambda s: expectile(s.atoms),
    "implicit-quantile": lambda s: implicit_quantile(s.atoms, s.kappa),
    "fully-parameterised-quantile": lambda s: fully_parameterised_quantile(s.atoms, s.kappa),
    "gaussian": lambda s: gaussian(),
    "particles": lambda s: particles(s.atoms),
}


REDUCTIONS: dict[str, Callable[[Ensemble], Reduction]] = {
    "minimum": lambda s: minimum,
    "average": lambda s: average,
    "truncated": lambda s: truncated(s.drop * (s.subset or s.members)),
    "lower-confidence": lambda s: lower_confidence(s.level),
    "quantile": lambda s: quantile_of_ensemble(s.level),
}


def column(level: float | Array) -> Array:
    """Levels [...] against atoms [..., N]."""
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
    """The representation that settings name.

    Raises an InputError for a family or spacing that does not exist, or numbers that do not fit.
    """
    if settings.family not in CRITICS:
        raise unknown("critic family", settings.family, CRITICS)
    require_positive(atoms=settings.atoms, width=settings.width)
    kappa = settings.kappa
    if not isinstance(kappa, Tracer):
        require(bool(kappa >= 0), f"kappa must not be negative, but it is {kappa}.")
    return CRITICS[settings.family](settings)


def support(settings: Critic) -> Support:
    """The atoms that settings name; an InputError if they do not fit."""
    if settings.spacing not in SPACINGS:
        raise unknown("spacing of atoms", settings.spacing, SPACINGS)
    return SPACINGS[settings.spacing](settings.low, settings.high, settings.atoms)


def objective(settings: Objective) -> Statistic:
    """The statistic that settings name.

    Raises an InputError for a statistic that does not exist, or a level that it cannot have.
    """
    if settings.statistic not in OBJECTIVES:
        raise unknown("statistic", settings.statistic, OBJECTIVES)
    return OBJECTIVES[settings.statistic](settings.level)


def reduction(settings: Ensemble, key: Key | None = None) -> Reduction:
    """The reduction that settings name; of all members, if there is no `key` to draw some by.

    Raises an InputError for a reduction that does not exist, or numbers that do not fit.
    """
    if settings.reduction not in REDUCTIONS:
        raise unknown("reduction of an ensemble", settings.reduction, REDUCTIONS)
    members, subset = settings.members, settings.subset
    require_positive(members=members)
    require(0 <= subset <= members, f"subset must be between 0 and {members}, but it is {subset}.")
    if not subset or key is None:
        return REDUCTIONS[settings.reduction](replace(settings, subset=0))
    return random_subset(key, subset, REDUCTIONS[settings.reduction](settings))
