"""Policies at decision frequencies that they were not trained at: sequences beside repetition.

Patel and Siegelmann (2025), "Overcoming slow decision frequencies in continuous control", claim
that an actor of sequences, trained by temporal recall with one observation in a few steps, still
acts well if it sees less, where SAC, which repeats its last action, does not. Their score is the
area under the normalised return by the number of steps between observations. All learn Pendulum
from as many steps with as many gradient steps; SAC is also trained with one action for every four
steps. For each agent the learning rate is the better of two by the scores of two other seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import sac, sequence
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tuned
from experiments.reproductions.plane import actor
from experiments.reproductions.report import save
from experiments.statistics import area_under_curve, interval
from jaxrl import make_train
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.evaluation import evaluate
from jaxrl.settings import Collection, Layers, Replay
from jaxrl.types import Actor, Array, Box, Env, Key, Spec, Tree, select

TITLE = "Share of the way from random torques to -150 on Pendulum, by steps between observations"
INTERVALS, RATES, REPEATED, LENGTHS = (1, 2, 4, 8, 16), (1e-3, 3e-3), 4, (4,)
BEST, STEPS, CHOOSING = -150.0, 200, 2


@dataclass(frozen=True)
class Options:
    """Evaluate SAC and actors of sequences at several decision frequencies."""

    seeds: int = 5
    """Number of seeds of each run; two more choose the learning rate."""
    steps: float = 1e4
    """Number of environment steps of each run."""
    out: Path = Path(".reproductions/frequencies")
    """Folder in which the table, the numbers and the picture are written."""


COMMON: dict[str, Any] = dict(
    collection=Collection(warmup=1_000),
    replay=Replay(batch_size=64, buffer_size=10_000),
    network=Layers(hidden=(64, 64)),
    discount=0.98,
)


class Trial(NamedTuple):
    """An agent, the environment and the steps it learns from, and how it acts with less."""

    make: Callable
    env: Env
    steps: float
    hp: Any
    act: Callable[[Spec, Any, int], Actor]  # (spec, hp, steps between observations)


def held(actor: Actor, spec: Spec, steps: int) -> Actor:
    """Act as an actor without memory at every `steps`-th step, and repeat that action between."""

    def init(batch_size: int) -> tuple[Array, Array]:
        shape = (batch_size, *cast(Box, spec.action).shape)
        return jnp.zeros(shape), jnp.zeros(batch_size, jnp.int32)

    def step(view: Tree, memory: tuple, obs: Tree, key: Key) -> tuple[Array, tuple, tuple]:
        action, place = memory
        new, _, _ = actor.step(view, (), obs, key)
        action = select(place == 0, new, action)
        return action, (action, (place + 1) % steps), ()

    return Actor(init, step)


def of_sac(spec: Spec, hp: sac.Hyperparameters, steps: int) -> Actor:
    """What SAC does with an observation in so many steps."""
    return held(sac.sac(spec, hp).exploit, spec, steps)


def of_sequences(spec: Spec, hp: sequence.Hyperparameters, steps: int) -> Actor:
    """What an actor of sequences does with an observation in so many steps."""
    hp = hp.replace(length=max(steps, hp.length), held=steps)
    return sequence.sequence_sac(spec, hp).exploit


def trials(env: Env, steps: float) -> dict[str, Trial]:
    """What is compared, by name."""
    plain = sac.Hyperparameters(**COMMON)
    # Of a repeated action one transition is kept: the discount and the updates are of four steps.
    slow = plain.replace(
        discount=plain.discount**REPEATED, warmup=1_000 // REPEATED, updates=REPEATED
    )
    repeated = envs.action_repeat(env, REPEATED)
    found = {
        "SAC": Trial(sac.sac, env, steps, plain, of_sac),
        f"SAC, actions of {REPEATED} steps": Trial(
            sac.sac, repeated, steps / REPEATED, slow, of_sac
        ),
    }
    for length in LENGTHS:
        hp = sequence.Hyperparameters(**COMMON, length=length, held=length)
        found[f"sequences of {length}"] = Trial(sequence.sequence_sac, env, steps, hp, of_sequences)
    return found


def measured(env: Env, trial: Trial, view: Tree, key: Key) -> dict[str, Array]:
    """The mean return [INTERVALS] by steps between observations."""
    found = [
        evaluate(env, trial.act(env.spec, trial.hp, steps), view, key, 16, STEPS).returns.mean()
        for steps in INTERVALS
    ]
    return {"by_interval": jnp.stack(found)}


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce frequencies", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    env = envs.make("Pendulum-v1")
    scaled, keys = scale_actions(env), jax.random.split(jax.random.key(0), CHOOSING + chosen.seeds)
    blind = actor(lambda obs, key: jax.random.uniform(key, (len(obs), 1), minval=-1.0))
    random = float(evaluate(scaled, blind, (), jax.random.key(1), 256, STEPS).returns.mean())
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    rows = []
    for name, trial in tqdm(trials(env, chosen.steps).items(), unit=" agents"):
        observe = partial(measured, scaled, trial)
        train = make_train(trial.make, trial.env, trial.hp, trial.steps, 1, observe=observe)

        def one(rate: Array, key: Key, train: Callable = train, hp: Any = trial.hp) -> Array:
            return train(key, hp.replace(learning_rate=rate)).metrics["by_interval"][-1]

        run = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
        returns = np.asarray(run(jnp.array(RATES), keys))
        shares = (returns - random) / (BEST - random)
        scores = np.stack([area_under_curve(INTERVALS, x) for x in shares])
        best, kept = tuned(scores, CHOOSING)
        curves = shares[best, CHOOSING:]
        band(axes, np.array(INTERVALS), curves, name)
        score, low, high = interval(kept)
        row = {"agent": name, "rate": RATES[best], "score": score, "low": low, "high": high}
        rows.append(row | {f"{n} steps": float(x) for n, x in zip(INTERVALS, curves.mean(0))})
    axes.set(xscale="log", xlabel="steps between observations", ylabel="share of the way")
    axes.set_xticks(INTERVALS, [str(n) for n in INTERVALS])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
