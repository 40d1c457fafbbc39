"""Robust against nominal planning where the world differs from its model.

Policies are planned on random processes, nominally or with the regularised worst cases of Tang, Liu
and Xu (2025), and judged exactly in other worlds: kernels that are mixed with random ones, and with
the worst that keep the same successors. Their claim in small: where the shift is large robust plans
are better, and without one they are worse. It holds for worst kernels; towards random ones, which
nobody chose to do harm, the nominal plan stays the better one nearly always.
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

TITLE = "Return of robust plans less that of the nominal plan, over shifts of the kernel"
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
    """Random processes, of 20 states, 4 actions and 4 successors."""
    draws: int = 20
    """Random kernels that each is mixed with."""
    out: Path = Path(".reproductions/robust")
    """Folder for the table, the numbers and the picture."""


def plan(mdp: dp.TabularMDP) -> dict[str, Array]:
    """The policies [S, A] of each way to plan."""
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


def worth(mdp: dp.TabularMDP, policy: Array, kernel: Array) -> Array:
    """The return [] of a policy where transitions are those of a kernel [S, A, S]."""
    return mdp.initial @ state_values(mdp._replace(transition=kernel), policy)


def returns(mdp: dp.TabularMDP, keys: Key) -> dict[str, Array]:
    """The returns [shifts, 2] of each plan, in mixtures with random and with worst kernels."""
    shifts = jnp.array(SHIFTS)
    possible = mdp.transition > 0

    def random_kernel(key: Key) -> Array:
        weight = jnp.where(possible, jax.random.exponential(key, possible.shape), 0.0)
        return weight / weight.sum(-1, keepdims=True)

    def of(policy: Array) -> Array:
        # The worst kernel for this very policy: all on the successor that it likes least.
        liked = jnp.where(possible, state_values(mdp, policy), jnp.inf)
        worst = jax.nn.one_hot(liked.argmin(-1), liked.shape[-1])
        mixed = lambda shift, other: (1 - shift) * mdp.transition + shift * other
        near = lambda shift, key: worth(mdp, policy, mixed(shift, random_kernel(key)))
        by_chance = jax.vmap(jax.vmap(near, (None, 0)), (0, None))(shifts, keys).mean(-1)
        by_spite = jax.vmap(lambda shift: worth(mdp, policy, mixed(shift, worst)))(shifts)
        return jnp.stack([by_chance, by_spite], -1)

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
    pair[0].set_ylabel("return, less the nominal plan's")
    pair[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
