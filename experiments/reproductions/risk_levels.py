"""Static CVaR by its level, by the stock, and without either, on random processes.

Chow et al. (2015) plan for CVaR by passing levels of risk on to the successors. Hau et al. (2023)
show that for control this is only an upper bound, and Godbout and Durand (2025) that the policy it
returns may have less than it says. Here the optimum is exact, by a stock of the rewards so far, and
every policy is evaluated exactly: random processes of four layers and integer rewards.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from jaxrl import dp, values
from jaxrl.errors import require_positive
from jaxrl.types import Array

TITLE = "CVaR of the whole return, less that of the best policy"
LAYERS, WIDTH, ACTIONS, LARGEST = 4, 3, 3, 3
RISKS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
REACH = LAYERS * LARGEST
FAMILY = values.categorical(values.uniform_support(-REACH, REACH, 2 * REACH + 1))
STOCKS = jnp.arange(-2.0 * REACH, 2.0 * REACH + 1)


@dataclass(frozen=True)
class Options:
    """Compare ways to plan for the CVaR of the whole return."""

    processes: int = 100
    """Number of random processes, of four layers of three states, three actions, two successors."""
    levels: int = 60
    """Number of levels, evenly spaced up to 1, a multiple of 10."""
    out: Path = Path(".reproductions/risk-levels")
    """Folder in which the table, the numbers and the picture are written."""


def random_process(seed: int) -> dp.TabularMDP:
    """A process that goes from layer to layer, with random chances and integer rewards."""
    rng = np.random.default_rng(seed)
    states = LAYERS * WIDTH
    shape = (states, ACTIONS, 2)
    layer = np.arange(states) // WIDTH
    following = np.minimum(layer + 1, LAYERS - 1)[:, None, None] * WIDTH
    chance = rng.uniform(0.1, 0.9, shape[:2])
    ends = np.broadcast_to((layer < LAYERS - 1)[:, None, None] * 1.0, shape)
    return dp.from_arrays(
        np.stack([chance, 1 - chance], -1),
        rng.integers(-LARGEST, LARGEST + 1, shape).astype(float),
        ends,
        np.eye(states)[0],
        following + rng.integers(0, WIDTH, shape),
    )


def cvar_of(mdp: dp.TabularMDP, action: Array, level: Array) -> Array:
    """The CVaR [] of a policy [S] from state 0, exactly."""
    policy = jax.nn.one_hot(action, mdp.transition.shape[1])
    law = dp.distributional_policy_evaluation(mdp, policy, 1.0, FAMILY).theta[0, action[0]]
    return values.cvar(level)(FAMILY.decode(law))


def compared(mdp: dp.TabularMDP, levels: Array, risks: Array) -> dict[str, Array]:
    """The CVaR [risks] that each way of planning promises, or that its policy has."""
    missing = values.expected_utility(lambda z: jnp.minimum(z, 0.0))
    model = dp.stock_augmented(mdp, STOCKS, 1.0)
    select = dp.stock_greedy(missing, STOCKS, mdp.transition.shape[0])
    theta = dp.distributional_value_iteration(model, 1.0, FAMILY, select, max_iterations=LAYERS + 1)
    judged = select.keywords["statistic"](FAMILY.decode(theta.theta))[: STOCKS.size].max(-1)
    best = dp.best_stock_for_cvar(judged, STOCKS, risks[:, None])[0]

    table = dp.cvar_by_levels(mdp, 1.0, levels).theta
    place = jnp.abs(levels - risks[:, None]).argmin(-1)
    process = dp.level_process(mdp, 1.0, levels, table)
    alone = jnp.ones((process.transition.shape[0], 1))
    laws = dp.distributional_policy_evaluation(process, alone, 1.0, FAMILY).theta[place, 0]

    def greedy(level: Array) -> Array:
        select = partial(values.greedy, statistic=values.cvar(level))
        found = dp.distributional_value_iteration(mdp, 1.0, FAMILY, select).theta[0]
        return values.cvar(level)(FAMILY.decode(found)).max()

    def nested(level: Array) -> Array:
        theta = dp.nested_value_iteration(mdp, 1.0, values.cvar(level)).theta
        return cvar_of(mdp, theta.argmax(1), level)

    neutral = dp.value_iteration(mdp, 1.0).theta.argmax(1)
    return {
        "by levels, promised": table[0].max(0)[place] / levels[place] - best,
        "by levels, its policy": values.cvar(risks)(FAMILY.decode(laws)) - best,
        "greedy in CVaR": jax.vmap(greedy)(risks) - best,
        "best nested policy": jax.vmap(nested)(risks) - best,
        "best mean": jax.vmap(partial(cvar_of, mdp, neutral))(risks) - best,
    }


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce risk-levels", Options, arguments)
    require_positive(processes=chosen.processes, levels=chosen.levels)
    mdps = dp.stacked(random_process(seed) for seed in range(chosen.processes))
    levels = jnp.arange(1, chosen.levels + 1) / chosen.levels
    run = jax.jit(jax.vmap(compared, (0, None, None)))
    found = jax.tree.map(np.asarray, run(mdps, levels, jnp.array(RISKS)))
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    rows = []
    for name, gaps in found.items():
        for level, gap, *numbers in zip(RISKS, gaps.T, *band(axes, RISKS, gaps, name, marker="o")):
            mean, low, high = (float(x) for x in numbers)
            rows.append(
                {"plan": name, "level": level, "gap": mean, "low": low, "high": high,
                 "above": float((gap > 1e-3).mean()), "below": float((gap < -1e-3).mean()),
                 "largest": float(gap[np.abs(gap).argmax()])}
            )  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="level", ylabel="CVaR less that of the best policy", title="Planning for CVaR")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
