"""Convergence rates of distributional policy evaluation, beside their theoretical bounds.

Bellemare, Dabney and Rowland (2023), chapter 5: the projected backup contracts by gamma in the
Wasserstein distance of means and in the infinity-Wasserstein distance of quantiles, and by the root
of gamma in the Cramer distance of categorical distributions. Both the largest factor of a single
sweep and the mean factor over all sweeps are measured.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, values
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key
from jaxrl.values import Representation

TITLE = "Factor by which a sweep of distributional policy evaluation contracts two tables"
GAMMAS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Options:
    """Measure convergence rates of distributional dynamic programming."""

    processes: int = 20
    """Number of random processes, of 10 states and 3 actions, under the uniform policy."""
    atoms: int = 51
    """Number of atoms of categorical and quantile tables."""
    sweeps: int = 60
    """Number of sweeps from two random tables; those dominated by rounding are left out."""
    out: Path = Path(".reproductions/rates")
    """Folder in which the table, the numbers and the picture are written."""


class Family(NamedTuple):
    """A representation, the distance in which it contracts, and the bound on the factor."""

    representation: Representation
    distance: dp.distributional.Distance
    power: float  # the bound is gamma to this power


def families(gamma: float, atoms: int) -> dict[str, Family]:
    """The representations, with a support that contains the returns of nearly all processes."""
    reach = 4.0 / (1 - gamma)
    support = values.uniform_support(-reach, reach, atoms)
    width = 2 * reach / (atoms - 1)

    def cramer(x: values.ReturnDistribution, y: values.ReturnDistribution) -> Array:
        gap = jnp.cumsum(x.probabilities - y.probabilities, -1)
        return jnp.sqrt((gap**2).sum(-1) * width)

    return {
        "mean": Family(values.scalar(), dp.largest_shift, 1.0),
        "quantile": Family(values.quantile(atoms), dp.largest_shift, 1.0),
        "categorical": Family(values.categorical(support), cramer, 0.5),
    }


def factors(family: Family, gamma: float, seeds: range, sweeps: int) -> np.ndarray:
    """The factor [processes, sweeps] of each sweep, NaN where rounding dominates distances."""
    representation, distance, _ = family
    make = partial(envs.tabular_mdp, "garnet", states=10, actions=3)
    mdps = dp.stacked(make(seed=seed) for seed in seeds)

    def run(mdp: dp.TabularMDP, key: Key) -> Array:
        process = dp.discounted(dp.under(mdp, jnp.full((10, 3), 1 / 3)), gamma)
        start = jax.random.uniform(key, (2, 10, 1), minval=-1, maxval=1) / (1 - gamma)
        pair = representation.project(values.dirac(start))

        def sweep(pair: Array, _: None) -> tuple[Array, Array]:
            x, y = (representation.decode(theta) for theta in pair)
            step = lambda theta: dp.backup(process, representation, theta)
            return jnp.stack([step(theta) for theta in pair]), distance(x, y).max()

        return jax.lax.scan(sweep, pair, None, sweeps)[1]

    keys = jax.random.split(jax.random.key(0), len(seeds))
    apart = np.asarray(jax.jit(jax.vmap(run))(mdps, keys))
    apart = np.where(apart > 1e-4 * apart[:, :1], apart, np.nan)
    return apart[:, 1:] / apart[:, :-1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce rates", Options, arguments)
    require_positive(processes=chosen.processes, atoms=chosen.atoms, sweeps=chosen.sweeps)
    rows = []
    with tqdm(total=len(GAMMAS) * 3, unit=" runs") as bar:
        for gamma in GAMMAS:
            for name, family in families(gamma, chosen.atoms).items():
                every = factors(family, gamma, range(chosen.processes), chosen.sweeps)
                bar.update()
                typical = np.exp(np.nanmean(np.log(every), 1))
                mean, low, high = interval(typical)
                rows.append(
                    {"gamma": gamma, "family": name, "bound": gamma**family.power,
                     "largest factor": float(np.nanmax(every)), "mean factor": mean,
                     "low": low, "high": high}
                )  # fmt: skip
    figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for name in ("mean", "quantile", "categorical"):
        mine = [row for row in rows if row["family"] == name]
        column = lambda key, mine=mine: np.array([row[key] for row in mine])
        (line,) = axes.plot(GAMMAS, column("largest factor"), marker="o", label=f"{name}, largest")
        axes.plot(GAMMAS, column("mean factor"), "--", color=line.get_color(), label="its mean")
    axes.plot(GAMMAS, GAMMAS, ":", color="black", label="gamma")
    axes.plot(GAMMAS, np.sqrt(GAMMAS), "-.", color="black", label="root of gamma")
    axes.set(xlabel="gamma", ylabel="factor of a sweep", title="Convergence beside its bounds")
    axes.legend(frameon=False, ncols=2)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
