"""Learning curves of several agents in one environment, for reproductions."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.plots import band
from experiments.reproductions.choosing import best_of
from experiments.statistics import interval
from jaxrl.loop import Result, make_train
from jaxrl.types import Array, Env, Key

Name = TypeVar("Name", str, tuple[str, str])
"""The name of a run: one word, or two, such as an environment and an agent."""


class Curve(NamedTuple):
    """The evaluations of several seeds."""

    steps: np.ndarray  # [E] environment steps
    returns: np.ndarray  # [seeds, E]


class Trial(NamedTuple):
    """An agent in an environment, for a number of environment steps."""

    make: Callable[..., Any]
    env: Env
    hp: Any
    steps: float
    evaluations: int


def learn(trials: dict[Name, Trial], seeds: int, episodes: int = 8) -> dict[Name, Curve]:
    """Train each trial with the same seeds, which share one vmapped program."""
    keys, found = jax.random.split(jax.random.key(0), seeds), {}
    for name, trial in (bar := tqdm(trials.items(), unit=" runs")):
        bar.set_postfix_str(label(name))
        train = make_train(*trial, episodes)
        metrics = jax.jit(jax.vmap(train))(keys).metrics
        steps, returns = (np.asarray(metrics[k]) for k in ("env_steps", "evaluation_return"))
        found[name] = Curve(steps[0], returns)
    return found


def tune(
    trials: dict[Name, Trial], rates: Sequence[float], seeds: int, episodes: int = 16
) -> dict[Name, tuple[float, Curve]]:
    """The best of several learning rates of each trial by the mean of its curve, and that curve.

    All rates and seeds of a trial train in one vmapped program.
    """
    keys, found = jax.random.split(jax.random.key(0), seeds), {}
    for name, trial in (bar := tqdm(trials.items(), unit=" runs")):
        bar.set_postfix_str(label(name))
        one = partial(at_rate, make_train(*trial, episodes), trial.hp)
        metrics = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(jnp.array(rates), keys)
        steps, returns = (np.asarray(metrics[k]) for k in ("env_steps", "evaluation_return"))
        best = int(returns.mean((1, 2)).argmax())
        found[name] = rates[best], Curve(steps[0, 0], returns[best])
    return found


class Choice(NamedTuple):
    """A setting that was chosen, with metrics [seeds, E] of it."""

    setting: dict[str, float]
    before: dict[str, np.ndarray]  # of the seeds that it was chosen on
    metrics: dict[str, np.ndarray]  # of other seeds

    @property
    def curve(self) -> Curve:
        """The evaluations of the other seeds."""
        return Curve(self.metrics["env_steps"][0], self.metrics["evaluation_return"])


def choose(
    trial: Trial,
    settings: Sequence[dict[str, float]],
    seeds: int,
    episodes: int = 16,
    observe: Callable[..., dict] | None = None,
    apart: int = 2,
) -> Choice:
    """Choose among settings on `apart` seeds, and measure the best one on `seeds` other ones.

    Settings are values of the same numeric hyperparameters, and are compared by the means of their
    curves. What `observe` returns is among the metrics, as in `jaxrl.make_train`.
    """
    train = make_train(*trial, episodes, observe=observe)
    first, rest = (jax.random.split(jax.random.key(i), n) for i, n in ((1, apart), (0, seeds)))
    best, before, metrics = best_of(
        lambda changes, key: train(key, trial.hp.replace(**changes)).metrics,
        settings, first, rest, lambda metrics: metrics["evaluation_return"],
    )  # fmt: skip
    return Choice(settings[best], before, metrics)


def label(name: str | tuple[str, str]) -> str:
    """A name as one line of text."""
    return name if isinstance(name, str) else ", ".join(name)


def at_rate(train: Callable[..., Result], hp: Any, rate: Array, key: Key) -> dict:
    """The metrics of a run with another learning rate."""
    return train(key, hp.replace(learning_rate=rate)).metrics


def draw(curves: dict[str, Curve], title: str) -> Figure:
    """Draw all curves in one picture, as means with 95 % bootstrap intervals."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, curve in curves.items():
        band(axes, curve.steps, curve.returns, name)
    axes.set(xlabel="environment steps", ylabel="evaluation return", title=title)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return figure


def panels(
    curves: dict[tuple[str, str], Curve], kinds: tuple[str, str], same_scale: bool = False
) -> tuple[list[dict[str, Any]], Figure]:
    """One row for each curve, and a picture with one panel for each first name.

    `kinds` are the headings of the two names.
    """
    parts = list(dict.fromkeys(part for part, _ in curves))
    figure, all_axes = plt.subplots(
        1, len(parts), figsize=(2 + 4 * len(parts), 4), layout="constrained", squeeze=False,
        sharey=same_scale,
    )  # fmt: skip
    rows = []
    for (part, name), curve in curves.items():
        band(all_axes[0][parts.index(part)], curve.steps, curve.returns, name)
        mean, low, high = final(curve)
        rows.append(
            {kinds[0]: part, kinds[1]: name, "final return": mean, "low": low, "high": high,
             "mean of the curve": float(curve.returns.mean())}
        )  # fmt: skip
    for axes, part in zip(all_axes[0], parts):
        axes.set(xlabel="environment steps", title=part)
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel("evaluation return")
    all_axes[0][0].legend(frameon=False)
    return rows, figure


def final(curve: Curve, last: int = 3) -> tuple[float, float, float]:
    """The mean over the last evaluations and the seeds, and its 95 % bootstrap interval."""
    return interval(curve.returns[:, -last:].mean(1))


def reached(curve: Curve, level: float) -> float:
    """The environment steps at which the mean over seeds first reaches `level`, NaN if never."""
    there = curve.returns.mean(0) >= level
    return float(curve.steps[there.argmax()]) if there.any() else float("nan")
