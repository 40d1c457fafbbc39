"""A weighted sum of two policies' scores reaches what neither does alone (Cao et al. 2025).

A point is to be brought to a goal in a square. Each of two flows clones the steps of demonstrators
who see the goal, but sees one coordinate of it with an error that stays for an episode: the first
one that of y, and the second one that of x. Their velocities are added up with the weights w and
1 - w, and the grid of w is searched by the success in trial episodes; all are then compared in
other episodes. The errors have the same size, or that of y is larger. With weights on estimates
that are wrong by (1 - w) e_x and w e_y, the least squared error is at w = s_x^2 / (s_x^2 + s_y^2).
Source: "Compose your policies!", https://arxiv.org/abs/2510.01068.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.cloning import within
from jaxrl.errors import require_positive
from jaxrl.generators import composed, denoiser, flow_matching, searched, simplex
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Transition, Tree
from jaxrl.updates import descend, polyak

TITLE = "Success in reaching a goal of which each of two flows sees one coordinate well"
NOISES = ((0.25, 0.25), (0.15, 0.45))  # deviations of the errors of x and of y
LIMIT, PACE, NEAR, BATCH, PARTS = 20, 0.2, 0.15, 128, 10
OBSERVATION = jax.ShapeDtypeStruct((4,), jnp.float32)
NETWORK = denoiser((2,), OBSERVATION, Layers(hidden=(64, 64)))
ONE, BOTH = (flow_matching(net, (2,), 5) for net in (NETWORK, composed([NETWORK, NETWORK])))


def expert(place: Array, goal: Array) -> Array:
    """The step [..., 2] of a demonstrator towards the goal, in units of the pace."""
    return jnp.clip((goal - place) / PACE, -1.0, 1.0)


def seen(place: Array, goal: Array, error: Array) -> Array:
    """What a policy sees [..., 4] that is wrong about the goal by an error [..., 2]."""
    return jnp.concatenate([place, goal + error], -1)


def learnt(key: Key, deviation: Array, steps: int) -> Tree:
    """A flow that clones the demonstrators, and sees the goal with errors of deviations [2]."""

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_place, k_goal, k_error, k_learn = jax.random.split(key, 4)
        place, goal = (
            jax.random.uniform(k, (BATCH, 2), minval=-1.0, maxval=1.0) for k in (k_place, k_goal)
        )
        obs = seen(place, goal, deviation * jax.random.normal(k_error, (BATCH, 2)))
        return ONE.loss(params, expert(place, goal), obs, k_learn).mean(), {}

    rule = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    update = descend(NETWORK.init, loss, rule, polyak(0.01))
    none = Transition(*[()] * len(Transition._fields))
    k_init, k_learn = jax.random.split(key)
    learn = lambda state, key: (update.apply(state, none, key)[0], None)
    state, _ = jax.lax.scan(learn, update.init(k_init, none), jax.random.split(k_learn, steps))
    return update.read(state).target


def success(flows: Tree, deviations: Array, episodes: int, weights: Array, key: Key) -> Array:
    """The success [] of two flows, composed with weights [2], in a number of episodes."""
    k_place, k_goal, k_error, k_run = jax.random.split(key, 4)
    place, goal = (
        jax.random.uniform(k, (episodes, 2), minval=-1.0, maxval=1.0) for k in (k_place, k_goal)
    )
    errors = deviations[:, None] * jax.random.normal(k_error, (2, episodes, 2))
    params = {"weights": weights, "parts": flows}

    def step(place: Array, key: Key) -> tuple[Array, None]:
        obs = tuple(seen(place, goal, error) for error in errors)
        action = within(BOTH.sample(params, BOTH.noise(key, episodes), obs, None))
        return jnp.clip(place + PACE * action, -1.0, 1.0), None

    place, _ = jax.lax.scan(step, place, jax.random.split(k_run, LIMIT))
    return (jnp.linalg.norm(place - goal, axis=-1) < NEAR).mean()


def tried(key: Key, noise: Array, steps: int, trials: int, episodes: int) -> tuple[Array, ...]:
    """The success [N] with each of the weights, and the weight [] and success [] of the search."""
    k_one, k_two, k_search, k_judge = jax.random.split(key, 4)
    deviations = jnp.stack([noise * jnp.array([0.0, 1.0]), noise * jnp.array([1.0, 0.0])])
    flows = tuple(learnt(k, d, steps) for k, d in zip((k_one, k_two), deviations))
    of = lambda number, weights, key: success(flows, deviations, number, weights, key)
    grid = simplex(2, PARTS)
    best, _ = searched(partial(of, trials), grid, k_search)
    scores = jax.lax.map(lambda weights: of(episodes, weights, k_judge), grid)
    return scores, best[0], of(episodes, best, k_judge)


@dataclass(frozen=True)
class Options:
    """Compose two flows that see different coordinates, and search the weight of each."""

    seeds: int = 6
    """Number of pairs of flows."""
    steps: int = 1_500
    """Gradient steps of each flow."""
    trials: int = 64
    """Number of trial episodes of each weight in the search."""
    episodes: int = 300
    """Number of episodes in which weights are compared."""
    out: Path = Path(".reproductions/composed")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce composed", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    require_positive(trials=chosen.trials, episodes=chosen.episodes)
    one = lambda key, noise: tried(key, noise, chosen.steps, chosen.trials, chosen.episodes)
    run = jax.jit(jax.vmap(one, (0, None)))
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    grid = np.asarray(simplex(2, PARTS))[:, 0]
    for i, noise in enumerate(NOISES):
        scores, weight, found = map(np.asarray, run(keys, jnp.array(noise)))
        best = noise[0] ** 2 / (noise[0] ** 2 + noise[1] ** 2)
        label = f"errors of x {noise[0]:g}, of y {noise[1]:g}"
        policies = {
            "first flow alone": scores[:, -1],
            "second flow alone": scores[:, 0],
            "equal weights": scores[:, PARTS // 2],
            "searched weights": found,
        }
        for name, values in policies.items():
            mean, low, high = interval(values)
            ours = f"{weight.mean():.2f}" if values is found else ""
            rows.append({"errors of x, y": f"{noise[0]:g}, {noise[1]:g}", "policy": name,
                         "weight": ours, "success": mean, "low": low, "high": high})  # fmt: skip
        # Seeds are paired: the least advantage over the better flow.
        gain = found - np.maximum(scores[:, -1], scores[:, 0])
        mean, low, high = interval(gain)
        rows.append({"errors of x, y": f"{noise[0]:g}, {noise[1]:g}", "policy":
                     "gain over the better flow", "weight": f"{best:.2f} of least error",
                     "success": mean, "low": low, "high": high})  # fmt: skip
        band(axes, grid, scores, label, color=f"C{i}")
        axes.axvline(best, color=f"C{i}", linewidth=0.8, linestyle=":")
    axes.set(xlabel="weight of the first flow", ylabel="success", ylim=(0, 1.02))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
