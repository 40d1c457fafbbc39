"""Robust beside nominal planning where the process differs from its model.

Policies are planned on random processes, nominally or with the regularised worst cases of Tang, Liu
and Xu (2025), and evaluated exactly under other kernels: mixtures with random kernels, and with the
worst kernel that keeps the same successors. The claim is that robust plans are better where the
shift is large, and worse without one.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from jaxrl import dp
from jaxrl.dp import robust
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Return of robust plans minus that of the nominal plan, by the shift of the kernel"
GAMMA = 0.9
SHIFTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
PLANS = {
    f"{name}, price {price:g}": (divergence, price)
    for name, divergence in {
        "TV": robust.regularised_total_variation,
        "KL": robust.regularised_kl,
        "chi-square": robust.regularised_chi_square,
    }.items()
    for price in (0.3, 1.0)
}


@dataclass(frozen=True)
class Options:
    """Compare robust with nominal planning under shifted kernels."""

    processes: int = 100
    """Number of random processes, of 20 states, 4 actions and 4 successors."""
    draws: int = 20
    """Number of random kernels with which each process is mixed."""
    out: Path = Path(".reproductions/robust")
    """Folder in which the table, the numbers and the picture are written."""


def plan(mdp: dp.TabularMDP) -> dict[str, Array]:
    """The policy [S, A] of each planner."""
    one_hot = lambda q: jax.nn.one_hot(q.argmax(-1), q.shape[-1])
    nominal = {"nominal": dp.value_iteration(mdp, GAMMA).theta}
    found = {
        name: dp.robust_value_iteration(mdp, GAMMA, strength, divergence).theta
        for name, (divergence, strength) in PLANS.items()
    }
    return {name: one_hot(q) for name, q in (nominal | found).items()}


def state_values(mdp: dp.TabularMDP, policy: Array) -> Array:
    """The values [S] of a policy [S, A]."""
    return (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)


def exact_return(mdp: dp.TabularMDP, policy: Array, kernel: Array) -> Array:
    """The exact return [] of a policy under the transitions of a kernel [S, A, S]."""
    return mdp.initial @ state_values(mdp._replace(transition=kernel), policy)


def returns(mdp: dp.TabularMDP, keys: Key) -> dict[str, Array]:
    """The returns [shifts, 2] of each plan, in mixtures with random and with worst kernels."""
    shifts = jnp.array(SHIFTS)
    possible = mdp.transition > 0

    def random_kernel(key: Key) -> Array:
        weight = jnp.where(possible, jax.random.exponential(key, possible.shape), 0.0)
        return weight / weight.sum(-1, keepdims=True)

    def of(policy: Array) -> Array:
        # The worst kernel for this policy leads to the successor of the lowest value.
        by_value = jnp.where(possible, state_values(mdp, policy), jnp.inf)
        worst = jax.nn.one_hot(by_value.argmin(-1), by_value.shape[-1])
        mixed = lambda shift, other: (1 - shift) * mdp.transition + shift * other
        near = lambda shift, key: exact_return(mdp, policy, mixed(shift, random_kernel(key)))
        by_random = jax.vmap(jax.vmap(near, (None, 0)), (0, None))(shifts, keys).mean(-1)
        by_worst = jax.vmap(lambda shift: exact_return(mdp, policy, mixed(shift, worst)))(shifts)
        return jnp.stack([by_random, by_worst], -1)

    return {name: of(policy) for name, policy in plan(mdp).items()}


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce robust", Options, arguments)
    require_positive(processes=chosen.processes, draws=chosen.draws)
    make = partial(envs.tabular_mdp, "garnet", states=20, actions=4, branching=4)
    mdps = dp.stacked(make(seed=seed) for seed in range(chosen.processes))
    keys = jax.random.split(jax.random.key(0), (chosen.processes, chosen.draws))
    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(returns))(mdps, keys))
    figure, pair = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    rows = []
    for which, (axes, kernel) in enumerate(zip(pair, ("random", "worst"))):
        for name in PLANS:
            gain = found[name][..., which] - found["nominal"][..., which]
            for shift, *numbers in zip(SHIFTS, *band(axes, SHIFTS, gain, name, marker="o")):
                gained = dict(zip(("gain", "low", "high"), (float(x) for x in numbers)))
                rows.append({"kernel": kernel, "shift": shift, "plan": name} | gained)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlabel=f"share of a {kernel} kernel", title=f"towards {kernel} kernels")
        axes.grid(alpha=0.3)
    pair[0].set_ylabel("return minus that of the nominal plan")
    pair[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
