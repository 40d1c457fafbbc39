"""The driver: a compiled population alternates with writing metrics and checkpoints."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments import checkpoints, configuration, results
from experiments.configuration import Configuration
from jaxrl.loop import advance, evaluate
from jaxrl.population import populate, usable_devices
from jaxrl.types import Array, Key, Run, population_axes


class Diverged(Exception):
    """A loss that is not a number; its message is one sentence with the step and the seeds."""


class Interrupted(Exception):
    """The person pressed Ctrl-C; everything up to the last evaluation is saved."""


class Population(NamedTuple):
    """Members at the start of training, and the compiled function that trains them."""

    runs: Run
    interval: Any  # (runs, hp, keys) -> (runs, metrics, Evaluation)
    seconds: float  # spent compiling


def populated(config: Configuration, hp: Any, hp_axes: Any, keys: Array) -> Population:
    """Compile the training of members with hyperparameters `hp` and typed keys [members, 2]."""

    def init(keys: Key, hp: Any) -> Run:
        return configuration.build(config, hp).experiment.init(keys[0])

    def interval(run: Run, hp: Any, keys: Key) -> tuple:
        setup = configuration.build(config, hp)
        run, metrics = advance(setup.experiment, run, config.interval)
        view = setup.agent.update.read(run.learner)
        key = jax.random.fold_in(keys[1], run.step.value)
        score = evaluate(
            setup.env, setup.agent.exploit, view, key, config.episodes, config.max_episode_steps
        )
        return run, metrics, score

    start = time.perf_counter()
    one = configuration.hyperparameters(config, 0 if config.sweep else None)
    axes = population_axes(jax.eval_shape(lambda key: init(key, one), keys[0]))
    devices = usable_devices(keys.shape[0])
    runs = jax.jit(populate(init, (0, hp_axes), axes, devices))(keys, hp)
    step = jax.jit(populate(interval, (axes, hp_axes, 0), (axes, 0, 0), devices), donate_argnums=0)
    compiled = step.lower(runs, hp, keys).compile()
    return Population(runs, compiled, time.perf_counter() - start)


def member_keys(seeds: np.ndarray) -> Array:
    """Keys [members, 2], for training and for evaluation, that depend on a seed alone."""
    return jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(jnp.asarray(seeds))


def rows_of(
    config: Configuration, members: slice, done: int, seconds: float, speed: float, metrics: dict,
    score: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row of `metrics.csv` for each of the members, after `done` intervals."""
    _, _, seeds = configuration.member_values(config)
    points = np.repeat(np.arange(config.points), config.seeds)[members]
    returns, lengths = np.asarray(score.returns), np.asarray(score.lengths)
    metrics = {name: np.asarray(value) for name, value in metrics.items()}
    rename = {"episode_return": "train_return", "episode_length": "train_length"}
    rows = []
    for i, (seed, point) in enumerate(zip(seeds[members], points)):
        row = {
            "env_steps": done * config.interval * config.steps_per_update,
            "wall_time": round(seconds, 3),
            "steps_per_second": round(speed),
            "seed": int(seed),
            **{name: column[point] for name, column in config.sweep.items()},
            "return_mean": float(returns[i].mean()),
            "return_std": float(returns[i].std()),
            "return_min": float(returns[i].min()),
            "return_max": float(returns[i].max()),
            "length_mean": float(lengths[i].mean()),
            "completed": float(np.asarray(score.completed)[i].mean()),
        }
        losses = {rename.get(k, k): float(v[i]) for k, v in metrics.items() if k != "episodes"}
        rows.append(row | losses)
    return rows


def require_finite(rows: list[dict[str, Any]], names: list[str]) -> None:
    """Raise `Diverged` if a loss in `rows` is not a finite number."""
    bad = [row for row in rows if not all(math.isfinite(row[name]) for name in names)]
    if bad:
        wrong = next(name for name in names if not math.isfinite(bad[0][name]))
        seeds = ", ".join(str(row["seed"]) for row in bad)
        raise Diverged(
            f"{wrong} is {bad[0][wrong]} at environment step {bad[0]['env_steps']} in seed(s) {seeds}: "
            "the results so far are kept; try a smaller learning rate."
        )


@contextlib.contextmanager
def catch_interrupt() -> Iterator[list[bool]]:
    """Note a first Ctrl-C, so that the interval under way can be finished and saved."""
    pressed: list[bool] = []

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)
        print("\nFinishing this interval, then saving; Ctrl-C again to stop at once.", file=sys.stderr)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread, as in some notebooks
        yield pressed
        return
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def train(
    config: Configuration,
    folder: Path,
    resume: bool = False,
    tensorboard: bool = False,
    members: slice = slice(None),
    save_every: float = 60.0,
) -> list[dict[str, Any]]:
    """Train the members of a configuration into a results folder and return their last rows.

    `config` must have been validated. A resumed run is bit for bit what it would have been
    without the interruption. Raises `Diverged` or `Interrupted` with everything saved.
    """
    hp, hp_axes, seeds = configuration.member_values(config)
    hp = jax.tree.map(lambda x: x[members] if np.ndim(x) else x, hp)
    keys = member_keys(seeds[members])
    writer = results.tensorboard_writer(folder) if tensorboard else None
    total = config.evaluations
    size = config.interval * config.steps_per_update * keys.shape[0]
    print(f"Compiling {config.agent} on {config.env}, {keys.shape[0]} members ...", file=sys.stderr)
    population = populated(config, hp, hp_axes, keys)
    runs, done, clock = population.runs, 0, {"seconds": 0.0}
    if resume:
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), runs
        )
        done, runs, clock = checkpoints.restore(folder, like)
    steps = done * config.interval * config.steps_per_update
    metrics_file = results.MetricsFile(folder, keep_until=steps if resume else None)
    rows: list[dict[str, Any]] = []
    saved = time.perf_counter()
    bar = tqdm(
        total=total * size, initial=done * size, unit="step", unit_scale=True, smoothing=0.1,
        disable=not sys.stderr.isatty(), dynamic_ncols=True,
    )  # fmt: skip
    print(f"Compiled in {population.seconds:.1f} s.", file=sys.stderr)
    with catch_interrupt() as interrupted, checkpoints.manager(folder) as manager, bar:
        while done < total:
            start = time.perf_counter()
            runs, metrics, score = jax.block_until_ready(population.interval(runs, hp, keys))
            seconds = time.perf_counter() - start
            clock, done = {"seconds": clock["seconds"] + seconds}, done + 1
            rows = rows_of(config, members, done, clock["seconds"], size / seconds, metrics, score)
            metrics_file.append(rows)
            losses = [n for n in metrics if not n.startswith("episode")]
            report(rows, bar, size, writer)
            require_finite(rows, losses)
            if done == total or interrupted or time.perf_counter() - saved > save_every:
                checkpoints.save(manager, done, runs, clock)
                saved = time.perf_counter()
            if interrupted and done < total:
                raise Interrupted(f"Stopped after {rows[0]['env_steps']} environment steps.")
    metrics_file.close()
    if writer is not None:
        writer.close()
    return rows


def report(rows: list[dict[str, Any]], bar: Any, size: int, writer: Any) -> None:
    """Show the mean over members of an evaluation."""
    mean = float(np.mean([row["return_mean"] for row in rows]))
    steps, speed = rows[0]["env_steps"], rows[0]["steps_per_second"]
    bar.set_postfix_str(f"return {mean:.1f}")
    bar.update(size)
    if bar.disable:
        print(f"step {steps:>10}  return {mean:9.2f}  {speed:9.0f} steps/s", file=sys.stderr)
    if writer is not None:
        for row in rows:
            for name, value in row.items():
                if name not in ("seed", "env_steps"):
                    writer.add_scalar(f"seed_{row['seed']}/{name}", value, steps)
