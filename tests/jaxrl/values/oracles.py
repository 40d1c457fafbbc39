"""Statistics and reductions by their definitions, in float64 numpy, one distribution at a time."""

import numpy as np
from scipy import optimize


def statistic(name, z, p, level):
    """The statistic of atoms z [N] with probabilities p [N], by the name of an objective."""
    z, p = z[p > 0], p[p > 0] / p.sum()
    centre = (p * z).sum()
    d = z - centre
    if name == "mean":
        return centre
    if name == "cvar":
        return cvar(z, p, level)
    if name == "upper-cvar":
        return -cvar(-z, p, level)
    if name == "value-at-risk":
        order = np.argsort(z, kind="stable")
        reached = np.cumsum(p[order]) >= level - 1e-6 * level
        return z[order][reached.argmax() if reached.any() and level < 1 else -1]
    if name == "expectile":
        if level in (0, 1):
            return z.min() if level == 0 else z.max()
        x = d / (np.ptp(d) or 1.0)
        over, under = (lambda e: (p * np.maximum(x - e, 0)).sum()), (lambda e: over(e) + e)
        balance = lambda e: level * over(e) - (1 - level) * under(e)  # where the mean of x is 0
        if np.ptp(d) == 0:
            return centre
        return centre + np.ptp(d) * optimize.brentq(balance, x.min(), x.max(), xtol=1e-16)
    if name == "entropic-risk":
        if level == 0:
            return centre
        worst = d.min() if level > 0 else d.max()
        x = -level * d
        if np.abs(x).max() < 1e-2:
            return centre - np.log1p((p * np.expm1(x)).sum()) / level
        return centre + worst - np.log((p * np.exp(-level * (d - worst))).sum()) / level
    if name == "variance":
        return (p * d**2).sum()
    if name == "mean-variance":
        return centre - level * (p * d**2).sum()
    utilities = {
        "reach-probability": z >= level,
        "homeostatic": -np.abs(z - level),
        "shortfall": np.minimum(z - level, 0),
        "excess": np.maximum(z - level, 0),
    }
    return (p * utilities[name]).sum()


def cvar(z, p, level):
    """The mean of the lowest `level` of the probability."""
    if level == 0:
        return z.min()
    order = np.argsort(z, kind="stable")
    z, p = z[order], p[order]
    kept = np.clip(level - (np.cumsum(p) - p), 0, p)
    return z[0] + (kept * (z - z[0])).sum() / kept.sum()


def reduced(name, z, p, settings):
    """The atoms [M] and probabilities [M] that an ensemble [E, N] of them is reduced to."""
    members, n = z.shape
    means = (p * z).sum(-1)
    if name in ("minimum", "quantile"):
        rank = 0 if name == "minimum" else int(np.floor(settings.level * (members - 1) + 1e-4))
        chosen = np.argsort(means, kind="stable")[rank]
        return z[chosen], p[chosen]
    z, p = z.reshape(-1), p.reshape(-1) / members
    if name == "lower-confidence":
        return z - settings.level * means.std(), p
    if name == "truncated":
        order = np.argsort(z, kind="stable")
        keep = 1 - settings.drop / n
        z, p = z[order], p[order]
        kept = np.clip(keep - (np.cumsum(p) - p), 0, p)
        return z, kept / kept.sum()
    return z, p  # average
