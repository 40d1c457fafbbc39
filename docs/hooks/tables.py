"""Tables of the site that are made from the code and from kept results."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import commands

import envs
from envs import catalogue, suites
from experiments.about import ABOUT, OPTIMISER_SENTENCES
from experiments.benchmarks.learning import CLAIMS
from experiments.lanes import SOURCES
from experiments.pages import BENCHMARKS
from experiments.presets import PRESETS
from experiments.reproductions.claims import CLAIMS as PUBLISHED

ROOT = Path(__file__).parents[2]


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def sentence(thing: Callable) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0]


def agents() -> str:
    """Every agent, its kind, its actions, and where it has a preset."""
    rows = []
    for name, about in ABOUT.items():
        tuned = ", ".join(env for agent, env in PRESETS if agent == name)
        rows.append((f"`{name}`", about.kind, about.actions, about.sentence, tuned))
    return table(("agent", "kind", "actions", "what it is", "presets"), rows)


def learnt() -> str:
    """The kept returns of agents, each beside the command that measured it."""
    rows = []
    for row in json.loads((BENCHMARKS / "learning.json").read_text()):
        interval = f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
        command = CLAIMS[row["claim"]].command
        rows.append((f"`jaxrl train {command}`", row["seeds"], f"{row['steps']:.1e}", interval))
    return table(("command", "seeds", "steps", "final return (95 % interval)"), rows)


def own() -> str:
    """The environments of this package, with the steps after which they truncate."""
    rows = []
    for name, (make, steps) in sorted((catalogue.OWN | catalogue.TABULAR).items()):
        kind = "tabular" if name in catalogue.TABULAR else "sampled"
        rows.append((f"`{name}`", kind, steps, sentence(make)))
    for name, (make, steps) in catalogue.VARIANTS.items():
        rows.append((f"`{name}`", "transformed", steps, sentence(make)))
    return table(("name", "kind", "time limit", "what it is"), rows)


def packages() -> str:
    """The suites of environments of other packages."""
    rows = [("none", "gymnax", "always installed", "classic control, MinAtar, bsuite")]
    for prefix, suite in suites.SUITES.items():
        how = f"`pip install 'jaxrl[{suite.extra}]'`" if suite.extra else "always installed"
        rows.append((f"`{prefix}/`", suite.package, how, suite.about))
    for prefix, source in sorted(SOURCES.items()):
        how, about = f"`pip install 'jaxrl[{prefix}]'`", "stepped on the host, not compiled"
        rows.append((f"`{prefix}/`", source.package, how, about))
    counted = f"`envs.make` knows {len(envs.names())} names."
    return counted + "\n\n" + table(("prefix", "package", "installation", "what it has"), rows)


def published() -> str:
    """The verdicts on published claims."""
    rows = [
        (f"[{name}](reproductions.md#{name})", claim.statement, claim.verdict)
        for name, claim in PUBLISHED.items()
    ]
    return table(("name", "claim", "verdict"), rows)


def optimisers() -> str:
    """The optimisers that have names."""
    return table(("name", "what it is"), [(f"`{k}`", v) for k, v in OPTIMISER_SENTENCES.items()])


def extras() -> str:
    """The extras of the package, and what they install."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = []
    for name, packages in found["optional-dependencies"].items():
        rows.append((f"`{name}`", ", ".join(f"`{package}`" for package in packages)))
    return table(("extra", "installs"), rows)


CORE = ("jax", "jaxlib", "flax", "optax", "distrax", "chex", "gymnax", "brax", "mctx", "numpy")


def versions() -> str:
    """The versions of the core that the tests pass with, by the version of Python."""
    pattern = re.compile(r"^([\w-]+)==([^;\s]+)(?:; python_version (<|>=) \"3.12\")?", re.M)
    found = pattern.findall((ROOT / "constraints.txt").read_text())
    at = {(name, sign): version for name, version, sign in found}
    version = lambda name, sign: at.get((name, sign)) or at[name, ""]
    rows = [(f"`{name}`", version(name, "<"), version(name, ">=")) for name in CORE]
    return table(("package", "Python 3.11", "Python 3.12 and 3.13"), rows)


def claim(name: str) -> Callable[[], str]:
    """What a reproduction found, as a quotation."""

    def quoted() -> str:
        found = PUBLISHED[name]
        return f"> {found.statement} **{found.verdict}.** {found.numbers}"

    return quoted


def reference(package: str) -> Callable[[], str]:
    """The entries of the reference for the modules in a package, those of inner packages too."""

    def entries() -> str:
        top = (ROOT / package.replace(".", "/")).glob("**/*.py")
        names = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in top)
        modules = [name.removesuffix("/__init__").replace("/", ".") for name in names]
        apart = [p for p in APART if p != package and p.startswith(package)]
        own = lambda name: not any(name == p or name.startswith(f"{p}.") for p in apart)
        return "\n\n".join(f"::: {name}" for name in modules if name != package and own(name))

    return entries


# The packages with pages of their own in the reference.
APART = (
    "jaxrl", "jaxrl.values", "jaxrl.dp", "jaxrl.models", "jaxrl.updates", "jaxrl.returns",
    "jaxrl.data",
    "jaxrl.generators", "jaxrl.optimism", "jaxrl.policy_gradients",
    "jaxrl.rewards", "jaxrl.representations", "jaxrl.goals", "jaxrl.zero_shot",
)  # fmt: skip

TABLES: dict[str, Callable[[], str]] = {
    "agents": agents,
    "commands": commands.commands,
    "extras": extras,
    "learnt": learnt,
    "optimisers": optimisers,
    "own": own,
    "packages": packages,
    "published": published,
    "versions": versions,
    **{f"reference-{package}": reference(package) for package in (*APART, "agents", "envs")},
    **{f"claim-{name}": claim(name) for name in PUBLISHED},
}
