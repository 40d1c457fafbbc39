"""The driver: a compiled population alternates with writing metrics and checkpoints."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments import checkpoints, configuration, results
from experiments.configuration import Configuration
from experiments.population import Population, compiled, gather, start
from jaxrl.errors import InputError, require
from jaxrl.loop import summarise
from jaxrl.types import Run

SAVE_EVERY = 60.0  # seconds
RENAMED = {"episode_return": "train_return", "episode_length": "train_length"}


class Diverged(Exception):
    """A loss that is not a number; its message is one sentence with the step and the seeds."""


class Interrupted(Exception):
    """The person pressed Ctrl-C; everything up to the last evaluation is saved."""


class State(NamedTuple):
    """How far a population has come."""

    done: int  # intervals
    runs: Run | None  # None at the start
    seconds: float  # spent training
    diverged: dict[str, list]  # member: name of the loss, its value, environment step


def beginning() -> State:
    """The state of a population that has yet to begin."""
    return State(0, None, 0.0, {})


def where_it_stopped(population: Population, folder: Path) -> State:
    """The state in the last checkpoint of a folder, or the beginning if it has none.

    Raises `InputError` for a checkpoint that cannot be resumed; compiles nothing.
    """
    if not checkpoints.exists(folder):
        return beginning()
    done, runs, progress = checkpoints.restore(folder, population.like)
    config = population.config
    require(
        done <= config.evaluations,
        f"{folder} is at {done * config.interval_steps} environment steps already: "
        f"--steps {config.steps} would go back.",
    )
    return State(done, runs, progress["seconds"], progress["diverged"])


def train(population: Population, state: State, folder: Path, tensorboard: bool = False) -> None:
    """Train a population from `state` on into a results folder.

    The configuration must have been validated. A resumed run is bit for bit what it would have
    been without the interruption. A member whose loss is not a number stops there; the others go
    on. Raises `Interrupted`, or at the end `Diverged`, with everything saved.
    """
    config, (done, runs, seconds, diverged) = population.config, state
    results.truncate_metrics(folder, done * config.interval_steps)
    if done >= config.evaluations:
        print(f"{folder} has its {config.steps} environment steps already.", file=sys.stderr)
        return conclude(population, diverged, folder)
    count = len(population.seeds)
    what = f"{config.agent} on {config.env}, {count} member{'s' * (count > 1)}"
    print(f"Compiling {what} ...", file=sys.stderr)
    begin = time.perf_counter()
    runs = start(population) if runs is None else runs
    step, _ = compiled(population)
    print(f"Compiled in {time.perf_counter() - begin:.1f} s.", file=sys.stderr)
    size = config.interval_steps * count
    saved = time.perf_counter()
    with (
        catch_interrupt() as interrupted,
        checkpoints.manager(folder) as manager,
        tensorboard_logger(config, folder, tensorboard) as log,
        progress_bar(config.evaluations * size, done * size) as bar,
    ):
        while done < config.evaluations and len(diverged) < count:
            begin = time.perf_counter()
            runs, metrics, score = jax.block_until_ready(step(runs, population.hp, population.keys))
            took = time.perf_counter() - begin
            seconds, done = seconds + took, done + 1
            rows = rows_of(population, done, seconds, size / took, metrics, score, diverged)
            results.append_metrics(folder, rows)
            log(rows)
            report(rows, bar, size)
            stopped = len(diverged) == count or bool(interrupted)
            if stopped or done == config.evaluations or time.perf_counter() - saved > SAVE_EVERY:
                kept = {"seconds": seconds, "diverged": diverged}
                checkpoints.save(manager, done, runs, kept)
                saved = time.perf_counter()
            if interrupted and done < config.evaluations:
                steps = done * config.interval_steps
                raise Interrupted(f"Stopped after {steps} environment steps: go on with --resume.")
    conclude(population, diverged, folder)


def train_parts(config: Configuration, folder: Path, resume: bool, tensorboard: bool) -> None:
    """Train all vmapped runs of a configuration, one after another; the last to diverge raises."""
    diverged = None
    for inner, members in configuration.parts(config, folder):
        population = gather(config, members)
        state = where_it_stopped(population, inner) if resume else beginning()
        results.make_folder(inner)
        configuration.save(config, folder)  # only now: what is there fits together
        try:
            train(population, state, inner, tensorboard)
        except Diverged as error:
            diverged = error
    if diverged is not None:
        raise diverged


@contextlib.contextmanager
def drawn_after(draw: Callable[[], None]) -> Iterator[None]:
    """Draw what there is after training, however it ended; but nothing if it was bad input."""
    try:
        yield
    except InputError:
        raise
    except BaseException:
        draw()
        raise
    draw()


def rows_of(
    population: Population, done: int, seconds: float, speed: float, metrics: dict, score: Any,
    diverged: dict[str, list],
) -> list[dict[str, Any]]:  # fmt: skip
    """One row of `metrics.csv` for each member that is going, after `done` intervals.

    Members whose loss is not a finite number are added to `diverged`; their last row has no
    evaluation.
    """
    config = population.config
    means = summarise(metrics)
    values = {RENAMED.get(k, k): np.asarray(v, float) for k, v in means.items()}
    finite, _ = values.pop("finite"), values.pop("episodes")
    returns, lengths = np.asarray(score.returns), np.asarray(score.lengths)
    rows = []
    for i, (seed, point) in enumerate(zip(population.seeds, population.points)):
        if str(i) in diverged:
            continue
        losses = {name: float(value[i]) for name, value in values.items()}
        played = {
            "return_mean": float(returns[i].mean()),
            "return_std": float(returns[i].std()),
            "return_min": float(returns[i].min()),
            "return_max": float(returns[i].max()),
            "length_mean": float(lengths[i].mean()),
            "completed": float(np.asarray(score.completed)[i].mean()),
        }
        good = round(finite[i] * config.interval)
        if good < config.interval:
            # One bad update makes all that follow bad, so the good ones were the first.
            update = (done - 1) * config.interval + good + 1
            bad = {k: v for k, v in losses.items() if not np.isfinite(v) and k[:6] != "train_"}
            name, value = next(iter(bad.items()))
            diverged[str(i)] = [name, value, update * config.steps_per_update]
            played = dict.fromkeys(played, np.nan)
            message = f"{sentence(population, {str(i): diverged[str(i)]})}."
            tqdm.write(message, file=sys.stderr)
        row = {
            "env_steps": done * config.interval_steps,
            "wall_time": round(seconds, 3),
            "steps_per_second": round(speed),
            "seed": int(seed),
            **{name: column[point] for name, column in config.sweep.items()},
        }
        rows.append(row | played | losses)
    return rows


def sentence(population: Population, diverged: dict[str, list]) -> str:
    """What became of members that diverged, without the full stop."""
    config, found = population.config, []
    for member, (name, value, steps) in diverged.items():
        i = int(member)
        point = ", ".join(f"{k} {v[population.points[i]]:g}" for k, v in config.sweep.items())
        where = f"seed {population.seeds[i]}" + (f" of {point}" if point else "")
        found.append(f"{name} is {value} at environment step {steps} in {where}")
    return "; ".join(found)


def conclude(population: Population, diverged: dict[str, list], folder: Path) -> None:
    """Raise `Diverged` if members did."""
    if diverged:
        raise Diverged(
            f"{sentence(population, diverged)}: stopped there, and the results of the other "
            f"{len(population.seeds) - len(diverged)} members are in {folder}; "
            "try a smaller learning rate."
        )


@contextlib.contextmanager
def catch_interrupt() -> Iterator[list[bool]]:
    """Note a first Ctrl-C, so that the interval under way can be finished and saved."""
    pressed: list[bool] = []

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)
        words = "Finishing this interval, then saving; Ctrl-C again to stop at once."
        print(f"\n{words}", file=sys.stderr)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread, as in some notebooks
        yield pressed
        return
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def progress_bar(total: int, done: int) -> Any:
    """A bar over environment steps of all members, silent where nobody watches."""
    return tqdm(
        total=total, initial=done, unit=" steps", unit_scale=True, smoothing=0.1,
        disable=not sys.stderr.isatty(), dynamic_ncols=True,
    )  # fmt: skip


def report(rows: list[dict[str, Any]], bar: Any, size: int) -> None:
    """Show the mean over members of an evaluation."""
    played = [row["return_mean"] for row in rows if np.isfinite(row["return_mean"])]
    mean = float(np.mean(played)) if played else np.nan
    steps, speed = rows[0]["env_steps"], rows[0]["steps_per_second"]
    bar.set_postfix_str(f"return {mean:.1f}", refresh=False)
    bar.update(size)
    if bar.disable:
        print(f"step {steps:>10}  return {mean:9.2f}  {speed:9.0f} steps/s", file=sys.stderr)


@contextlib.contextmanager
def tensorboard_logger(config: Configuration, folder: Path, wanted: bool) -> Iterator[Any]:
    """A function of rows that writes them for TensorBoard, or one that does nothing."""
    if not wanted:
        yield lambda rows: None
        return
    writer = results.tensorboard_writer(folder)
    axes = (*config.sweep, "seed")

    def log(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            member = ",".join(f"{axis}={row[axis]:g}" for axis in axes)
            for name in row.keys() - {*axes, "env_steps"}:
                writer.add_scalar(f"{name}/{member}", row[name], row["env_steps"])

    try:
        yield log
    finally:
        writer.close()
