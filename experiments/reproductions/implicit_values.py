"""Values of the best actions in the data by three implicit rules, beside exact ones.

In random processes, a third of the actions is not in the data. State values by expectiles (IQL,
Kostrikov et al. 2022), log-mean-exponentials (XQL, Garg et al. 2023) and sparse means (SQL, Xu et
al. 2023) are iterated to their exact fixed points, from the mean of the data's actions towards the
best of them. They are compared with dynamic programming over the actions in the data. A value that
regresses on sampled returns, with no value of actions between, takes luck for skill: it is tried
too, and so are the policies that clone by the weights of each rule.
"""

from collections.abc import Callable
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
from jaxrl.errors import require_positive
from jaxrl.state_values import expectile_weight, gumbel_weight, sparse_weight
from jaxrl.types import Array, Key

TITLE = "Error of implicit values, and the return of what they clone, by sharpness"
GAMMA, STATES, ACTIONS = 0.9, 20, 6
SHARPNESS = (0.5, 0.9, 0.99, 0.999)
LEVELS = jnp.array(SHARPNESS)
TEMPERATURES = jnp.array([10.0, 0.3, 0.03, 0.003])
Weight = Callable[[Array, Array], Array]
EXPECTILE, GUMBEL, SPARSE = "expectile (IQL)", "log-mean-exponential (XQL)", "sparse (SQL)"
RULES: dict[str, tuple[Weight, Array]] = {
    EXPECTILE: (expectile_weight, LEVELS),
    GUMBEL: (partial(gumbel_weight, largest=80.0), TEMPERATURES),
    SPARSE: (sparse_weight, TEMPERATURES),
}
LUCKY = "expectile of sampled returns"


@dataclass(frozen=True)
class Options:
    """Compare implicit values with exact ones over the actions in the data."""

    processes: int = 50
    """Number of random processes and behaviours."""
    sweeps: int = 200
    """Number of backups, each of which solves for the value of every state."""
    out: Path = Path(".reproductions/implicit-values")
    """Folder in which the table, the numbers and the picture are written."""


def centre(weight: Weight, sharpness: Array, points: Array, share: Array) -> Array:
    """The value [...] at which the weighted mean difference of points [..., N] is zero."""
    some = share > 0
    low = jnp.where(some, points, jnp.inf).min(-1)
    high = jnp.where(some, points, -jnp.inf).max(-1)

    def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = ends
        middle = (low + high) / 2
        away = points - middle[..., None]
        up = (jnp.where(some, share * weight(away, sharpness), 0.0) * away).sum(-1) > 0
        return (jnp.where(up, middle, low), jnp.where(up, high, middle)), None

    (low, high), _ = jax.lax.scan(halve, (low, high), None, 30)
    return (low + high) / 2


def solved(chosen: Options, mdp: dp.TabularMDP, key: Key) -> dict[str, Array]:
    """For each rule the mean value error, and the share of the way to the best return, [2, K]."""
    k_missing, k_share = jax.random.split(key)
    rank = jax.random.uniform(k_missing, (STATES, ACTIONS)).argsort(-1)
    share = jax.random.dirichlet(k_share, jnp.ones(ACTIONS), (STATES,))
    share = jnp.where(rank < ACTIONS * 2 // 3, jnp.maximum(share, 0.02), 0.0)
    share = share / share.sum(-1, keepdims=True)
    p, r = mdp.transition, mdp.reward

    def iterated(choose: Callable[[Array], Array]) -> Array:
        """The fixed point [S] of a rule (returns [S, A, S] of all outcomes) -> values [S]."""
        step = lambda v, _: (choose(r + GAMMA * mdp.discount * v), None)
        return jax.lax.scan(step, jnp.zeros(STATES), None, chosen.sweeps)[0]

    mean = lambda z: (p * z).sum(-1)  # of the outcomes of each action
    best = iterated(lambda z: jnp.where(share > 0, mean(z), -jnp.inf).max(-1))
    worth = lambda policy: (
        mdp.initial @ (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)
    )
    q_best = mean(r + GAMMA * mdp.discount * best)
    top = jax.nn.one_hot(jnp.where(share > 0, q_best, -jnp.inf).argmax(-1), ACTIONS)
    ends = worth(share), worth(top)

    def cloned(v: Array, weight: Callable[[Array], Array]) -> Array:
        """The share of the way from the behaviour to the best return, by weighted cloning."""
        z = mean(r + GAMMA * mdp.discount * v) - v[:, None]
        policy = share * weight(z)
        total = policy.sum(-1, keepdims=True)
        policy = jnp.where(total > 0, policy / jnp.where(total > 0, total, 1.0), share)
        return (worth(policy) - ends[0]) / (ends[1] - ends[0])

    policies: dict[str, Callable[[Array], Callable[[Array], Array]]] = {
        EXPECTILE: lambda level: lambda z: jnp.exp(jnp.minimum(z / 0.1, 10.0)),
        GUMBEL: lambda t: lambda z: jnp.exp(jnp.minimum(z / t, 10.0)),
        SPARSE: lambda t: lambda z: jnp.maximum(1 + z / (2 * t), 0.0),
    }

    def by(name: str, sharpness: Array) -> Array:
        weight = RULES[name][0]
        v = iterated(lambda z: centre(weight, sharpness, mean(z), share))
        return jnp.stack([jnp.abs(v - best).mean(), cloned(v, policies[name](sharpness))])

    def lucky(level: Array) -> Array:
        chance = (share[..., None] * p).reshape(STATES, -1)
        flat = lambda z: z.reshape(STATES, -1)
        v = iterated(lambda z: centre(expectile_weight, level, flat(z), chance))
        return jnp.stack([jnp.abs(v - best).mean(), cloned(v, policies[EXPECTILE](level))])

    found = {name: jax.vmap(partial(by, name), 0, -1)(RULES[name][1]) for name in RULES}
    return found | {LUCKY: jax.vmap(lucky, 0, -1)(LEVELS)}


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce implicit-values", Options, arguments)
    require_positive(processes=chosen.processes, sweeps=chosen.sweeps)
    make = partial(envs.tabular_mdp, "garnet", states=STATES, actions=ACTIONS, branching=3)
    mdps = dp.stacked(make(seed=seed) for seed in range(chosen.processes))
    keys = jax.random.split(jax.random.key(0), chosen.processes)
    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(partial(solved, chosen)))(mdps, keys))
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    rows, place = [], np.arange(len(SHARPNESS))
    for name, numbers in found.items():
        errors, scores = (
            band(axes, place, numbers[:, i], name, marker="o") for i, axes in enumerate(panels)
        )
        of = np.asarray(RULES[name][1] if name in RULES else LEVELS)
        for j in place:
            row = {"rule": name, "level or temperature": float(of[j])}
            row |= {"value error": float(errors.value[j]), "return": float(scores.value[j])}
            rows.append(row | {"low": float(scores.low[j]), "high": float(scores.high[j])})
    labels = [f"{level:g}\n{t:g}" for level, t in zip(SHARPNESS, np.asarray(TEMPERATURES))]
    for axes, name in zip(panels, ("mean error of the value", "share of the way to the best")):
        axes.set(xlabel="level of expectiles, and temperature of the others", ylabel=name)
        axes.set_xticks(place, labels)
        axes.grid(alpha=0.3)
    panels[0].set_yscale("log")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
