"""The driver: compiled updates of a population alternate with evaluations and checkpoints."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import (
    checkpoints,
    configuration,
    continuing,
    costing,
    placement,
    planning,
    processes,
    profiling,
    reporting,
    results,
    run_data,
)
from experiments.configuration import Configuration
from experiments.host import programmed
from experiments.locks import locked
from experiments.population import (
    Population,
    Program,
    buffers,
    gather,
)
from experiments.precision import multiplied_in
from experiments.progress import Best, State, held, rows_of, save, sentence, where_it_stopped
from experiments.signals import caught_signals
from experiments.writers import Log, opened
from jaxrl.buffers import Buffer
from jaxrl.errors import InputError, require_positive
from jaxrl.offline import without_data
from jaxrl.types import Transition

SAVE_EVERY = 60.0  # seconds
CHUNK = 1.0  # seconds of updates between two looks at signals and clocks
DRAW_EVERY = 10.0  # seconds, and more if drawing takes more than a fiftieth of the time


class Diverged(Exception):
    """A loss that is not a number; its message is one sentence with the step and the seeds."""


class Interrupted(Exception):
    """A signal, such as of Ctrl-C, stopped training; everything up to then is saved."""


class Options(NamedTuple):
    """How to train, apart from what results depend on."""

    log: Sequence[str] = ()  # writers beside metrics.csv
    save_every: float = SAVE_EVERY  # seconds
    draw: Callable[[], None] = lambda: None  # the results so far
    callbacks: Sequence[Log] = ()  # a person's own; the run stops early if one returns True
    quiet: bool = False  # only write to train.log, and not to the terminal
    devices: str = ""  # along each axis: see `experiments.placement`
    profile: bool = False  # record some updates into the results folder


def train(
    population: Population,
    state: State,
    folder: Path,
    stop: Sequence[str] = (),
    data: Transition | None = None,
    options: Options = Options(),
    made: dict[int, Program] | None = None,
) -> None:
    """Train a population from `state` on into a results folder, until `stop` is not empty.

    Programs are compiled into `made`, by their number of members, unless they are there: parts of
    one sweep share them. The configuration must have been validated. A resumed run is bit for bit
    what it would have been without the interruption. A member whose loss is not a number stops
    there; the others go on. Raises `Interrupted`, or at the end `Diverged`, with everything saved.
    """
    p, config, spent, count = (
        population,
        population.config,
        population.config.budget,
        len(population.seeds),
    )
    ends = np.cumsum(spent.blocks)
    steps_at = lambda updates: spent.warmup + updates * spent.per_update
    writes, done = processes.first(), steps_at(state.updates) if state.updates else -1
    torn = results.truncate_metrics(folder, done) if writes else ""
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(multiplied_in(config.precision))
        quiet = options.quiet or not writes
        report = enter(
            reporting.reporter(folder, spent.steps, steps_at(state.updates), count, quiet)
        )
        if torn:
            report.say(torn)
        if state.updates >= spent.updates:
            report.say(f"{folder} has its {spent.steps} environment steps already.")
            return conclude(p, state.diverged, folder)
        report.say(reporting.banner(config, folder, count))
        begin = time.perf_counter()
        memory = buffers(p, data)
        made = {} if made is None else made
        program = made[count] = made.get(count) or programmed(p, memory)
        processes.begin_together()
        resumed = state.runs is not None
        runs = program.resume(p, state.runs) if resumed else program.start(p, data)
        same = state.sums.keys() == program.zeros.keys()
        state = state._replace(runs=runs, sums=state.sums if same else program.zeros)
        report.say(f"Compiled in {time.perf_counter() - begin:.1f} s.")
        if program.plan:
            report.say(f"Memory: {planning.sentence(program.plan)}.")
        if resumed and program.on_resume:
            report.say(program.on_resume)
        kinds = checkpoints.KEPT if writes else ()
        managers = [enter(checkpoints.manager(folder, kind)) for kind in kinds]
        log: Log = lambda steps, rows: None
        if writes:
            log = enter(opened(config, folder, options.log, done, options.callbacks))
        draw = paced(options.draw if writes else lambda: None)

        def tell(rows: list[dict[str, Any]], new: dict[str, list]) -> bool:
            enough = bool(log(steps_at(state.updates), rows))
            report.evaluated(rows)
            if new:
                report.say(f"{sentence(p, new)}: stopped there.")
            draw()
            return enough

        enough = over = False
        if not state.updates:  # a folder has a checkpoint before it has rows
            state, rows, new = assess(program, p, state)
            state = save(managers, state)
            enough = tell(rows, new)
        size, saved = 1, time.monotonic()
        place = folder / "profile" if options.profile and writes else None
        recorded = profiling.profiler(place, report.say)
        while not enough:
            end = int(ends[np.searchsorted(ends, state.updates, "right")])
            taken = min(size, end - state.updates)
            with recorded():
                state, took = learn(program, p, state, memory, taken)
            size = max(1, min(8 * size, int(taken * CHUNK / took)))
            report.progress(steps_at(state.updates))
            if state.updates == end:
                state, rows, new = assess(program, p, state)
                enough = tell(rows, new)
            over = state.updates == spent.updates or len(state.diverged) == count
            due = time.monotonic() - saved > options.save_every
            (size, due), (stopped, enough) = processes.agreed([size, due], [bool(stop), enough])
            size, halt = int(size), over or enough or stopped
            if halt or due:
                state, saved = save(managers, state), time.monotonic()
            if halt:
                break
        if enough and not over:
            report.say(
                f"A callback stopped training after {steps_at(state.updates)} environment steps; "
                "continue with --resume."
            )
        elif not over:
            name = stop[0] if stop else "A signal to another process"
            text = f"{name}: stopped after {steps_at(state.updates)} environment steps"
            raise Interrupted(f"{text}; continue with --resume.")
    conclude(p, state.diverged, folder)


def learn(
    program: Program, p: Population, state: State, memory: list[Buffer], updates: int
) -> tuple[State, float]:
    """The state after some more updates, and the seconds that they took."""
    begin, number = time.perf_counter(), np.int32(updates)
    runs, sums = program.advance(state.runs, state.sums, p.hp, memory, number)
    jax.block_until_ready((runs, sums))
    took = time.perf_counter() - begin
    done, seconds = state.updates + updates, state.seconds + took
    return state._replace(runs=runs, sums=sums, updates=done, seconds=seconds), took


def assess(
    program: Program, p: Population, state: State
) -> tuple[State, list[dict[str, Any]], dict[str, list]]:
    """The state after an evaluation, its rows, and the members that diverged since the last one."""
    begin = time.perf_counter()
    score = jax.device_get(processes.fetched(program.evaluate(state.runs, p.hp, p.keys)))
    state = state._replace(sums=processes.fetched(state.sums))
    state = state._replace(seconds=state.seconds + time.perf_counter() - begin)
    rows, new = rows_of(p, state, score)
    returns = [row["return_mean"] for row in rows if np.isfinite(row["return_mean"])]
    if costing.excess(p.config.cost_limits, costing.mean_costs(rows)):
        returns = []  # no checkpoint above the limits is the best one
    best, mean = state.best, float(np.mean(returns)) if returns else -math.inf
    if mean > best.mean:
        best = Best(mean, state.updates, held(processes.fetched(without_data(state.runs))))
    since = (state.updates, state.seconds)
    diverged = {**state.diverged, **new}
    return state._replace(diverged=diverged, since=since, sums=program.zeros, best=best), rows, new


def paced(draw: Callable[[], None]) -> Callable[[], None]:
    """Draw only as often as costs little: at most every few seconds, a fiftieth of the time."""
    due = [time.monotonic() + DRAW_EVERY]

    def drawn() -> None:
        begin = time.monotonic()
        if begin >= due[0]:
            with contextlib.suppress(OSError, InputError):  # training goes on without a picture
                draw()
            due[0] = time.monotonic() + max(DRAW_EVERY, 50 * (time.monotonic() - begin))

    return drawn


def train_parts(
    config: Configuration,
    folder: Path,
    resume: bool,
    options: Options = Options(),
) -> None:
    """Train all vmapped runs of a configuration, one after another; the last to diverge raises.

    The folder is locked meanwhile. Raises an InputError, with nothing written, if another process
    uses it, if the memory is too small, or if what is there cannot be resumed.
    """
    require_positive(save_every=options.save_every)
    diverged, (config, data) = None, run_data.loaded(config)
    config = config if resume else continuing.described(config)
    missing = configuration.defaulted(folder) if resume else {}
    parts, devices = configuration.parts(config, folder), placement.asked(options.devices)
    population = gather(config, parts[0][1], devices)
    held_by_runs = planning.parts_of(population.like)
    planning.require_fits(held_by_runs, len(population.seeds), config)  # with nothing written
    if not processes.first():  # it reads what the first one writes, and writes nothing
        with caught_signals() as stop:
            made = {}
            for inner, members in parts:
                population = gather(config, members, devices)
                state = where_it_stopped(population, inner) if resume else State()
                train(population, state, inner, stop, data, options, made)
        return
    results.make_folder(folder)
    with locked(folder) as taken, caught_signals() as stop:
        notes = [taken] if taken else []
        if missing:
            named = ", ".join(f"{name} {value}" for name, value in missing.items())
            notes.append(f"{folder} is of a version without some hyperparameters, which take "
                         f"their defaults: {named}.")  # fmt: skip
        for text in notes:
            reporting.log_file(folder)(text)
            print(text, file=sys.stderr)
        made: dict[int, Program] = {}
        for i, (inner, members) in enumerate(parts):
            population = population if i == 0 else gather(config, members, devices)
            state = where_it_stopped(population, inner) if resume else State()
            results.make_folder(inner)
            if i == 0:
                configuration.save(config, folder)  # only now: what is there fits together
            try:
                train(population, state, inner, stop, data, options, made)
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
        with contextlib.suppress(OSError, InputError):  # the first error is the one to tell
            draw()
        raise
    draw()


def conclude(population: Population, diverged: dict[str, list], folder: Path) -> None:
    """Raise `Diverged` if members did."""
    if diverged:
        left = len(population.seeds) - len(diverged)
        raise Diverged(
            f"{sentence(population, diverged)}: training stopped there, and the results of the "
            f"other {left} members are in {folder}; possible causes are a learning rate that is "
            "too large, rewards or observations of large magnitude, or an environment that "
            "returns infinite numbers."
        )
