"""Where the time goes before training begins: imports, tracing, lowering, XLA, garbage, caches.

`jaxrl benchmark beginnings` starts processes of this repository and of rejax, in turns, which
compile the programs of `jaxrl benchmark speed` ahead of time. The first process of each has an
empty cache of compiled programs, and the second one finds what the first has left. Then it starts
the command `jaxrl train` twice in the same way, where the second time nothing is traced either.
"""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from experiments import options
from experiments.benchmarks import kept_rows
from experiments.benchmarks.peers.processes import ROOT, Failed, Peer, Worker, prepare
from experiments.benchmarks.speed import SETTINGS
from experiments.benchmarks.turns import OURS, chosen, told
from jaxrl.errors import require_positive

STAGES = ("trace_s", "lower_s", "xla_s", "garbage_s")
PEER = "rejax"
TARGET = 0.8  # of the peer's time to compile
COMMANDS: dict[str, str] = {
    "jaxrl train ppo": "train ppo --env CartPole-v1 --steps 1e4 --seeds 1",
    "jaxrl train ppo, 8 seeds": "train ppo --env CartPole-v1 --steps 1e4 --seeds 8",
    "jaxrl train dqn": "train dqn --env CartPole-v1 --steps 2e3 --seeds 1",
    "jaxrl train sac": "train sac --env Pendulum-v1 --steps 2e3 --seeds 1",
}
IMPORT = "import experiments.commands, experiments.training"


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure what passes before training begins, with empty and with filled caches."""

    only: tuple[str, ...] = ()
    """Settings and commands to measure, by their names or the beginnings of these; all by
    default."""
    repeats: int = 3
    """Number of processes of each library with an empty cache."""
    peers: str = "~/.cache/jaxrl/peers"
    """Folder of the peers' virtual environments."""
    out: str = ".benchmarks/beginnings.json"
    """File of the rows. What it has is not measured again."""


def begun(peer: Peer, task: dict[str, Any], cache: str) -> dict[str, float]:
    """The stages of the beginning of one process, whose compiled programs are kept in `cache`."""
    own = (
        ("JAX_COMPILATION_CACHE_DIR", cache),
        ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0"),
        ("TF_CPP_MIN_LOG_LEVEL", "3"),
    )
    worker = Worker(peer._replace(variables=(*peer.variables, *own)), task)
    try:
        return worker.answer(300.0)
    finally:
        worker.kill()


def compiled(name: str, peers: dict[str, Peer], repeats: int) -> dict[str, Any]:
    """The stages of each library in a setting, `cold` and `warm`, in turns."""
    found: dict[str, Any] = {library: {"cold": [], "warm": []} for library in peers}
    for lap in range(repeats):
        for library, peer in list(peers.items())[:: 1 if lap % 2 else -1]:
            task = told(SETTINGS[name], library, quick=True)
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    found[library][state].append(begun(peer, task, cache))
    return found


def started(words: str, repeats: int) -> dict[str, Any]:
    """The seconds of a command, of which it compiles, and of its imports, `cold` and `warm`."""
    found: dict[str, Any] = {"cold": [], "warm": [], "import_s": []}
    for _ in range(repeats):
        found["import_s"].append(took([sys.executable, "-c", IMPORT], os.environ))
        with tempfile.TemporaryDirectory() as home:
            for state in ("cold", "warm"):
                out = Path(home) / state
                words_of = [*words.split(), "--no-animation", "--out", str(out)]
                env = os.environ | {"XDG_CACHE_HOME": str(Path(home) / "cache")}
                env = {k: v for k, v in env.items() if k != "JAX_COMPILATION_CACHE_DIR"}
                seconds = took([sys.executable, "-m", "experiments", *words_of], env)
                log = (out / "train.log").read_text()
                line = re.search(r"Compiled in ([\d.]+) s", log)
                compile_s = float(line.group(1)) if line else float("nan")
                found[state].append({"compile_s": compile_s, "all_s": seconds})
    return found


def took(words: list[str], env: Any) -> float:
    """The seconds of a process; raises Failed with its last line if it fails."""
    env = dict(env) | {"PYTHONPATH": os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])}
    begin = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1])
    return time.perf_counter() - begin


def middle(rows: list[dict[str, float]], stage: str) -> float:
    """The median of a stage over processes."""
    return median(row[stage] for row in rows)


def line(name: str, library: str, row: dict[str, Any], peer: dict[str, Any] | None) -> str:
    """A row of the table in markdown, with the ratio to a peer."""
    cold, warm = row["cold"], row["warm"]
    whole, again = middle(cold, "compile_s"), middle(warm, "compile_s")
    cells = [f"{middle(cold, 'before_s'):.2f}", *(f"{middle(cold, x):.2f}" for x in STAGES)]
    ratio = f"{whole / middle(peer['cold'], 'compile_s'):.2f}" if peer else "-"
    cells += [f"{whole:.2f}", ratio, f"{again:.2f}"]
    return f"| {name} | {library} | {' | '.join(cells)} |"


def table(report: dict[str, Any]) -> str:
    """The tables in markdown of a file of rows: of settings and of commands, if there are any."""
    rows = report["rows"]
    settings = [
        line(name, library, row, rows[name].get(PEER) if library == OURS else None)
        for name in SETTINGS
        for library, row in rows.get(name, {}).items()
    ]
    commands = []
    for name in (name for name in COMMANDS if name in rows):
        row = rows[name]
        cells = [median(row["import_s"])]
        for stage in ("compile_s", "all_s"):
            cells += [middle(row[state], stage) for state in ("cold", "warm")]
        commands.append(f"| {name} | {' | '.join(f'{x:.2f}' for x in cells)} |")
    heads = (
        "| setting | library | before, s | tracing | lowering | XLA | garbage, within | "
        f"compiled, cold | of {PEER}'s | warm |\n" + "|---" * 10 + "|",
        "| command | imports, s | compiles, cold | compiles, warm | all, cold | all, warm |\n"
        + "|---" * 6 + "|",
    )  # fmt: skip
    tables = [[head, *found] for head, found in zip(heads, (settings, commands)) if found]
    return "\n\n".join("\n".join(lines) for lines in tables)


def main(arguments: list[str]) -> None:
    """Measure what `arguments` choose, and print the tables."""
    own = options.parse("benchmark beginnings", Options, arguments)
    require_positive(repeats=own.repeats)
    settings = {name: it for name, it in SETTINGS.items() if PEER in it.iterations}
    some = chosen(own.only, settings | COMMANDS, "beginnings")
    peers = {OURS: prepare(OURS, Path(own.peers))}
    if any(name in settings for name in some):
        try:
            peers[PEER] = prepare(PEER, Path(own.peers).expanduser())
        except Failed as failure:
            print(f"{PEER} is left out: {failure}", file=sys.stderr)
    path = Path(own.out)

    def measure(name: str) -> dict[str, Any]:
        if name in COMMANDS:
            return started(COMMANDS[name], own.repeats)
        return compiled(name, peers, own.repeats)

    kept_rows.tabulated(path, some, measure, lambda row: "measured", table)
