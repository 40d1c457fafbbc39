"""Population-based training beside fixed learning rates, with as many members.

Temporal-difference learning with a constant step size predicts the returns of random actions on a
slippery FrozenLake, which dynamic programming gives exactly. Large steps carry values quickly
through the lake, and small ones average chance away, so that the best step size falls as a run goes
on. In each trial a population evolves, and as many members train with step sizes that stay as they
were drawn, from the same range. Both are judged by their best member.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import tabular
from experiments import options, plots, results
from experiments.statistics import bootstrap, interquartile_mean, paired_difference
from jaxrl import dp
from jaxrl.evolution import Evolving, Generation, Numbers, Range, evolving
from jaxrl.loop import advance, assemble
from jaxrl.types import Array, Experiment, Key, Run

KEPT = Path(__file__).parent / "kept"
RANGE = {"learning_rate": Range(1e-3, 1.0, log=True)}


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare population-based training with fixed learning rates."""

    trials: int = 16
    """Independent repetitions."""
    members: int = 16
    """Members of each population, and fixed learning rates."""
    steps: int = 40_000
    """Environment steps of each member."""
    generations: int = 20
    """Generations of population-based training."""
    out: Path = KEPT / "tuning"
    """Folder for the table, the numbers and the picture."""


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    chosen = options.parse("benchmark tuning", Options, arguments)
    results.make_folder(chosen.out)
    keys = jax.random.split(jax.random.key(0), chosen.trials)
    found: dict[str, Generation] = {}
    for name, share in (("population-based", 0.25), ("fixed", 0.0)):
        pbt = population(chosen, share)
        found[name] = jax.device_get(
            jax.jit(jax.vmap(lambda k, pbt=pbt: told(k, pbt, chosen)))(keys)
        )
    scores = {name: best.scores[:, -1].max(-1)[:, None] for name, best in found.items()}
    rows: list[dict[str, Any]] = [
        {"method": name, "log error": [float(-x) for x in bootstrap(interquartile_mean, own)]}
        for name, own in scores.items()
    ]
    gain = [float(-x) for x in bootstrap(paired_difference, *scores.values(), paired=True)]
    rows.append({"method": "difference, trial by trial", "log error": gain})
    text = table(rows, chosen)
    print(text)
    results.write_whole(chosen.out / "results.json", json.dumps(rows, indent=2) + "\n")
    results.write_whole(chosen.out / "results.md", text + "\n")
    draw(found, chosen)


def population(chosen: Options, share: float) -> Evolving:
    """Members that predict the returns of random actions, of which a share is replaced."""
    hp = tabular.Hyperparameters(
        decay_power=0.0, trace_decay=0.0, target="expected-sarsa", epsilon=1.0, num_envs=1
    )
    mdp, env = envs.tabular_mdp("FrozenLake"), envs.make("FrozenLake")
    uniform = jnp.full(mdp.transition.shape[:2], 1 / mdp.transition.shape[1])
    exact = dp.policy_evaluation(mdp, uniform, hp.discount).theta
    reached = exact.max(-1, keepdims=True) > 0  # what is not a hole, nor the goal
    updates = chosen.steps // (chosen.generations * hp.collection.rollout_length)

    def exp(numbers: Numbers) -> Experiment:
        return assemble(tabular.tabular, env, hp.replace(**numbers), chosen.steps).experiment

    def train(run: Run, numbers: Numbers, key: Key) -> Run:
        return advance(exp(numbers), run._replace(key=key), updates)[0]

    def score(run: Run, numbers: Numbers, key: Key) -> Array:
        error = jnp.square(run.learner.params - exact)
        return -0.5 * jnp.log10(jnp.mean(error, where=jnp.broadcast_to(reached, error.shape)))

    init = lambda key, numbers: exp(numbers).init(key)
    return evolving(init, train, score, RANGE, chosen.members, share)


def told(key: Key, pbt: Evolving, chosen: Options) -> Generation:
    """What came of all generations."""
    return jax.lax.scan(lambda x, _: pbt.step(x), pbt.init(key), None, chosen.generations)[1]


def table(rows: list[dict[str, Any]], chosen: Options) -> str:
    """The outcome as a Markdown table."""
    lines = [
        f"Prediction on FrozenLake, {chosen.trials} trials of {chosen.members} members and "
        f"{chosen.steps} environment steps each: logarithm to base 10 of the root mean squared "
        "error of the best member, interquartile means with 95 % intervals.",
        "",
        "| method | log error |",
        "|---|---|",
    ]
    for row in rows:
        value, high, low = row["log error"]
        lines.append(f"| {row['method']} | {value:.3f} [{low:.3f}, {high:.3f}] |")
    return "\n".join(lines)


def draw(found: dict[str, Generation], chosen: Options) -> None:
    """Draw the best members' scores and their learning rates against environment steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    steps = np.arange(1, chosen.generations + 1) * chosen.steps / chosen.generations
    for (name, told), colour in zip(found.items(), plots.COLOURS):
        best = told.scores.argmax(-1)[..., None]
        score = np.take_along_axis(told.scores, best, -1)[..., 0]
        rate = np.take_along_axis(told.numbers["learning_rate"], best, -1)[..., 0]
        plots.band(left, steps, score, name, "iqm", color=colour)
        plots.band(right, steps, rate, name, "median", color=colour)
    left.set(xlabel="environment steps", ylabel="minus log error of the best")
    right.set(xlabel="environment steps", ylabel="its learning rate", yscale="log")
    left.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    plots.write(figure, chosen.out / "picture.png")
