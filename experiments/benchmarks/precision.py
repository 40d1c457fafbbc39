"""What agents learn with products of matrices in fewer bits, beside float32 at equal seeds.

`jaxrl benchmark precision` trains a few small settings in every precision that the device has. A
processor has no products in bfloat16: there the factors are rounded to bfloat16 and multiplied in
float32, which gives the numbers of a device that sums in float32, but not its speed.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

import envs
from agents import AGENTS
from experiments import options, records
from experiments.benchmarks import kept_rows
from experiments.benchmarks.turns import chosen
from experiments.precision import multiplied_in
from experiments.presets import preset
from experiments.statistics import bootstrap, interquartile_mean, interval, paired_difference
from jaxrl.errors import require_positive
from jaxrl.loop import make_train

FULL = "float32"


class Setting(NamedTuple):
    """What is trained: an agent with its preset, and what is not as the preset says."""

    agent: str
    env: str
    steps: float
    own: dict[str, Any]


SMALL = dict(hidden=(64, 64), batch_size=128)
SETTINGS: dict[str, Setting] = {
    "ppo-cartpole": Setting("ppo", "CartPole-v1", 2e5, {}),
    "ppo-acrobot": Setting("ppo", "Acrobot-v1", 3e5, {}),
    "pqn-cartpole": Setting("pqn", "CartPole-v1", 2e5, {}),
    "dqn-cartpole": Setting("dqn", "CartPole-v1", 5e4, {}),
    "sac-pendulum": Setting("sac", "Pendulum-v1", 1e4, SMALL),
    "td3-pendulum": Setting("td3", "Pendulum-v1", 1e4, SMALL),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Train a few agents in each precision of the device, and compare their learning curves."""

    only: tuple[str, ...] = ()
    """Settings, by their names or the beginnings of these; all by default."""
    seeds: int = 8
    """Seeds of each setting and precision."""
    evaluations: int = 10
    """Evaluations of a learning curve, of 16 episodes each."""
    share: float = 1.0
    """Share of the steps of each setting."""
    out: str = ".benchmarks/precision"
    """Folder of the rows. What it has is not measured again."""


def precisions() -> tuple[str, ...]:
    """The precisions other than float32 that can be compared with it on this device."""
    return ("bfloat16",) if jax.default_backend() == "cpu" else ("tensorfloat32", "bfloat16")


def emulated(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose products of float32 matrices have factors rounded to bfloat16.

    A product of two such factors is exact in float32, so that these are products in bfloat16 with
    sums in float32, in loops and gradients too. On a processor XLA computes those that are asked
    for by `jax.default_matmul_precision` with all bits of the factors.
    """

    def run(*args: Any) -> Any:
        closed, shapes = jax.make_jaxpr(fn, return_shape=True)(*args)
        leaves = core.jaxpr_as_fun(within(closed))(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    return run


def within(value: Any) -> Any:
    """A parameter of an operation, in which all programs have rounded factors."""
    if isinstance(value, core.Jaxpr):  # in jax 0.11 closed ones are of the same kind
        return value.replace(eqns=[rounded(eqn) for eqn in value.eqns])
    if isinstance(value, core.ClosedJaxpr):
        return value.replace(jaxpr=within(value.jaxpr))
    return tuple(map(within, value)) if type(value) is tuple else value


def rounded(eqn: core.JaxprEqn) -> core.JaxprEqn:
    """An operation with rounded factors, if it is a product of float32 matrices."""
    factors: list[Any] = [var.aval for var in eqn.invars]
    product = eqn.primitive.name == "dot_general" and all(x.dtype == np.float32 for x in factors)
    if not product:
        return eqn.replace(params={name: within(value) for name, value in eqn.params.items()})

    def multiply(*pair: jax.Array) -> Any:
        few = (jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7) for x in pair)
        return eqn.primitive.bind(*few, **eqn.params)

    like = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in factors)
    (call,) = jax.make_jaxpr(jax.jit(multiply))(*like).eqns
    return call.replace(invars=eqn.invars, outvars=eqn.outvars)


def curves(setting: Setting, precision: str, own: Options) -> list[list[float]]:
    """The evaluation returns [seeds, evaluations] of runs in a precision."""
    entry, values = AGENTS[setting.agent], preset(setting.agent, setting.env)
    values.pop("steps", None)
    hp = records.replaced(entry.defaults, values | setting.own)
    steps = setting.steps * own.share
    train = make_train(entry.make, envs.make(setting.env), hp, steps, own.evaluations)
    run, keys = jax.vmap(lambda key: train(key).metrics["evaluation_return"]), jax.random.key(0)
    if precision != FULL and jax.default_backend() == "cpu":
        run, precision = emulated(run), FULL
    with multiplied_in(precision):
        found = jax.jit(run)(jax.random.split(keys, own.seeds))
    return np.asarray(found, float).round(2).tolist()


def measure(setting: Setting, own: Options) -> dict[str, Any]:
    """The curves of a setting by precision, and the processor time in seconds that each took."""
    row: dict[str, Any] = {"steps": setting.steps * own.share, "curves": {}, "seconds": {}}
    for precision in (FULL, *precisions()):
        begin = time.process_time()
        row["curves"][precision] = curves(setting, precision, own)
        row["seconds"][precision] = round(time.process_time() - begin, 1)
    return row


def compared(row: dict[str, Any], precision: str) -> dict[str, Any]:
    """How the curves of a precision differ from those of float32, at equal seeds.

    `final` and `whole` are of the last evaluations and of the means over all evaluations: the
    interquartile means of both and of the differences of equal seeds, with 95 % intervals.
    """
    pair = [np.asarray(row["curves"][name], np.float32) for name in (precision, FULL)]
    found = {}
    for name, scores in (
        ("final", [x[:, -1] for x in pair]),
        ("whole", [x.mean(1) for x in pair]),
    ):
        columns = [x[:, None] for x in scores]
        gap = bootstrap(paired_difference, *columns, paired=True)
        ours, full = (interval(x, interquartile_mean) for x in scores)
        found[name] = (ours, full, tuple(float(x) for x in gap))
    found["within"] = all(low <= 0 <= high for _, _, (_, low, high) in found.values())
    return found


def told(row: dict[str, Any]) -> str:
    """A row in a line."""
    verdicts = {name: compared(row, name)["within"] for name in row["curves"] if name != FULL}
    return ", ".join(f"{name} {'within' if x else 'outside'}" for name, x in verdicts.items())


def span(found: tuple[float, float, float]) -> str:
    """An estimate with its interval."""
    value, low, high = (f"{x:.4g}" for x in found)
    return f"{value} [{low}, {high}]"


def table(report: dict[str, Any]) -> str:
    """The comparisons of all rows as a Markdown table."""
    lines = [
        "| setting | steps | seeds | precision | final return | of float32 | difference "
        "| mean over the curve | of float32 | difference | verdict | processor s (float32) |",
        "|---" * 12 + "|",
    ]
    for name, row in report["rows"].items():
        for precision in (x for x in row["curves"] if x != FULL):
            found, seconds = compared(row, precision), row["seconds"]
            cells = [span(x) for which in ("final", "whole") for x in found[which]]
            within = "within the intervals" if found["within"] else "different"
            lines.append(
                f"| {name} | {row['steps']:.0e} | {len(row['curves'][FULL])} | {precision} | "
                f"{' | '.join(cells)} | {within} | {seconds[precision]:.0f} ({seconds[FULL]:.0f}) |"
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    own = options.parse("benchmark precision", Options, arguments)
    require_positive(seeds=own.seeds, evaluations=own.evaluations, share=own.share)
    names = chosen(own.only, SETTINGS, "precision")
    path = Path(own.out) / "precision.json"
    kept_rows.tabulated(path, names, lambda name: measure(SETTINGS[name], own), told, table)
