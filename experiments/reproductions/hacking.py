"""Policies that optimise a proxy, kept near a reference by their actions or by their occupancies.

Laidlaw et al. (2025) hold that a chi-square penalty of occupancies mitigates the hacking of rewards
better than the divergence of actions that is usual in RLHF. In a garden of 4 x 4 cells two plants
dry, and the gold reward is the number of watered ones after a step; at a sprinkler the proxy takes
all of them for watered, and more. The reference waters plants, with noise. All gradients are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.types import Array

TITLE = "Gold reward a step over that of the reference, by what keeps the policy near it"
SIDE, GAMMA, DRIES, SPRINKLER = 4, 0.95, 0.15, 3.0
CELLS = SIDE * SIDE
STATES, ACTIONS = 4 * CELLS, 5
PRICES = np.geomspace(0.003, 30.0, 9)


@dataclass(frozen=True)
class Options:
    """Optimise a proxy in a garden, at several prices of leaving a reference."""

    seeds: int = 12
    """Number of gardens, with plants and a sprinkler at random places."""
    steps: int = 250
    """Number of gradient steps of a policy."""
    out: Path = Path(".reproductions/hacking")
    """Folder in which the table, the numbers and the picture are written."""


def garden(seed: int) -> tuple[dp.TabularMDP, np.ndarray, np.ndarray]:
    """A garden whose reward is the gold one, with both rewards [S, A] of pairs."""
    rng = np.random.default_rng(seed)
    first, second, sprinkler = rng.choice(CELLS, 3, replace=False)
    row, column = np.arange(CELLS) // SIDE, np.arange(CELLS) % SIDE
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)])
    to = np.clip(row[:, None] + moves[:, 0], 0, SIDE - 1) * SIDE
    to = to + np.clip(column[:, None] + moves[:, 1], 0, SIDE - 1)
    p = np.zeros((STATES, ACTIONS, STATES))
    for state in range(STATES):
        wet, cell = divmod(state, CELLS)
        for action in range(ACTIONS):
            new = to[cell, action]
            for after in range(4):
                chance = 1.0
                for k, plant in enumerate((first, second)):
                    stays = 1.0 if new == plant else (1 - DRIES) * (wet >> k & 1)
                    chance *= stays if after >> k & 1 else 1 - stays
                p[state, action, after * CELLS + new] += chance
    watered = np.array([bin(s // CELLS).count("1") for s in range(STATES)], float)
    seen = np.where(np.arange(STATES) % CELLS == sprinkler, SPRINKLER, watered)
    gold, proxy = p @ watered, p @ seen
    start = np.full(STATES, 1 / STATES)
    return dp.from_arrays(p, gold, np.ones_like(p), start), gold, proxy


def action_kl(policy: Array, base: Array, mu: Array, nu: Array) -> Array:
    """The mean divergence [] of actions from those of the reference, where the policy goes."""
    return (mu.sum(-1) * (policy * jnp.log(policy / base)).sum(-1)).sum()


PENALTIES: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "KL of actions": action_kl,
    "KL of occupancies": lambda policy, base, mu, nu: (mu * jnp.log(mu / nu)).sum(),
    "chi-square of occupancies": lambda policy, base, mu, nu: dp.chi_square_divergence(mu, nu),
    "root of chi-square": lambda policy, base, mu, nu: jnp.sqrt(
        dp.chi_square_divergence(mu, nu) + 1e-6
    ),
}


def optimised(
    penalty: Callable[[Array, Array, Array, Array], Array],
    steps: int,
    mdp: dp.TabularMDP,
    gold: Array,
    proxy: Array,
    price: Array,
) -> tuple[Array, Array, Array]:
    """The gains in gold and in proxy [] over the reference, and their correlation there."""
    q = dp.soft_value_iteration(mdp, GAMMA, 0.3).theta
    base = 0.7 * jax.nn.softmax(q / 0.3) + 0.3 / ACTIONS
    weights = lambda policy: (1 - GAMMA) * dp.occupancy(mdp, policy, GAMMA)
    nu = weights(base)
    rule = optax.adam(optax.cosine_decay_schedule(0.2, steps))

    def loss(theta: Array) -> Array:
        policy = jax.nn.softmax(theta)
        mu = weights(policy)
        return price * penalty(policy, base, mu, nu) - (mu * proxy).sum()

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        theta, opt = carry
        change, opt = rule.update(jax.grad(loss)(theta), opt)
        return (theta + change, opt), None

    theta = jnp.log(base) + 1e-3 * proxy  # where the divergence is 0, so is its gradient
    theta = jax.lax.scan(step, (theta, rule.init(theta)), None, steps)[0][0]
    mu = weights(jax.nn.softmax(theta))
    gains = [((mu - nu) * reward).sum() for reward in (gold, proxy)]
    return gains[0], gains[1], dp.proxy_correlation(gold, proxy, nu)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce hacking", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    mdps, gold, proxy = zip(*map(garden, range(chosen.seeds)))
    worlds = dp.stacked(mdps), jnp.asarray(gold, float), jnp.asarray(proxy, float)
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rows, correlation = [], 0.0
    for name, penalty in tqdm(PENALTIES.items(), unit=" penalties"):

        def run(mdp, gold, proxy, price, penalty=penalty):
            return optimised(penalty, chosen.steps, mdp, gold, proxy, price)

        both = jax.vmap(jax.vmap(run, (None, None, None, 0)), (0, 0, 0, None))
        true, said, told = (np.asarray(x) for x in jax.jit(both)(*worlds, jnp.asarray(PRICES)))
        correlation = float(told.mean())
        band(panels[0], PRICES, true, name)
        panels[1].plot(said.mean(0), true.mean(0), marker="o", label=name)
        best = true.mean(0).argmax()
        mean, low, high = interval(true[:, best])
        rows.append({"penalty": name, "best price": float(PRICES[best]), "gold": mean, "low": low,
                     "high": high, "proxy": float(said[:, best].mean()),
                     "gold at the least price": float(true[:, 0].mean()),
                     "proxy at the least price": float(said[:, 0].mean())})  # fmt: skip
    panels[0].set(xscale="log", xlabel="price of the penalty", ylabel="gold over the reference")
    panels[1].set(xlabel="proxy over the reference",
                  title=f"correlation under the reference {correlation:.2f}")  # fmt: skip
    for axes in panels:
        axes.axhline(0, color="black", linewidth=0.8)
        axes.grid(alpha=0.3)
    panels[1].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
