"""Rewards of a classifier that errs, without resets: which of its errors hurt (RoboFuME).

Yang et al. (2023), https://arxiv.org/abs/2310.15145, learn from the verdicts of a classifier while
a robot goes forward and backward by itself. Here a point goes to one corner and back to the other,
each time from where it is, and is paid 1 where the classifier says that it has arrived. SAC learns
with several rates of false positives and of false negatives, and is evaluated by the truth. The
paper does not separate the two: that false positives are the worse ones is tried here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from agents import sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.autonomy import Task, autonomous, misjudged
from jaxrl.environments import begun, vectorize
from jaxrl.errors import require, require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.types import Array, Box, Env, Key, Spec, TimeStep

TITLE = "True success of SAC without resets, by the errors of the classifier that pays it"
LIMIT, EPISODES, WARMUP = 40, 32, 400
RATES = ((0.0, 0.0), (0.05, 0.0), (0.2, 0.0), (0.0, 0.05), (0.0, 0.2))  # positives, negatives


@dataclass(frozen=True)
class Options:
    """Learn without resets from rewards of a classifier that errs."""

    seeds: int = 6
    """Number of seeds of each run."""
    steps: int = 6_000
    """Environment steps of each run, a multiple of 4."""
    evaluations: int = 8
    """Evaluations of each run."""
    out: Path = Path(".reproductions/verdicts")
    """Folder in which the table, the numbers and the picture are written."""


def point() -> Env:
    """A point in a square of side 2, moved by at most 0.2 in each direction."""

    def init(key: Key) -> tuple[Array, TimeStep]:
        place = jax.random.uniform(key, (2,), minval=-1.0)
        return place, begun(place)

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        place = jnp.clip(place + 0.2 * action, -1.0, 1.0)
        return place, begun(place)

    one = jnp.ones(2)
    return Env(init, step, Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-one, one)))


def corner(sign: float) -> Task:
    """To go to one of two corners; arriving pays 1."""
    there = lambda obs: jnp.linalg.norm(obs - 0.7 * sign) < 0.2
    return Task(lambda obs: there(obs).astype(jnp.float32), there)


def learnt(rates: Array, chosen: Options, key: Key) -> tuple[Array, Array]:
    """True success and mean length of an episode [evaluations], for the two rates [2] of errors."""
    env = autonomous(point(), [corner(1.0), corner(-1.0)], LIMIT)
    env = misjudged(env, rates[0], rates[1])
    hp = sac.Hyperparameters(
        num_envs=4, warmup=WARMUP, buffer_size=chosen.steps, batch_size=128, updates=4,
        hidden=(32, 32), layer_norm=True, learning_rate=1e-3, discount=0.95,
        initial_temperature=0.1, target_entropy=-0.5,
    )  # fmt: skip
    setup = assemble(sac.sac, env, hp, lanes=vectorize)
    rounds = (chosen.steps - WARMUP) // 4 // chosen.evaluations

    def block(run: Any, key: Key) -> tuple[Any, tuple[Array, Array]]:
        run, _ = advance(setup.experiment, run, rounds)
        view = setup.agent.update.read(run.learner)
        score = evaluate(setup.env, setup.agent.exploit, view, key, EPISODES, LIMIT)
        return run, (score.returns.mean(), score.lengths.mean())

    k_run, k_judge = jax.random.split(key)
    keys = jax.random.split(k_judge, chosen.evaluations)
    return jax.lax.scan(block, setup.experiment.init(k_run), keys)[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce verdicts", Options, arguments)
    require_positive(seeds=chosen.seeds, evaluations=chosen.evaluations)
    require(
        chosen.steps % 4 == 0 and chosen.steps >= WARMUP + 4 * chosen.evaluations,
        f"steps must be a multiple of 4, and at least {WARMUP} and 4 for each evaluation.",
    )
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    one = lambda rates, key: learnt(rates, chosen, key)
    run = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
    won, lengths = map(np.asarray, run(jnp.array(RATES), keys))
    rows = []
    figure, axes = plt.subplots(figsize=(8.5, 4), layout="constrained")
    at = np.linspace(WARMUP, chosen.steps, chosen.evaluations + 1)[1:]
    for (positive, negative), curve, length in zip(RATES, won, lengths):
        mean, low, high = interval(curve[:, -1])
        rows.append({"false positives": positive, "false negatives": negative, "success": mean,
                     "low": low, "high": high, "steps": float(length[:, -1].mean())})  # fmt: skip
        band(axes, at, curve, f"positives {positive:g}, negatives {negative:g}")
    axes.set(xlabel="environment steps", ylabel="true success", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", title="false verdicts", frameon=False)
    save(chosen.out, TITLE, rows, figure)
