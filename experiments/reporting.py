"""What a person sees of a run: the banner, the bar, the log file, and what diverged."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments import costing, presets, processes, provenance
from experiments.configuration import Configuration

QUIET = 30.0  # seconds between lines within an interval, where there is no terminal


class Reporter(NamedTuple):
    """Ways to tell of a run, on stderr and in `train.log`."""

    say: Callable[[str], None]  # a sentence
    progress: Callable[[int], None]  # environment steps of a member taken so far
    evaluated: Callable[[list[dict[str, Any]]], None]  # the rows of an evaluation


@contextlib.contextmanager
def reporter(
    folder: Path, steps: int, done: int, members: int, quiet: bool = False
) -> Iterator[Reporter]:
    """Report on `members` that take `steps` environment steps each, of which `done` are taken.

    A terminal shows a bar; elsewhere each evaluation is a line, and so is every half minute of a
    longer interval. `train.log` has all lines with the time, and if `quiet` nothing else has.
    """
    tell = log_file(folder)
    bar = tqdm(
        total=steps * members, initial=done * members, unit=" steps", unit_scale=True,
        smoothing=0.1, disable=quiet or not sys.stderr.isatty(), dynamic_ncols=True,
    )  # fmt: skip
    begin, last, now = time.monotonic(), [time.monotonic()], [done]

    def say(text: str) -> None:
        tell(text)
        if not quiet:
            tqdm.write(text, file=sys.stderr)

    def line(text: str) -> None:
        last[0] = time.monotonic()
        tell(text)
        if bar.disable and not quiet:
            print(text, file=sys.stderr)

    def progress(taken: int) -> None:
        bar.update((taken - now[0]) * members)
        now[0] = taken
        if taken > done and time.monotonic() - last[0] > QUIET:
            took = time.monotonic() - begin
            left = took / (taken - done) * (steps - taken)
            line(
                f"step {taken:>10} of {steps} ({taken / steps:.0%})  "
                f"{(taken - done) * members / took:9.0f} steps/s  {clock(took)} passed, "
                f"{clock(left)} left"
            )

    def evaluated(rows: list[dict[str, Any]]) -> None:
        played = [row["return_mean"] for row in rows if np.isfinite(row["return_mean"])]
        mean = float(np.mean(played)) if played else np.nan
        bar.set_postfix_str(f"return {mean:.1f}")
        costs = costing.mean_costs(rows).items()
        row = rows[0]
        speed = f"{row['steps_per_second']:9.0f}" if row["steps_per_second"] else f"{'':9}"
        line(f"step {row['env_steps']:>10}  return {mean:9.2f}  {speed} steps/s"
             + "".join(f"  {name} {cost:.4f}" for name, cost in costs))  # fmt: skip

    with bar:
        yield Reporter(say, progress, evaluated)


def log_file(folder: Path) -> Callable[[str], None]:
    """A function that adds a line, with the time, to `train.log`, in the first process alone."""
    if not processes.first():
        return lambda text: None

    def tell(text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        # A log that cannot be written is no reason to stop; what is needed is written elsewhere.
        with contextlib.suppress(OSError), (folder / "train.log").open("a") as file:
            file.write(f"{stamp} {text}\n")

    return tell


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def banner(config: Configuration, folder: Path, count: int) -> str:
    """The lines at the start of `count` members: device, preset, steps, folder."""
    devices = jax.local_devices()
    device = f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
    members = f"{count} member{'s' * (count > 1)}"
    lines = [f"{config.agent} on {config.env}, {members}.",
             f"Device: {device}; precision: {provenance.precision()}."]  # fmt: skip
    values = {k: v for k, v in presets.preset(config.agent, config.env).items() if k != "steps"}
    kept = {k: v for k, v in values.items() if config.hyperparameters.get(k) == v}
    if kept:
        named = ", ".join(f"{name} {value}" for name, value in kept.items())
        lines.append(f"Preset of {config.agent} on {config.env}: {named}.")
    lines += [steps_sentence(config), *decay_sentence(config)]
    return "\n".join([*lines, f"Results folder: {folder}."])


def steps_sentence(config: Configuration) -> str:
    """The environment steps that are taken, and why they are others than was asked for."""
    spent, hp = config.budget, config.hyperparameters
    updates = f"{spent.updates} update{'s' * (spent.updates > 1)}"
    text = f"Steps: {spent.steps} environment steps per member in {updates} of {spent.per_update}"
    text += f" after a warm-up of {spent.warmup}" if spent.warmup else ""
    text += f", {len(spent.blocks)} evaluation{'s' * (len(spent.blocks) > 1)}"
    if spent.steps != config.steps:
        each = f"num_envs {hp['num_envs']} x rollout_length {hp['rollout_length']}"
        text += (
            f"; --steps {config.steps} cannot be met exactly, because an update takes {each} "
            "environment steps" + (" and the warm-up comes before" if spent.warmup else "")
        )
    if len(spent.blocks) < config.evaluations:
        text += f"; --evaluations {config.evaluations} are more than there are updates"
    return text + "."


def decay_sentence(config: Configuration) -> list[str]:
    """What becomes of the learning rate, if it changes."""
    hp, steps = config.hyperparameters, config.budget.steps
    decay = hp.get("decay_steps") or 0
    if not decay and hp.get("decay"):
        end = round(hp["decay"] * steps)
        return [f"The learning rate falls to zero over {end} environment steps."]
    if 0 < decay < 0.95 * steps:
        return [
            f"The learning rate is zero from environment step {decay:g} on, for "
            f"{1 - decay / steps:.0%} of the run: --decay 1 --decay-steps 0 lets it fall over the "
            "whole run."
        ]
    return []
