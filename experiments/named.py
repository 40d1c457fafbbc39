"""The commands `list`, `benchmark` and `reproduce`: what there is to choose from, by name."""

import ast
import importlib
import itertools
import sys
from pathlib import Path

from experiments import listing
from experiments.arguments import is_flag
from jaxrl.errors import require, require_known, unknown

LIST_HELP = """usage: jaxrl list [agents|environments|optimisers|presets] [WORD ...]

List what there is to choose from. Without a table all of them are listed, the environments by name.
`jaxrl list environments` also shows actions and observations. With words, only the lines in which
all of them occur are printed, such as `jaxrl list agents continuous offline`."""


def list_command(arguments: list[str]) -> None:
    """`jaxrl list [LIST] [WORD ...]`: agents, environments and presets as tables."""
    if {"-h", "--help"} & set(arguments):
        print(LIST_HELP)
        return
    flag = next((word for word in arguments if is_flag(word)), "")
    require(not flag, f"jaxrl list takes no options, but it was given {flag!r}: see --help.")
    if not arguments:
        for title, lines in (
            ("agents", listing.agents([])),
            ("environments (jaxrl list environments shows their actions and observations)",
             listing.environment_names([])),
            ("presets", listing.presets_table([])),
        ):  # fmt: skip
            print(f"{title}:\n" + "\n".join(f"  {line}" for line in lines) + "\n")
        print("jaxrl train AGENT --env ENVIRONMENT trains; jaxrl train AGENT --help explains.")
        return
    what, *words = arguments
    require_known("list", what, listing.TABLES)
    lines = iter(listing.TABLES[what](words))
    head, first = next(lines), next(lines, None)
    require(
        first is not None,
        f"No line of the {what} has {' and '.join(map(repr, words))} in it: jaxrl list {what} "
        "shows them all.",
    )
    for line in itertools.chain((head, first), lines):
        print(line, flush=True)


BENCHMARKS = (
    "learning",
    "at-scale",
    "speed",
    "offline",
    "offline-returns",
    "goals",
    "buffers",
    "data",
    "dynamic-programming",
    "imagination",
    "references",
    "tuning",
    "environments",
    "suites",
    "verify",
    "perfect-play",
    "trials",
    "presets",
    "communication",
    "scaling",
    "shares",
    "roofline",
    "beginnings",
    "growth",
    "prefetch",
    "precision",
    "accelerator",
)
REPRODUCTIONS = (
    "action-contrast",
    "anchors",
    "annotations",
    "approval",
    "chance",
    "classification",
    "comparisons",
    "composed",
    "constraints",
    "contexts",
    "continual",
    "control",
    "corruption",
    "coverage",
    "data-quality",
    "demonstrations",
    "dictionaries",
    "distances",
    "distributional",
    "dreams",
    "dreamt-recall",
    "edge",
    "empowerment",
    "exogenous-noise",
    "expressivity",
    "features",
    "filters",
    "frequencies",
    "generalisation",
    "goal-embeddings",
    "gradients",
    "guided",
    "hacking",
    "heuristics",
    "hindsight",
    "histories",
    "horizon",
    "implicit-values",
    "interventions",
    "joint-actions",
    "judged",
    "labels",
    "levels",
    "lipschitz",
    "mismatch",
    "offline-agents",
    "offline-robust",
    "on-the-fly",
    "onset",
    "optimism",
    "overoptimisation",
    "perceptual-stages",
    "policy-gradients",
    "pretraining",
    "programmes",
    "proto-values",
    "ranked-factors",
    "ranks",
    "rates",
    "reach",
    "recall",
    "receding",
    "regularisers",
    "reranking",
    "restarted-critics",
    "risk-levels",
    "robust",
    "search",
    "several-critics",
    "shuffled-frames",
    "sparse-control",
    "static-worlds",
    "steering",
    "stock",
    "subgoals",
    "submodular",
    "surrogates",
    "teachers",
    "unknown-models",
    "users",
    "varying-players",
    "verdicts",
    "wanted",
    "weighted-models",
    "zero-shot",
)


def benchmark_command(arguments: list[str]) -> None:
    """`jaxrl benchmark NAME`: run the module of that name in `experiments/benchmarks`."""
    module_command("benchmark", "benchmarks", BENCHMARKS, arguments)


def reproduce_command(arguments: list[str]) -> None:
    """`jaxrl reproduce NAME`: run the reproduction of that name, and print the kept verdict."""
    from experiments.reproductions.claims import CLAIMS

    module_command("reproduce", "reproductions", REPRODUCTIONS, arguments)
    if arguments[0] in CLAIMS:
        claim = CLAIMS[arguments[0]]
        print(f"\nClaim: {claim.statement}\n{claim.verdict} (kept run): {claim.numbers}")


def module_command(
    command: str, package: str, names: tuple[str, ...], arguments: list[str]
) -> None:
    """Run the `main` of the module that the first argument names."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: jaxrl {command} NAME [OPTIONS]\n")
        print(f"`jaxrl {command} NAME --help` explains the options of one. The names are:\n")
        for name in names:
            print(f"  {name:22}{about(package, name)}")
        return
    listed = f"jaxrl {command} --help"
    require(
        bool(arguments) and not is_flag(arguments[0]),
        f"jaxrl {command} needs a name, such as {names[0]}: {listed} lists all {len(names)}.",
    )
    if arguments[0] not in names:
        kind = {"reproduce": "reproduction"}.get(command, command)
        raise unknown(kind, arguments[0], names, listed)
    module = f"experiments.{package}.{arguments[0].replace('-', '_')}"
    status = importlib.import_module(module).main(arguments[1:])
    if status:
        sys.exit(status)


def about(package: str, name: str) -> str:
    """The first line of a module's docstring, without importing the module."""
    path = Path(__file__).parent / package / f"{name.replace('-', '_')}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
