"""Every environment of a suite: does it keep its promises, can an agent train in it, is it drawn?

`jaxrl benchmark verify PREFIX` makes each environment of a suite, runs `envs.check` for a few
steps, draws two states, and writes the table to `PREFIX.md`. PPO trains for two updates in one
environment of each family, whose names differ in numbers only.
"""

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import envs
import jaxrl
from agents import ppo
from envs import suites
from experiments import forms, options, results
from experiments.listing import shown
from jaxrl.errors import InputError, require, require_known
from jaxrl.types import Env

LENGTH = 8  # steps after which episodes are truncated, so that some end
PARAMS = {"jumanji/Sokoban-v0": {"levels": "toy"}}
"""Parameters of environments whose own need a download."""
Row = tuple[str, ...]
HEAD = ("environment", "actions", "observation", "check", "trains", "drawn", "seconds")


@dataclasses.dataclass(frozen=True)
class Options:
    """Verify every environment of suites of other packages."""

    suites: tuple[str, ...] = dataclasses.field(default=(), metadata=forms.POSITIONAL)
    """Prefixes of the suites, such as navix; all that are installed by default."""
    only: tuple[str, ...] = ()
    """Words of which one must occur in the name of an environment."""
    out: Path = Path(".benchmarks/suites")
    """Folder of the tables; environments that have a row there are not verified again."""


def main(arguments: list[str]) -> None:
    """Run the benchmark; raises an InputError for a prefix that is none."""
    chosen = options.parse("benchmark verify", Options, arguments)
    for prefix in chosen.suites:
        require_known("suite", prefix, suites.SUITES)
    results.make_folder(chosen.out)
    for prefix in chosen.suites or suites.SUITES:
        names = suites.module(prefix).names()
        lacks = suites.missing(names[0])
        require(not lacks or not chosen.suites, lacks)
        if not lacks:
            wanted = [n for n in names if any(word in n for word in chosen.only or ("",))]
            verify(wanted, chosen.out / f"{prefix}.md")


def verify(names: list[str], path: Path) -> None:
    """Add a row for each environment to the table in a file, and print it."""
    rows = kept(path)
    for name in names:
        if name in [row[0] for row in rows]:
            continue
        like = [row[0] for row in rows if family(row[0]) == family(name) and row[4] == "yes"]
        rows.append(verified(name, like[0] if like else ""))
        results.write_whole(path, markdown(rows))
        print("  ".join(rows[-1]), flush=True)
        jax.clear_caches()


def family(name: str) -> str:
    """The name without its numbers."""
    return re.sub(r"\d+", "", name)


def verified(name: str, like: str = "") -> Row:
    """The row of one environment; PPO is known to train in one that is `like` it, if any."""
    begin = time.perf_counter()
    try:
        env = envs.make(name, max_steps_in_episode=LENGTH, **PARAMS.get(name, {}))
    except InputError as error:
        return (name, "", "", str(error), "", "", f"{time.perf_counter() - begin:.0f}")
    outcomes = [attempt(lambda: envs.check(env, steps=2 * LENGTH))]
    outcomes.append(f"as {like.partition('/')[2]}" if like else attempt(lambda: train(env)))
    outcomes.append(attempt(lambda: draw(name, env)))
    return (name, *shown(env.spec), *outcomes, f"{time.perf_counter() - begin:.0f}")


def attempt(run: Any) -> str:
    """What `run` returns, "yes" if that is nothing, or the first line of its error."""
    try:
        return run() or "yes"
    except Exception as error:  # whatever a package raises is what the table has to tell
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def train(env: Env) -> str:
    """Train PPO for two updates, whose metrics must be finite."""
    hp = ppo.Hyperparameters(
        num_envs=4, rollout_length=LENGTH, epochs=1, minibatches=1, hidden=(8,)
    )
    steps = 2 * 4 * LENGTH
    train = jaxrl.make_train(ppo.ppo, env, hp, steps=steps, evaluations=1, episodes=2)
    metrics = jax.device_get(jax.jit(train)(jax.random.key(0)).metrics)
    finite = [name for name, x in metrics.items() if not np.isfinite(x).all()]
    return f"not finite: {', '.join(finite)}" if finite else ""


def draw(name: str, env: Env) -> str:
    """Draw the first state and that after a step; the size of the pictures."""
    if not suites.draws(name):
        return "no renderer"
    keys = jax.random.split(jax.random.key(0), 2)
    states, _ = jax.jit(jax.vmap(env.init))(keys)
    params = {"max_steps_in_episode": LENGTH} | PARAMS.get(name, {})
    images = suites.frames(name, params, states)
    require(len(images) == 2 and images[0].dtype == np.uint8, "pictures are no bytes")
    return " x ".join(map(str, images[0].shape[:2]))


def markdown(rows: list[Row]) -> str:
    """The table of rows."""
    cell = lambda text: text.replace("|", "/")
    lines = [f"| {' | '.join(map(cell, row))} |" for row in [HEAD, *rows]]
    return "\n".join([lines[0], "|---" * len(HEAD) + "|", *lines[1:]]) + "\n"


def kept(path: Path) -> list[Row]:
    """The rows of a table that is there already."""
    if not path.is_file():
        return []
    lines = path.read_text().splitlines()[2:]
    return [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines]
