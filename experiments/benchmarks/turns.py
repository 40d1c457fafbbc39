"""Steps per second of several libraries, whose processes take turns.

Every library works in a process of its own (`peers/`). The processes of a setting take turns (A, B,
A, B), so that other load on the machine affects all of them alike. Compile time is measured apart.
"""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

from experiments.benchmarks.peers.processes import Failed, Peer, Worker, prepare
from jaxrl.errors import require, require_known, require_positive, unknown

OURS = "jaxrl"
Kind = TypeVar("Kind")  # of a setting


class Setting(NamedTuple):
    """A training task, the libraries that run it, and the target ratios of speed."""

    task: dict[str, Any]  # what every worker is told
    iterations: dict[str, int]  # rollouts in a timed chunk of each seed, by library
    targets: dict[str, float]
    seeds: int = 1


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure speed beside other libraries, which are installed when first needed."""

    only: tuple[str, ...] = ()
    """Settings to measure, by their names or the beginnings of these; all by default."""
    libraries: tuple[str, ...] = ()
    """Libraries to measure, by default all."""
    repeats: int = 6
    """Number of timed chunks of each library, in turns."""
    rounds: int = 3
    """Number of fresh processes, each with its own compilation, that share the chunks."""
    timeout: float = 300.0
    """Time limit in seconds of the preparation and of each chunk."""
    quick: bool = False
    """Measure one round of three chunks of a quarter of the length."""
    out: str = ""
    """Folder for the table and the numbers; by default a new one in .benchmarks."""
    peers: str = "~/.cache/jaxrl/peers"
    """Folder of the peers' virtual environments."""


def chosen(only: tuple[str, ...], settings: dict[str, Kind], kind: str) -> dict[str, Kind]:
    """The settings whose names begin with one of `only`; an InputError if one fits none."""
    for name in only:
        if not any(setting.startswith(name) for setting in settings):
            raise unknown(f"{kind} setting", name, settings)
    return {n: s for n, s in settings.items() if not only or n.startswith(only)}


def libraries(settings: dict[str, Setting]) -> tuple[str, ...]:
    """The names of all libraries that run one of the settings."""
    return tuple(dict.fromkeys(name for s in settings.values() for name in s.iterations))


class Measured(NamedTuple):
    """The measurements of one library in one setting."""

    rates: list[float]  # steps per second of all seeds together
    compile_s: list[float]
    facts: dict[str, Any]  # memory, the device, the stages of the compilation
    failure: str = ""


def measure(setting: Setting, workers: dict[str, Peer], options: Options) -> dict[str, Measured]:
    """Measure all `workers` in turns."""
    found = {name: Measured([], [], {}) for name in workers}
    rounds = 1 if options.quick else options.rounds
    repeats = 3 if options.quick else -(-options.repeats // rounds)
    for lap in range(rounds):
        order = [name for name in workers if not found[name].failure]
        measure_round(setting, workers, order[::-1] if lap % 2 else order, repeats, options, found)
    return found


def measure_round(
    setting: Setting,
    workers: dict[str, Peer],
    order: list[str],
    repeats: int,
    options: Options,
    found: dict[str, Measured],
) -> None:
    """Start a process of each library, measure `repeats` turns, and add the results to `found`."""
    alive: dict[str, Worker] = {}

    def ask(name: str, question: Callable[[Worker], dict[str, Any]]) -> dict[str, Any]:
        try:
            return question(alive[name])
        except Failed as failure:
            found[name] = found[name]._replace(failure=str(failure))
            alive.pop(name).kill()
            return {}

    try:
        for name in order:
            alive[name] = Worker(workers[name], told(setting, name, options.quick))
            if ready := ask(name, lambda worker: worker.answer(options.timeout)):
                found[name].compile_s.append(ready.pop("compile_s"))
                found[name].facts.update(ready)
        for name in order * repeats:
            if name in alive and (done := ask(name, lambda worker: worker.run(options.timeout))):
                found[name].rates.append(done["steps"] / done["run_s"])
        for name in list(alive):
            found[name].facts.update(ask(name, lambda worker: worker.end(60.0)))
    finally:
        for worker in alive.values():
            worker.kill()


def told(setting: Setting, library: str, quick: bool) -> dict[str, Any]:
    """The task of a worker, with the numbers of seeds and of steps of each."""
    iterations = setting.iterations[library]
    iterations = max(1, iterations // 4) if quick else iterations
    per_iteration = setting.task["num_envs"] * setting.task["rollout_length"]
    return setting.task | {"seeds": setting.seeds, "steps": iterations * per_iteration}


def span(values: list[float], form: str = "{:.3g}") -> str:
    """The median of `values` and their range."""
    low, mid, high = (form.format(x) for x in (min(values), median(values), max(values)))
    return f"{mid} ({low}-{high})"


def ratios(ours: Measured, peer: Measured) -> list[float]:
    """The ratio of our speed to that of a peer, turn by turn."""
    return [a / b for a, b in zip(ours.rates, peer.rates)]


def speeds(results: dict[str, dict[str, Measured]], settings: dict[str, Setting]) -> str:
    """The steps per second of results as a table in markdown, and the ratios to peers."""
    lines = [
        "| setting | peer | jaxrl steps/s | peer steps/s | ratio | target | compile s, both |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        ours = row.get(OURS)
        for peer, it in row.items():
            if peer == OURS and len(row) > 1:
                continue
            own = count(ours) if ours else "not measured"
            theirs = "-" if peer == OURS else count(it)
            both = ours is not None and peer != OURS and ours.rates and it.rates
            ratio = span(ratios(ours, it), "{:.2f}") if both else "-"
            target = settings[name].targets.get(peer)
            compiled = " / ".join(
                f"{median(m.compile_s):.1f}" if m and m.compile_s else "-" for m in (ours, it)
            )
            target = f"{target:g}" if target else "-"
            lines.append(
                f"| {name} | {peer} | {own} | {theirs} | {ratio} | {target} | {compiled} |"
            )
    return "\n".join(lines)


def table(
    results: dict[str, dict[str, Measured]],
    settings: dict[str, Setting],
    populations: dict[str, str],
) -> str:
    """Results as tables in markdown: against peers, of populations, and of memory.

    `populations` has the name of the setting of one seed for each setting of several.
    """
    lines = [speeds(results, settings)]
    lines += ["", "| population | library | seeds | its time, in times of one seed |"]
    lines += ["|---|---|---|---|"]
    for many, one in populations.items():
        for library in results.get(many, {}):
            pair = results[many][library], results.get(one, {}).get(library)
            if pair[1] and pair[0].rates and pair[1].rates:
                seeds = settings[many].seeds
                cost = seeds * median(pair[1].rates) / median(pair[0].rates)
                lines.append(f"| {many} | {library} | {seeds} | {cost:.1f} |")
    lines += ["", "| setting | library | state MB | temporary MB | peak MB of the process |"]
    lines += ["|---|---|---|---|---|"]
    for name, row in results.items():
        for library, it in row.items():
            facts = (it.facts.get(f) for f in ("state_mb", "temporary_mb", "peak_rss_mb"))
            cells = " | ".join("-" if fact is None else f"{fact:g}" for fact in facts)
            lines.append(f"| {name} | {library} | {cells} |")
    return "\n".join(lines)


def count(measured: Measured) -> str:
    """Steps per second, or the reason why there are none."""
    return span(measured.rates) if measured.rates else measured.failure


def run(
    name: str,
    options: Options,
    settings: dict[str, Setting],
    populations: dict[str, str],
    own: Peer | None = None,
) -> None:
    """Measure what `options` choose of the settings, and write a table and the numbers.

    Both files are named after the benchmark; `own` is our worker, if not that of training.
    """
    require_positive(repeats=options.repeats, rounds=options.rounds, timeout=options.timeout)
    some, known = chosen(options.only, settings, name), libraries(settings)
    for library in options.libraries:
        require_known("library", library, known)
    out = Path(options.out or time.strftime(f".benchmarks/{name}-%Y%m%d-%H%M%S"))
    require(not out.exists(), f"The results folder {out} exists: choose another with --out.")
    out.mkdir(parents=True)

    ready: dict[str, Peer] = {}
    for library in options.libraries or known:
        if any(library in setting.iterations for setting in some.values()):
            try:
                peer = prepare(library, Path(options.peers).expanduser())
                ready[library] = own if library == OURS and own is not None else peer
            except Failed as failure:
                print(f"{library} is left out: {failure}", file=sys.stderr)
    results: dict[str, dict[str, Measured]] = {}
    report: dict[str, Any] = {"machine": machine(), "options": dataclasses.asdict(options)}
    report["requirements"] = {name: peer.requirements for name, peer in ready.items()}
    for title, setting in some.items():
        workers = {n: peer for n, peer in ready.items() if n in setting.iterations}
        load = [os.getloadavg()[0]]
        results[title] = measure(setting, workers, options)
        load.append(os.getloadavg()[0])
        rows = {library: it._asdict() for library, it in results[title].items()}
        report[title] = {"task": setting.task, "seeds": setting.seeds, "load": load} | rows
        for library, it in results[title].items():
            print(f"{title} {library}: {count(it)} steps/s", flush=True)
        # After every setting, so that an interruption leaves what was measured.
        (out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        text = table(results, settings, populations)
        (out / f"{name}.md").write_text(text + "\n")
    print(f"\n{table(results, settings, populations)}\n")
    print(f"Results are in {out}: {name}.md, {name}.json.")


def stored(report: dict[str, Any], settings: dict[str, Setting]) -> dict[str, dict[str, Measured]]:
    """The results that a file of numbers holds, by setting and library."""
    known = libraries(settings)
    return {
        name: {k: Measured(**v) for k, v in report[name].items() if k in known}
        for name in settings
        if name in report
    }


def processor() -> str:
    """The name of the processor, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """The machine and versions that the measurements depend on."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return {
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() if commit.returncode == 0 else "",
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
