"""Auxiliary rewards that help or mislead: added, as potentials, or weighed by implicit gradients.

Gupta et al. (2023) learn how much of an auxiliary reward to take, and a discount factor, so that
what is learnt from them is best by the primary reward (BARFI); they report that simple sums fail
where the auxiliary reward misleads, and that potentials often impair. Worlds are of 4 x 4 cells
with a goal that pays once, and the auxiliary reward is a cost of the distance to the goal, or it
pays for being near another corner. The learner is a softmax policy with a penalty of its
parameters, at the fixed point of its exact policy gradient, which potentials do not change.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.rewards import learnt_from, mixed_reward
from jaxrl.types import Array

TITLE = "Return by the primary reward as a share of the best, by how the auxiliary reward is used"
SIDE, ACTIONS, GAMMA, DECAY, LARGEST = 4, 4, 0.95, 0.02, 2.0
STATES = SIDE * SIDE
WAYS = ("primary alone", "primary twice", "sum", "potential", "BARFI")


@dataclass(frozen=True)
class Options:
    """Learn with auxiliary rewards that help or mislead."""

    seeds: int = 8
    """Number of worlds, with the goal and walls at random places."""
    steps: int = 40
    """Number of outer gradient steps of BARFI."""
    out: Path = Path(".reproductions/heuristics")
    """Folder in which the table, the numbers and the picture are written."""


def world(seed: int) -> tuple[dp.TabularMDP, np.ndarray]:
    """A world, and auxiliary rewards [2, S] of the states that steps lead to.

    They are minus the distance to the goal, and the nearness to the corner farthest from it.
    """
    rng = np.random.default_rng(seed)
    state = np.arange(STATES)
    place = np.stack([state // SIDE, state % SIDE], -1)
    goal = rng.integers(STATES)
    corners = np.array([0, SIDE - 1, STATES - SIDE, STATES - 1])
    distance = np.abs(place[:, None] - place).sum(-1)
    other = corners[distance[goal, corners].argmax()]
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    to = np.clip(place[:, None] + moves, 0, SIDE - 1) @ [SIDE, 1]
    p = 0.9 * np.eye(STATES)[to] + 0.1 * np.eye(STATES)[:, None]
    reward = np.broadcast_to((state == goal).astype(float), p.shape)
    goes_on = 1 - reward
    start = (state != goal) / (STATES - 1)
    far = distance[[goal, other]] / (2 * SIDE - 2)
    return dp.from_arrays(p, reward, goes_on, start), np.stack([-far[0], 1 - far[1]])


def value(mdp: dp.TabularMDP, theta: Array, reward: Array, gamma: Array | float) -> Array:
    """The return [] of a softmax policy by rewards [S, A]."""
    return (dp.occupancy(mdp, jax.nn.softmax(theta), gamma) * reward).sum()


def tried(mdp: dp.TabularMDP, paid: Array, steps: int) -> tuple[Array, Array]:
    """The returns [ways] by the primary reward over the best, and what BARFI has learnt [4]."""
    primary = (mdp.transition * mdp.reward).sum(-1)
    auxiliary = 0.2 * (mdp.transition @ paid)
    best = (mdp.initial * dp.value_iteration(mdp, GAMMA).theta.max(-1)).sum()

    def objective(theta: Array, reward: Array, gamma: Array | float) -> Array:
        return value(mdp, theta, reward, gamma) - DECAY / 2 * jnp.square(theta).sum()

    def climbed(reward: Array, gamma: Array | float) -> Array:
        slope = jax.grad(objective)
        rule = optax.adam(optax.cosine_decay_schedule(0.3, 300, 0.001))

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            theta, opt = carry
            change, opt = rule.update(-slope(theta, reward, gamma), opt)
            return (theta + change, opt), None

        zero = jnp.zeros((STATES, ACTIONS))
        theta = jax.lax.scan(step, (zero, rule.init(zero)), None, 300)[0][0]
        return theta

    def meant(phi: Array) -> tuple[Array, Array]:
        """The reward and the discount of the outer parameters, within bounds."""
        weights = LARGEST * jnp.tanh(phi[:3])
        mix = {"bias": weights[0], "primary": weights[1], "auxiliary": weights[2]}
        return mixed_reward(mix, primary, auxiliary), jax.nn.sigmoid(phi[3])

    def residual(theta: Array, phi: Array) -> Array:
        return jax.grad(objective)(theta, *meant(phi))

    solution = learnt_from(
        residual, lambda theta, phi: climbed(*meant(phi)), jnp.zeros((STATES, ACTIONS))
    )
    score = lambda theta: value(mdp, theta, primary, GAMMA) / best
    outer = jax.value_and_grad(lambda phi: score(solution(phi)))
    rule = optax.adam(0.1)

    def step(carry: tuple, _: None) -> tuple[tuple, Array]:
        phi, opt = carry
        found, slope = outer(phi)
        # Where the fixed point is nearly singular, a gradient may be large.
        slope = slope / jnp.maximum(1.0, jnp.linalg.norm(slope))
        change, opt = rule.update(-slope, opt)
        return (phi + change, opt), found

    # Like the sum at first: weights of one, and the discount of the task.
    first = jnp.array([0.0, jnp.arctanh(0.5), jnp.arctanh(0.5), jnp.log(GAMMA / (1 - GAMMA))])
    (phi, _), _ = jax.lax.scan(step, (first, rule.init(first)), None, steps)
    shaped = dp.shaped(mdp, paid, GAMMA)
    by_potential = (shaped.transition * shaped.reward).sum(-1)
    # BARFI may weigh rewards by 2, which helps against the penalty of parameters by itself.
    given = (primary, LARGEST * primary, primary + auxiliary, by_potential)
    plain = [climbed(x, GAMMA) for x in given]
    scores = jnp.stack([*map(score, plain), score(solution(phi))])
    learnt = jnp.concatenate([LARGEST * jnp.tanh(phi[:3]), jax.nn.sigmoid(phi[3:])])
    return scores, learnt


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce heuristics", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    mdps, paid = zip(*map(world, range(chosen.seeds)))
    run = jax.jit(jax.vmap(lambda mdp, paid: tried(mdp, paid, chosen.steps)))
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    rows = []
    for i, (axes, kind) in enumerate(zip(panels, tqdm(("helps", "misleads"), unit=" kinds"))):
        scores, learnt = run(dp.stacked(mdps), jnp.asarray(np.stack(paid), jnp.float32)[:, i])
        scores, learnt = np.asarray(scores), np.asarray(learnt).mean(0)
        axes.boxplot(scores, tick_labels=WAYS, whis=(0, 100))
        axes.set(title=f"an auxiliary reward that {kind}", ylim=(0, 1.02))
        axes.grid(alpha=0.3, axis="y")
        for name, column in zip(WAYS, scores.T):
            mean, low, high = interval(column)
            own = name == "BARFI"
            rows.append({"auxiliary reward": kind, "way": name, "share": mean, "low": low,
                         "high": high, "weight of the primary": float(learnt[1]) if own
                         else 1.0 + (name == "primary twice"),
                         "weight of the auxiliary": float(learnt[2]) if own
                         else float(name == "sum"),
                         "discount": float(learnt[3]) if own else GAMMA})  # fmt: skip
    panels[0].set_ylabel("share of the best return")
    save(chosen.out, TITLE, rows, figure)
