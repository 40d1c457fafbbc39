"""Robust control as a sequence of ordinary problems (IWOCS), beside robust value iteration.

Zouitine et al. (2024), "Solving robust MDPs as a sequence of static RL problems", claim that it is
competitive with robust control against an adversary who moves at every step. Here everything is
exact: each candidate is evaluated in all worlds of a family. The families are a corridor with a
wind between up and down, a pendulum on a grid whose mass is unknown, and random processes between
two kernels, whose best static policy is found by enumeration. Beside both are plans for the middle
of the family, for its two ends, and for a random one of its worlds.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, values
from jaxrl.errors import require_positive
from jaxrl.types import Array

TITLE = "Return of a plan in its worst world, exactly"
PLANS = ("one end", "other end", "middle", "random world", "every step", "IWOCS")


@dataclass(frozen=True)
class Options:
    """Plan for the worst of several worlds, exactly."""

    processes: int = 200
    """Number of random processes."""
    worlds: int = 11
    """Number of worlds of a family."""
    out: Path = Path(".reproductions/static-worlds")
    """Folder in which the table, the numbers and the picture are written."""


def corridor(winds: np.ndarray) -> dp.TabularMDP:
    """Cross 9 columns between two abysses of -10, at a cost of 0.1 a step, for 5 at the end.

    With probability 0.3 the wind moves one up with a chance, of `winds` [M], and else one down.
    """
    rows, columns, gust = 7, 9, 0.3
    states = rows * columns
    shape = len(winds), states, 3, 3
    p, r, d, to = np.zeros(shape), np.full(shape, -0.1), np.ones(shape), np.zeros(shape, int)
    for state, action in itertools.product(range(states), range(3)):
        row, column = divmod(state, columns)
        p[:, state, action] = np.stack(
            [np.full(len(winds), 1 - gust), gust * winds, gust * (1 - winds)], -1
        )
        for slot, blown in enumerate((0, -1, 1)):
            new = row + action - 1 + blown
            ahead = min(column + 1, columns - 1)
            to[:, state, action, slot] = np.clip(new, 0, rows - 1) * columns + ahead
            if not 0 < new < rows - 1:
                r[:, state, action, slot], d[:, state, action, slot] = -10.0, 0.0
            elif ahead == columns - 1:
                r[:, state, action, slot], d[:, state, action, slot] = 5.0, 0.0
    initial = np.eye(states)[(rows // 2) * columns]
    return dp.stacked(dp.from_arrays(*one, initial, there) for *one, there in zip(p, r, d, to))


def pendulum(masses: np.ndarray) -> dp.TabularMDP:
    """Swing up on a grid of 41 angles and 41 speeds by torques of -2, 0 and 2, from hanging.

    Successors are interpolated between the four nearest points.
    """
    size, top = 41, 8.0
    angles = np.linspace(-np.pi, np.pi, size, endpoint=False)
    speeds = np.linspace(-top, top, size)
    angle, speed, torque = np.meshgrid(angles, speeds, [-2.0, 0.0, 2.0], indexing="ij")
    made = []
    for mass in masses:
        turn = 15.0 * np.sin(angle) + 3.0 * torque / mass
        new_speed = np.clip(speed + 0.1 * turn, -top, top)
        place = ((angle + 0.1 * new_speed + np.pi) / (2 * np.pi) * size) % size
        rate = (new_speed + top) / (2 * top) * (size - 1)
        low, slow = np.floor(place), np.minimum(np.floor(rate), size - 2)
        slots = []
        for i, j in itertools.product((0, 1), (0, 1)):
            share = np.abs(1 - i - (place - low)) * np.abs(1 - j - (rate - slow))
            slots.append((share, ((low + i) % size) * size + slow + j))
        p, to = (np.stack(x, -1).reshape(size**2, 3, 4) for x in zip(*slots))
        cost = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2).reshape(size**2, 3)
        initial = np.eye(size**2)[size // 2]  # angle -pi, speed 0
        ones = np.ones(p.shape)
        made.append(dp.from_arrays(p, 0.1 * cost, ones, initial, to.astype(int)))
    return dp.stacked(made)


def between(shares: np.ndarray, seed: int) -> dp.TabularMDP:
    """Random processes of four states and three actions, between two kernels."""
    rng = np.random.default_rng(seed)
    ends = rng.dirichlet(np.full(4, 0.3), (2, 4, 3))
    reward = np.broadcast_to(rng.normal(size=(4, 3, 1)), (4, 3, 4))
    made = (
        dp.from_arrays(w * ends[1] + (1 - w) * ends[0], reward, np.ones((4, 3, 4)), np.eye(4)[0])
        for w in shares
    )
    return dp.stacked(made)


def returned(action: Array, mdp: dp.TabularMDP, gamma: float) -> Array:
    """The return [] of actions [S] in a process."""
    policy = jax.nn.one_hot(action, mdp.transition.shape[1])
    theta = dp.policy_evaluation(mdp, policy, gamma, tolerance=1e-6).theta
    return mdp.initial @ (policy * theta).sum(-1)


def planned(gamma: float, worlds: dp.TabularMDP) -> tuple[Array, Array, Array]:
    """Worst returns [plans], those of IWOCS by its first world [M], and its rounds [M]."""
    number = worlds.transition.shape[0]
    solve = lambda mdp: dp.value_iteration(mdp, gamma, tolerance=1e-6).theta
    best = jax.vmap(solve)(worlds).argmax(-1)  # [M, S]
    value = partial(returned, gamma=gamma)
    worst = lambda action: jax.vmap(value, (None, 0))(action, worlds).min()

    def everywhere(theta: Array, _: None) -> tuple[Array, None]:
        """The backup against an adversary who chooses a world for every pair and step."""
        one = lambda mdp: dp.backup(dp.mdp.discounted(mdp, gamma), values.scalar(), theta)
        return jax.vmap(one)(worlds).min(0), None

    start = jnp.zeros((*worlds.transition.shape[1:3], 1))
    rectangular = jax.lax.scan(everywhere, start, None, int(12 / (1 - gamma)))[0][..., 0]
    found = jax.lax.map(
        lambda i: dp.static_robust_control(solve, value, worlds, i), jnp.arange(number)
    )
    each = jax.lax.map(worst, best)
    plans = jnp.stack(
        [each[0], each[-1], each[number // 2], each.mean(), worst(rectangular.argmax(-1)),
         found.value[0]]
    )  # fmt: skip
    return plans, found.value, found.iterations


def enumerated(gamma: float, worlds: dp.TabularMDP) -> Array:
    """The best worst return [] of a deterministic policy."""
    states, actions = worlds.transition.shape[1:3]
    every = jnp.array(list(itertools.product(range(actions), repeat=states)))

    def worst(action: Array) -> Array:
        def one(mdp: dp.TabularMDP) -> Array:
            pick = lambda x: jnp.take_along_axis(x, action[:, None, None], 1)[:, 0]
            chain, reward = pick(mdp.transition), pick(mdp.transition * mdp.reward).sum(-1)
            return mdp.initial @ jnp.linalg.solve(jnp.eye(states) - gamma * chain, reward)

        return jax.vmap(one)(worlds).min()

    return jax.lax.map(worst, every).max()


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce static-worlds", Options, arguments)
    require_positive(processes=chosen.processes, worlds=chosen.worlds - 1)
    share = np.linspace(0, 1, chosen.worlds)
    gamma, rows = 0.95, []
    figure, parts = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for axes, (name, worlds) in zip(
        parts, (("corridor", corridor(share)), ("pendulum", pendulum(0.5 + 1.5 * share)))
    ):
        plans, each, rounds = (np.asarray(x) for x in jax.jit(partial(planned, gamma))(worlds))
        for plan, found in zip(PLANS, plans):
            rows.append({"family": name, "plan": plan, "worst return": float(found),
                         "low": "", "high": "", "best": "",
                         "rounds": ""})  # fmt: skip
        low, high = float(each.min()), float(each.max())
        rows[-1] |= {"worst return": float(each.mean()), "low": low, "high": high,
                     "rounds": float(rounds.mean())}  # fmt: skip
        axes.barh(PLANS, [*plans[:-1], each.mean()])
        axes.set(xlabel="return in the worst world", title=name)
    many = dp.stacked(between(share, seed) for seed in range(chosen.processes))
    run = jax.jit(jax.vmap(lambda worlds: (planned(0.9, worlds), enumerated(0.9, worlds))))
    (plans, each, rounds), best = jax.tree.map(np.asarray, run(many))
    size = np.abs(best).mean()
    for i, plan in enumerate(PLANS):
        mean, low, high = interval(plans[:, i])
        there = float((plans[:, i] > best - 1e-3 * size).mean())
        rows.append({"family": "random processes", "plan": plan, "worst return": mean, "low": low,
                     "high": high, "best": there, "rounds": ""})  # fmt: skip
    rows[-1]["rounds"] = float(rounds.mean())
    mean, low, high = interval(best)
    rows.append({"family": "random processes", "plan": "best static", "worst return": mean,
                 "low": low, "high": high, "best": 1.0, "rounds": ""})  # fmt: skip
    parts[2].barh((*PLANS, "best static"), [*plans.mean(0), best.mean()])
    parts[2].set(xlabel="return in the worst world", title="random processes")
    save(chosen.out, TITLE, rows, figure)
