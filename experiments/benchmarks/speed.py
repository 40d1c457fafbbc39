"""Environment steps per second of training, beside other libraries.

Every library trains in a process of its own (`peers/`), with the same networks, batches, passes,
environments and precision. The processes of a setting take turns (A, B, A, B), so that other load
on the machine affects all of them alike. Compile time is measured apart.
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
from typing import Any, NamedTuple

from agents import AGENTS
from experiments import records
from experiments.benchmarks.peers.processes import PEERS, Failed, Peer, Worker, prepare
from experiments.options import parse
from jaxrl.errors import require, require_positive, unknown

OURS = "jaxrl"


class Setting(NamedTuple):
    """A training task, the libraries that run it, and the target ratios of speed."""

    task: dict[str, Any]  # what every worker is told
    iterations: dict[str, int]  # rollouts in a timed chunk of each seed, by library
    targets: dict[str, float]
    seeds: int = 1


PPO = {
    "epochs": 4,
    "minibatches": 4,
    "hidden": (64, 64),
    "activation": "tanh",
    "normalise_rewards": False,  # no peer does
}
OFF_POLICY = {
    "num_envs": 1,
    "rollout_length": 1,
    "updates": 1,
    "batch_size": 256,
    "buffer_size": 131_072,
    "warmup": 256,
    "hidden": (64, 64),
    "activation": "relu",
}
CARTPOLE = PPO | {"agent": "ppo", "env": "CartPole-v1"}
PPO_SMALL = CARTPOLE | {"num_envs": 4, "rollout_length": 128}
PPO_WIDE = CARTPOLE | {"num_envs": 2048, "rollout_length": 10}
PPO_IMAGE = PPO | {
    "agent": "ppo",
    "env": "Breakout-MinAtar",
    "num_envs": 64,
    "rollout_length": 128,
    "encoder": "mlp",  # as in rejax, which flattens images
}
PPO_BRAX = PPO | {
    "agent": "ppo",
    "env": "brax/inverted_pendulum",
    "env_params": {"backend": "spring"},
    "num_envs": 64,
    "rollout_length": 16,
}
# The target networks follow at every gradient step, as they do in rejax.
DQN = OFF_POLICY | {"agent": "dqn", "env": "CartPole-v1", "target_period": 1, "target_rate": 0.01}
SAC = OFF_POLICY | {"agent": "sac", "env": "Pendulum-v1", "target_rate": 0.005}
# mbrl-lib fits its model at once every 250 steps, by fewer batches than one for each step.
MBPO = SAC | {
    "agent": "mbpo",
    "dreams": 20,
    "real_share": 0.05,
    "members": 5,
    "elites": 5,
    "model_hidden": (128, 128),
}

SETTINGS: dict[str, Setting] = {
    "ppo-cartpole-4x128": Setting(
        PPO_SMALL, {OURS: 400, "rejax": 400, "sb3": 10}, {"rejax": 1.3, "sb3": 30.0}
    ),
    "ppo-cartpole-2048x10": Setting(
        PPO_WIDE, {OURS: 20, "rejax": 20, "sb3": 1}, {"rejax": 1.3, "sb3": 30.0}
    ),
    "ppo-breakout-64x128": Setting(
        PPO_IMAGE, {OURS: 12, "rejax": 12, "sb3": 1}, {"rejax": 1.3, "sb3": 30.0}
    ),
    "ppo-cartpole-32-seeds": Setting(PPO_SMALL, {OURS: 20, "rejax": 20}, {"rejax": 1.0}, 32),
    "ppo-brax": Setting(PPO_BRAX, {OURS: 200, "brax": 200}, {"brax": 1.0}),
    "dqn-cartpole": Setting(
        DQN, {OURS: 8192, "rejax": 1024, "sb3": 1024}, {"rejax": 7.0, "sb3": 30.0}
    ),
    "dqn-cartpole-8-seeds": Setting(DQN, {OURS: 2048, "rejax": 128}, {"rejax": 7.0}, 8),
    "sac-pendulum": Setting(
        SAC, {OURS: 2048, "rejax": 1024, "sb3": 256}, {"rejax": 3.0, "sb3": 30.0}
    ),
    "mbpo-pendulum": Setting(MBPO, {OURS: 1024, "mbrl": 250}, {"mbrl": 1.0}),
}
POPULATIONS = {
    "ppo-cartpole-32-seeds": "ppo-cartpole-4x128",
    "dqn-cartpole-8-seeds": "dqn-cartpole",
}


LIBRARIES = (
    OURS,
    *(name for name in PEERS if any(name in s.iterations for s in SETTINGS.values())),
)
TOLD = ("agent", "env", "env_params", "seeds", "steps")
"""What a worker is told beside hyperparameters."""


def hyperparameters(task: dict[str, Any]) -> Any:
    """Our hyperparameters of a task; a TypeError for a name that the agent does not have."""
    own = {name: value for name, value in task.items() if name not in TOLD}
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    return records.replaced(AGENTS[task["agent"]].defaults, own)


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure training speed beside other libraries, which are installed when first needed."""

    only: tuple[str, ...] = ()
    """Settings to measure, by their names or the beginnings of these; all by default."""
    libraries: tuple[str, ...] = LIBRARIES
    """Libraries to measure."""
    repeats: int = 6
    """Number of timed chunks of each library, in turns."""
    rounds: int = 3
    """Number of fresh processes, each with its own compilation, that share the chunks."""
    timeout: float = 300.0
    """Time limit in seconds of the preparation and of each chunk."""
    quick: bool = False
    """Measure one round of three chunks of a quarter of the length."""
    out: str = ""
    """Folder for speed.md and speed.json; by default a new one in .benchmarks."""
    peers: str = "~/.cache/jaxrl/peers"
    """Folder of the peers' virtual environments."""


def chosen(only: tuple[str, ...]) -> dict[str, Setting]:
    """The settings whose names begin with one of `only`; an InputError if one fits none."""
    for name in only:
        if not any(setting.startswith(name) for setting in SETTINGS):
            raise unknown("speed setting", name, SETTINGS)
    return {n: s for n, s in SETTINGS.items() if not only or n.startswith(only)}


class Measured(NamedTuple):
    """The measurements of one library in one setting."""

    rates: list[float]  # steps per second of all seeds together
    compile_s: list[float]
    facts: dict[str, float]  # memory
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


def table(results: dict[str, dict[str, Measured]]) -> str:
    """Results as tables in markdown: against peers, of populations, and of memory."""
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
            target = SETTINGS[name].targets.get(peer)
            compiled = " / ".join(
                f"{median(m.compile_s):.1f}" if m and m.compile_s else "-" for m in (ours, it)
            )
            target = f"{target:g}" if target else "-"
            lines.append(
                f"| {name} | {peer} | {own} | {theirs} | {ratio} | {target} | {compiled} |"
            )
    lines += ["", "| population | library | seeds | its time, in times of one seed |"]
    lines += ["|---|---|---|---|"]
    for many, one in POPULATIONS.items():
        for library in results.get(many, {}):
            pair = results[many][library], results.get(one, {}).get(library)
            if pair[1] and pair[0].rates and pair[1].rates:
                seeds = SETTINGS[many].seeds
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


def main(arguments: list[str]) -> None:
    """`jaxrl benchmark speed`."""
    options = parse("benchmark speed", Options, arguments)
    require_positive(repeats=options.repeats, rounds=options.rounds, timeout=options.timeout)
    settings = chosen(options.only)
    for library in options.libraries:
        if library not in LIBRARIES:
            raise unknown("library", library, LIBRARIES)
    out = Path(options.out or time.strftime(".benchmarks/speed-%Y%m%d-%H%M%S"))
    require(not out.exists(), f"The results folder {out} exists: choose another with --out.")
    out.mkdir(parents=True)

    ready: dict[str, Peer] = {}
    for library in options.libraries:
        if any(library in setting.iterations for setting in settings.values()):
            try:
                ready[library] = prepare(library, Path(options.peers).expanduser())
            except Failed as failure:
                print(f"{library} is left out: {failure}", file=sys.stderr)
    results: dict[str, dict[str, Measured]] = {}
    report: dict[str, Any] = {"machine": machine(), "options": dataclasses.asdict(options)}
    report["requirements"] = {name: peer.requirements for name, peer in ready.items()}
    for name, setting in settings.items():
        workers = {n: peer for n, peer in ready.items() if n in setting.iterations}
        load = [os.getloadavg()[0]]
        results[name] = measure(setting, workers, options)
        load.append(os.getloadavg()[0])
        rows = {library: it._asdict() for library, it in results[name].items()}
        report[name] = {"task": setting.task, "seeds": setting.seeds, "load": load} | rows
        for library, it in results[name].items():
            print(f"{name} {library}: {count(it)} steps/s", flush=True)
        # After every setting, so that an interruption leaves what was measured.
        (out / "speed.json").write_text(json.dumps(report, indent=1) + "\n")
        (out / "speed.md").write_text(table(results) + "\n")
    print(f"\n{table(results)}\n\nResults are in {out}: speed.md, speed.json.")


def stored(report: dict[str, Any]) -> dict[str, dict[str, Measured]]:
    """The results that a `speed.json` holds, by setting and library."""
    return {
        name: {k: Measured(**v) for k, v in report[name].items() if k in LIBRARIES}
        for name in SETTINGS
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
