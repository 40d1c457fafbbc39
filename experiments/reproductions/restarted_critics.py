"""Critics that begin anew between exploration without rewards and learning from preferences.

Lee et al. (2021), https://arxiv.org/abs/2106.05091, let SAC first be where others are not, before
the first comparison is asked for, and reset its critics then (PEBBLE). Here SAC learns to swing up
a pendulum from 200 comparisons, after 2000 gradient steps of exploration or none, with critics that
restart or stay what they are; the policy stays in both. The learning rate decides how fast critics
forget, so that two are shown; the better one of each way was chosen on other seeds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tuned
from experiments.reproductions.curves import at_rate
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import make_train
from jaxrl.errors import require_positive
from jaxrl.rewards import Preferences, preferring

TITLE = "True return of SAC by comparisons, after exploration, with critics restarted or kept"
RATES = (3e-4, 1e-3)
EXPLORATION = 2_000
GAIN = ("gain of restarting", "gain low", "gain high")
ASKED: dict[str, Any] = dict(
    labels=200, queries=20, period=100, segment=16, fits=50, pairs=32, hidden=(32, 32)
)
SMALL: dict[str, Any] = dict(
    num_envs=4, warmup=400, batch_size=64, updates=4, hidden=(64, 64), discount=0.95,
    target_rate=0.01,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Explore, and then learn from comparisons, with critics that restart or stay."""

    seeds: int = 8
    """Number of seeds of each run; half as many others choose the learning rate."""
    steps: int = 5_000
    """Environment steps of each run, the exploration included."""
    evaluations: int = 10
    """Evaluations of each run."""
    out: Path = Path(".reproductions/restarted-critics")
    """Folder in which the table, the numbers and the picture are written."""


def curves(asking: Preferences, chosen: Options) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps [E], and true returns [rates, seeds, E]; those for choosing first."""
    hp: Any = sac.Hyperparameters(**SMALL)
    hp = hp.replace(buffer_size=chosen.steps)
    make = preferring(sac.sac, asking)
    train = make_train(make, envs.make("Pendulum-v1"), hp, chosen.steps, chosen.evaluations, 16)
    number = chosen.seeds + chosen.seeds // 2
    keys = jax.random.split(jax.random.key(0), number)
    one = lambda rate, key: at_rate(train, hp, rate, key)
    metrics = jax.jit(jax.vmap(one))(
        jnp.repeat(jnp.array(RATES), number), jnp.tile(keys, len(RATES))
    )
    steps, returns = (np.asarray(metrics[k]) for k in ("env_steps", "evaluation_return"))
    return steps[0], returns.reshape(len(RATES), number, -1)


def since(steps: np.ndarray, exploration: int) -> slice:
    """The evaluations after the exploration, whose last gradient step is at that step."""
    return slice(int(np.searchsorted(steps, exploration + SMALL["warmup"], side="right")), None)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce restarted-critics", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, evaluations=chosen.evaluations)
    ways = {(0, "none to restart"): Preferences(**ASKED)}
    for name, anew in (("kept", False), ("restarted", True)):
        asking = Preferences(**ASKED, exploration=EXPLORATION, restart_critics=anew)
        ways[EXPLORATION, name] = asking
    found, steps = {}, np.zeros(0)
    for way, asking in (bar := tqdm(ways.items(), unit=" ways")):
        bar.set_postfix_str(f"exploration {way[0]}, critics {way[1]}")
        steps, found[way] = curves(asking, chosen)
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    rows, choosing = [], chosen.seeds // 2
    for (number, name), returns in found.items():
        after = since(steps, number)
        best, _ = tuned(returns[..., after], choosing)
        for r, (rate, axes) in enumerate(zip(RATES, panels)):
            own = returns[r, choosing:]
            band(axes, steps, own, f"{number}, {name}" if number else "no exploration")
            last, low, high = interval(own[:, -1])
            row = {"exploration": number, "critics": name, "learning rate": rate,
                   "best rate": "yes" if r == best else "", "last": last, "low": low,
                   "high": high, "mean after it": float(own[:, after].mean())}  # fmt: skip
            gain = ("",) * 3
            if name == "restarted":
                kept = found[number, "kept"][r, choosing:]
                gain = interval((own - kept)[:, after].mean(1))
            rows.append(row | dict(zip(GAIN, gain)))
    after = since(steps, EXPLORATION)
    kept, anew = (  # each at the rate that is best for it
        tuned(found[EXPLORATION, name][..., after], choosing)[1].mean(1)
        for name in ("kept", "restarted")
    )
    blank = {name: "" for name in rows[0]}
    row = {"exploration": EXPLORATION, "critics": "restarted", "learning rate": "best of each"}
    rows.append(blank | row | dict(zip(GAIN, interval(anew - kept))))
    for rate, axes in zip(RATES, panels):
        axes.set(xlabel="environment steps", title=f"learning rate {rate:g}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("true return")
    panels[0].legend(frameon=False, fontsize=7, title="exploration, critics")
    save(chosen.out, TITLE, rows, figure)
