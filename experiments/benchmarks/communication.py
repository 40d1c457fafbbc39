"""What one learner on several devices sends between them, beside what it computes.

`jaxrl benchmark communication` compiles a few agents whose lanes are divided among the devices that
there are. In each compiled program it counts the bytes of all collective operations of an update,
and the floating-point operations of its products. Nothing is timed. On one processor, pretend to
have several devices: XLA_FLAGS=--xla_force_host_platform_device_count=4.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

import envs
from agents import AGENTS
from experiments import options
from experiments.benchmarks.imagination import operations, products
from experiments.communication import Traffic, traffic
from jaxrl.errors import require
from jaxrl.loop import assemble
from jaxrl.population import mesh_of, populate
from jaxrl.types import population_axes

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PPO, 64 x 64 units": ("ppo", "CartPole-v1", dict(num_envs=64)),
    "PPO, 256 x 256 units, 2048 lanes": (
        "ppo", "CartPole-v1", dict(num_envs=2048, rollout_length=16, hidden=(256, 256))
    ),
    "DQN": ("dqn", "CartPole-v1", dict()),
    "SAC, 256 x 256 units": ("sac", "Pendulum-v1", dict(num_envs=16, hidden=(256, 256))),
}  # fmt: skip
"""Names of settings: the agent, the environment and what is not its default."""


@dataclass(frozen=True)
class Options:
    """Count what one learner on several devices sends between them in an update."""

    cases: tuple[str, ...] = tuple(CASES)
    """Settings to compile."""


class Count(NamedTuple):
    """What each device does in an update."""

    operations: int  # collective
    sent: int  # bytes of their results
    flops: int  # of products


def main(arguments: list[str]) -> None:
    """Print a table."""
    chosen = options.parse("benchmark communication", Options, arguments)
    number = len(jax.devices())
    require(
        number > 1,
        "jaxrl benchmark communication needs several devices: set XLA_FLAGS="
        "--xla_force_host_platform_device_count=4 to pretend to have them.",
    )
    print(
        f"| one update on {number} devices | collective operations | MB sent | MFLOP | FLOP/byte |"
    )
    print("|---|---|---|---|---|")
    for name in chosen.cases:
        found = counted(name, number)
        print(
            f"| {name} | {found.operations} | {found.sent / 1e6:.2f} | {found.flops / 1e6:.0f} | "
            f"{found.flops / max(found.sent, 1):.0f} |"
        )


class Divided(NamedTuple):
    """One learner on several devices, as functions of one member."""

    begin: Any  # jitted: keys [1] -> runs [1]
    step: Any  # jitted: runs [1] -> (runs, metrics)


def divided(name: str, number: int, **own: Any) -> Divided:
    """A case whose lanes are divided among the first devices, with other hyperparameters."""
    agent, env, usual = CASES[name]
    hp = AGENTS[agent].defaults.replace(**usual | own)
    setup = assemble(AGENTS[agent].make, envs.make(env), hp, shards=number)
    parts = None if setup.parts is None else setup.parts()
    axes = population_axes(jax.eval_shape(setup.experiment.init, jax.random.key(0)))
    mesh = mesh_of(jax.devices()[:number], data=number)
    begin = populate(setup.experiment.init, (0,), axes, mesh, ((None,), parts))
    return Divided(
        jax.jit(begin),
        jax.jit(
            populate(setup.experiment.step, (axes,), (axes, 0), mesh, ((parts,), (parts, None))),
            donate_argnums=0,
        ),
    )


def counted(name: str, number: int, **own: Any) -> Count:
    """What each of a number of devices does in an update of a case, from its compiled program."""
    begin, step = divided(name, number, **own)
    traced = step.trace(jax.eval_shape(begin, jax.random.split(jax.random.key(0), 1)))
    sent = traffic(traced.lower().compile().as_text())
    total = Traffic(*(sum(x) for x in zip(*sent.values()))) if sent else Traffic(0, 0)
    return Count(total.number, total.sent, int(operations(products(traced.jaxpr.jaxpr))))
