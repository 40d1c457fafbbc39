"""Speed on a GPU or TPU: training of many lanes and seeds beside peers, products, sweeps, layers.

`jaxrl benchmark accelerator` takes less than eight minutes on one card. Training is measured in
processes of their own, which take turns with those of rejax and brax where these are installed: by
`--rejax` and `--brax`, Pythons of environments that have them and JAX for the accelerator. The rest
is measured in this process: a large product of matrices and a copy, an update with 2,048 units
beside the product, sweeps of value iteration, and layers that are written for processors beside
what the accelerator has for them. Each row is kept as it is measured, and the command continues
where it was interrupted; `--quick` tries it with tiny sizes.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import envs
from agents import ppo
from experiments import options
from experiments.benchmarks import bare, kept_rows, turns
from experiments.benchmarks.backups import GAMMA, random_process
from experiments.benchmarks.imagination import operations, products
from experiments.benchmarks.passes import of_ppo
from experiments.benchmarks.peers.processes import PEERS, Peer, prepare
from experiments.benchmarks.speed import DQN, PPO_BRAX, PPO_IMAGE, PPO_WIDE, SAC
from experiments.benchmarks.timed import calls, timed
from experiments.benchmarks.turns import OURS, Setting
from experiments.precision import multiplied_in
from jaxrl import dp
from jaxrl.errors import InputError, require_positive
from jaxrl.networks.layers import CNN

DREAMER = {"agent": "dreamer", "env": "CartPole-v1", "num_envs": 64, "rollout_length": 4}
ANT = PPO_BRAX | {"env": "brax/ant", "num_envs": 2048, "rollout_length": 16, "minibatches": 16}
LANES = {"rollout_length": 16, "minibatches": 4}
BOTH = {OURS: 16, "rejax": 16}
TRAINING: dict[str, Setting] = {
    "ppo-2048-lanes": Setting(PPO_WIDE | LANES, {OURS: 64, "rejax": 64}, {"rejax": 1.5}),
    "ppo-65536-lanes": Setting(PPO_WIDE | LANES | {"num_envs": 65_536}, BOTH, {"rejax": 1.5}),
    "ppo-32-seeds": Setting(PPO_WIDE | LANES | {"num_envs": 64}, BOTH, {"rejax": 1.5}, 32),
    "ppo-1024-seeds": Setting(PPO_WIDE | LANES | {"num_envs": 64}, BOTH, {"rejax": 1.5}, 1024),
    "ppo-breakout-2048-lanes": Setting(
        PPO_IMAGE | LANES | {"num_envs": 2048}, BOTH, {"rejax": 1.5}
    ),
    "ppo-ant-2048-lanes": Setting(ANT, {OURS: 8, "brax": 8}, {"brax": 1.5}),
    "dqn-256-seeds": Setting(DQN, {OURS: 512, "rejax": 128}, {"rejax": 1.5}, 256),
    "sac-64-seeds": Setting(SAC, {OURS: 256, "rejax": 128}, {"rejax": 1.5}, 64),
    "dreamer": Setting(DREAMER, {OURS: 16}, {}),
}
RATE = 5e7  # environment steps per second of PPO in CartPole with 1,024 seeds
SHARE = 0.6  # of the product's rate, at 2,048 units


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure training, products, sweeps and layers on the accelerator of this machine."""

    only: tuple[str, ...] = ()
    """Rows to measure, by their names or the beginnings of these; all by default."""
    minutes: float = 8.0
    """Time limit: rows that have not begun by then are left for the next call."""
    quick: bool = False
    """Try everything with tiny sizes, on any device; the numbers mean nothing."""
    rejax: str = ""
    """Python of an environment that has rejax; without it, rejax is left out."""
    brax: str = ""
    """Python of an environment that has a brax that trains; without it, brax is left out."""
    out: str = ".benchmarks/accelerator.json"
    """File of the rows. What it has is not measured again."""


def smaller(setting: Setting) -> Setting:
    """A setting of tiny size with the same parts."""
    task = setting.task | {"num_envs": min(setting.task["num_envs"], 16)}
    if "buffer_size" in task:
        task |= {"buffer_size": 1024, "batch_size": 16, "warmup": 64}
    iterations = dict.fromkeys(setting.iterations, 1)
    return setting._replace(task=task, iterations=iterations, seeds=min(setting.seeds, 2))


def workers_of(own: Options) -> dict[str, Peer]:
    """The libraries that take part, on the device that JAX chooses."""
    found = {OURS: prepare(OURS, Path("."))}
    found |= {
        name: PEERS[name]._replace(executable=python)
        for name, python in (("rejax", own.rejax), ("brax", own.brax))
        if python
    }
    for name, python in (("rejax", own.rejax), ("brax", own.brax)):
        if python and not Path(python).is_file():
            raise InputError(f"--{name} needs the path of a Python, but {python} is no file.")
    shared = (("JAX_PLATFORMS", ""), ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"))
    return {
        name: peer._replace(variables=(*peer.variables, *shared)) for name, peer in found.items()
    }


def trained(name: str, own: Options) -> dict[str, Any]:
    """The steps per second of a setting of training, of each library in turns."""
    setting = smaller(TRAINING[name]) if own.quick else TRAINING[name]
    workers = {n: peer for n, peer in workers_of(own).items() if n in setting.iterations}
    few = turns.Options(repeats=3, rounds=1, timeout=240.0)
    return {n: it._asdict() for n, it in turns.measure(setting, workers, few).items()}


def rate_of(run: Callable[[int], Any], work: float, seconds: float = 0.5) -> float:
    """How much work per second `run(number)` does, which does it a number of times."""
    number = calls(run, seconds)
    return number * work / median(timed(lambda: run(number)).wall for _ in range(3))


def product(own: Options, dtype: str) -> dict[str, float]:
    """The rate of a product of square matrices."""
    size = 128 if own.quick else 8192
    x, y = jnp.ones((size, size), dtype), jnp.full((size, size), 1 / size, dtype)
    return {"FLOP/s": rate_of(bare.repeated(bare.Part(lambda x: x @ y, x)), 2.0 * size**3)}


def copy(own: Options) -> dict[str, float]:
    """The bytes per second that are read and written by changing the sign of a large array."""
    size = 2**12 if own.quick else 2**30
    part = bare.Part(lambda x: -x, jnp.ones(size // 4))
    return {"byte/s": rate_of(bare.repeated(part), 2.0 * size)}


def update(own: Options, dtype: str) -> dict[str, float]:
    """The rate of PPO's passes with gradients at 2,048 units, in a minibatch of 8,192 rows.

    Numbers of parameters and sums are float32, and products of a type, as by `--precision`, except
    on a processor, which has no other.
    """
    units, lanes = (32, 16) if own.quick else (2048, 2048)
    hp = ppo.Hyperparameters(num_envs=lanes, rollout_length=16, hidden=(units, units))
    item = of_ppo(envs.make("CartPole-v1").spec, hp)[-1]
    part = bare.passed(item)
    with multiplied_in("" if jax.default_backend() == "cpu" else dtype):
        work = operations(products(jax.make_jaxpr(part.step)(part.start).jaxpr))
        return {"FLOP/s": rate_of(bare.repeated(part), work)}


def sweep(own: Options, slots: int | None) -> dict[str, float]:
    """Sweeps of value iteration per second: dense, or sparse with some successors."""
    states = 100 if own.quick else 1_000_000 if slots else 4096
    mdp = random_process(states, 4, slots)
    sweeps = 2 if own.quick else 200
    solve = jax.jit(
        lambda mdp: dp.value_iteration(mdp, GAMMA, tolerance=0.0, max_iterations=sweeps).theta
    )
    run = lambda number: [jax.block_until_ready(solve(mdp)) for _ in range(number)]
    return {"sweep/s": rate_of(run, sweeps), "states": states}


def convolution(own: Options) -> dict[str, float]:
    """Images per second through MinAtar's convolution: as it is here, and by the device's own."""
    images = jnp.ones((16 if own.quick else 8192, 10, 10, 4))

    class Direct(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.relu(nn.Conv(16, (3, 3), padding="VALID")(x))
            return nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))

    def speed(module: nn.Module) -> float:
        apply = lambda params, x: module.apply(params, x)
        params = module.init(jax.random.key(0), images)
        item = bare.Pass("learn", apply, params, images, 1, True)
        return rate_of(bare.repeated(bare.passed(item)), len(images))

    return {"image/s by patches": speed(CNN()), "image/s by convolution": speed(Direct())}


OTHERS: dict[str, Callable[[Options], dict[str, float]]] = {
    "product, float32": partial(product, dtype="float32"),
    "product, bfloat16": partial(product, dtype="bfloat16"),
    "copy": copy,
    "update with 2048 units, float32": partial(update, dtype="float32"),
    "update with 2048 units, bfloat16": partial(update, dtype="bfloat16"),
    "value iteration, dense": partial(sweep, slots=None),
    "value iteration, sparse": partial(sweep, slots=8),
    "convolution": convolution,
}


def table(report: dict[str, Any]) -> str:
    """The tables in markdown of a file of rows, with the targets that they meet or miss."""
    rows = report["rows"]
    some = {n: {k: turns.Measured(**v) for k, v in rows[n].items()} for n in TRAINING if n in rows}
    lines = [turns.speeds(some, TRAINING), "", "| measured | numbers |", "|---|---|"]
    for name in (name for name in OTHERS if name in rows):
        numbers = ", ".join(f"{value:.3g} {unit}" for unit, value in rows[name].items())
        lines.append(f"| {name} | {numbers} |")
    for dtype in ("float32", "bfloat16"):
        pair = (f"update with 2048 units, {dtype}", f"product, {dtype}")
        if all(name in rows for name in pair):
            share = rows[pair[0]]["FLOP/s"] / rows[pair[1]]["FLOP/s"]
            lines += ["", f"The update with 2,048 units has {share:.2f} of the rate of the product "
                      f"in {dtype}; the target is {SHARE}."]  # fmt: skip
    ours = some.get("ppo-1024-seeds", {}).get(OURS)
    if ours is not None and ours.rates:
        lines += ["", f"PPO with 1,024 seeds takes {median(ours.rates):.3g} environment steps per "
                  f"second; the target is {RATE:.0e}."]  # fmt: skip
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure what `arguments` choose, as far as the time allows, and print the tables."""
    own = options.parse("benchmark accelerator", Options, arguments)
    require_positive(minutes=own.minutes)
    # Processes take turns on one card, so none may take all of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    workers_of(own)  # raises
    some = list(turns.chosen(own.only, dict.fromkeys((*OTHERS, *TRAINING)), "accelerator"))
    path, limit = Path(own.out), time.monotonic() + 60 * own.minutes
    path = path.with_stem(f"{path.stem}-quick") if own.quick else path  # never among real rows

    def measure(name: str) -> dict[str, Any]:
        return OTHERS[name](own) if name in OTHERS else trained(name, own)

    for name in some:
        if time.monotonic() > limit:
            print(f"The time is over before {name}: the same command goes on from there.")
            break
        kept_rows.continued(path, [name], measure, lambda row: json.dumps(row)[:120])
    if path.is_file():
        print(f"\n{table(json.loads(path.read_text()))}\n\nThe rows are in {path}.")
