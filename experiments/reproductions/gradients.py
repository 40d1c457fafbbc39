"""Semi, true and orthogonal gradients of O-DICE's values, by the weight of the residual.

Ten states in a row, of which the last pays 10 and ends the episode; the data are random steps to
both sides. Values descend the dual of Mao et al. (2024) from the whole data set, and the policy
imitates actions by the positive part of their temporal difference, which is computed exactly. With
an edge, a third action leaves the row for good, for one of nine states without reward that the data
never begin from: what they are believed to be worth is up to the network, and the gradient by the
successor's value is to keep it low. That is the claim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from jaxrl import dp, updates, values
from jaxrl.divergences import divergence
from jaxrl.errors import require_positive
from jaxrl.state_values import state_values
from jaxrl.types import Array, Discrete, Key, Spec, Tree

TITLE = "Return of O-DICE on a row of ten states (best: 0.681), by gradient and residual weight"
STATES, GAMMA, PAID = 10, 0.9, 10.0
WEIGHTS = (0.4, 0.5, 0.6, 0.7)
SETTINGS: dict[str, tuple[tuple[int, ...], bool]] = {  # hidden layers, and whether there is an edge
    "table": ((), False),
    "network": ((32, 32), False),
    "network, with an edge": ((32, 32), True),
}


@dataclass(frozen=True)
class Options:
    """Compare gradients of temporal differences in O-DICE."""

    seeds: int = 10
    """Number of data sets and initial networks."""
    steps: int = 4_000
    """Number of gradient steps."""
    transitions: int = 500
    """Number of random steps in a data set."""
    out: Path = Path(".reproductions/gradients")
    """Folder in which the table, the numbers and the picture are written."""


class Outcome(NamedTuple):
    """What is measured of one run."""

    score: Array  # [] exact discounted return for a reward of 1, from a uniformly random state
    cosine: Array  # [] of the two halves of the gradient, at the end
    outside: Array  # [] mean value of the states that the data never begin from


def row(edge: bool) -> dp.TabularMDP:
    """The row, left by action 0 and right by action 1, and beyond its edge nine dead ends."""
    size, actions = (2 * STATES - 1, 3) if edge else (STATES, 2)
    state = np.arange(size)
    inside = state < STATES - 1
    to = np.stack([np.maximum(state - 1, 0), state + 1, state + STATES][:actions], -1)
    to = np.where(inside[:, None], to, state[:, None])
    p, paid = np.eye(size)[to], (to == STATES - 1) & inside[:, None]
    d = np.broadcast_to((np.arange(size) != STATES - 1) * 1.0, p.shape)
    return dp.from_arrays(p, paid * 1.0, d, inside / inside.sum())


def learnt(
    kind: str, hidden: tuple[int, ...], edge: bool, chosen: Options
) -> Callable[[Array, Key], Outcome]:
    """A function (residual weight, key) of the outcome with one kind of gradient."""
    mdp, dual = row(edge), divergence("chi-square")
    to = mdp.transition.argmax(-1)
    size, actions = to.shape
    reward = PAID * jnp.einsum("sat,sat->sa", mdp.transition, mdp.reward)
    alive = jnp.einsum("sat,sat->sa", mdp.transition, mdp.discount)
    spec = Spec(jax.ShapeDtypeStruct((size,), jnp.float32), Discrete(actions))
    v = state_values(spec, values.scalar(), hidden)
    see = jnp.eye(size)

    def residual(now: Tree, after: Tree) -> Array:
        """The temporal differences [S, A]."""
        return reward + GAMMA * alive * v.value(after, see)[to] - v.value(now, see)[:, None]

    def run(weight: Array, key: Key) -> Outcome:
        k_data, k_init, k_learn = jax.random.split(key, 3)
        drawn = jax.random.randint(k_data, (chosen.transitions,), 0, (STATES - 1) * actions)
        share = jnp.bincount(drawn, length=size * actions).reshape(size, actions)
        share = share / chosen.transitions

        def loss(params: Tree, target: Tree, batch: Tree, key: Key) -> tuple[Array, dict]:
            conjugate = lambda now, after: (share * dual.conjugate(residual(now, after))).sum()
            error, cosine = updates.residual_loss(conjugate, params, target, kind)
            value = (share.sum(-1) * v.value(params, see)).sum()
            return (1 - weight) * value + weight * error, {"cosine": cosine}

        update = updates.descend(v.init, loss, optax.adam(1e-2), updates.polyak(0.05))

        def one(state: Tree, _: None) -> tuple[Tree, Array]:
            state, metrics = update.apply(state, (), k_learn)
            return state, metrics["cosine"]

        none: Any = ()
        state, cosine = jax.lax.scan(one, update.init(k_init, none), None, chosen.steps)
        imitated = share * jnp.maximum(residual(state.params, state.target), 0.0)
        some = imitated.sum(-1, keepdims=True)
        policy = jnp.where(some > 0, imitated / jnp.where(some > 0, some, 1.0), 1 / actions)
        worth = (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)
        outside = v.value(state.params, see)[-(STATES - 1) :].mean()
        return Outcome(mdp.initial @ worth, cosine[-1], outside)

    return run


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce gradients", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, transitions=chosen.transitions)
    keys, weights = jax.random.split(jax.random.key(0), chosen.seeds), jnp.array(WEIGHTS)
    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
    rows = []
    pairs = [(axes, name, kind) for axes, name in zip(panels, SETTINGS)
             for kind in updates.GRADIENTS]  # fmt: skip
    for axes, name, kind in tqdm(pairs, unit=" gradients"):
        one = learnt(kind, *SETTINGS[name], chosen)
        run = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
        found = jax.tree.map(np.asarray, run(weights, keys))  # [weights, seeds]
        estimate = band(axes, WEIGHTS, found.score.T, kind, marker="o")
        for i, weight in enumerate(WEIGHTS):
            numbers = dict(zip(("return", "low", "high"), (float(x[i]) for x in estimate)))
            rest = {"cosine": float(found.cosine[i].mean())}
            rest |= {"value outside": float(found.outside[i].mean()) if SETTINGS[name][1] else "-"}
            rows.append({"values": name, "gradient": kind, "weight": weight} | numbers | rest)
        axes.set(xlabel="residual weight", title=name)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("return")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
