"""A corrector that steps in where an agent stalls, and is needed less and less (HIL-SERL).

Luo et al. (2024), https://arxiv.org/abs/2410.21845. A peg is to be moved into a narrow slot, with a
reward of 1 in its end and none before. A scripted corrector, slow but sure, acts for some steps
whenever no progress was made for a while. The same SAC learns without it, with its steps among all
others, and with a half of each batch from them. Agents are evaluated without the corrector.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from agents import hil_serl, sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.environments import begun, time_limit
from jaxrl.errors import require, require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.steering import Corrector, intervened
from jaxrl.types import Array, Box, Env, Key, Spec, TimeStep, memoryless
from jaxrl.values import Ensemble

TITLE = "Success without the corrector, steps of an episode, and how often the corrector acted"
WIDTH, LIMIT, EPISODES = 0.06, 60, 16
CONDITIONS = {  # whether there is a corrector, and the share of each batch from its steps
    "alone": (False, 0.0),
    "corrected": (True, 0.0),
    "corrected, half of each batch": (True, 0.5),
}


@dataclass(frozen=True)
class Options:
    """Learn to insert a peg, alone and beside a corrector."""

    seeds: int = 8
    """Number of seeds of each run."""
    steps: int = 6_000
    """Environment steps of each run, a multiple of 4 times the evaluations."""
    evaluations: int = 10
    """Evaluations of each run."""
    out: Path = Path(".reproductions/interventions")
    """Folder in which the table, the numbers and the picture are written."""


def slot() -> Env:
    """Move a peg by velocities of at most 0.1 in each direction, into a slot at x = 0 below y = 0.

    The surface beside the slot stops it, and the walls of the slot do too. It starts above, at y =
    0.8, and is in at y < -0.3.
    """

    def show(place: Array, reward: Array, there: Array) -> TimeStep:
        return begun(place)._replace(reward=reward, discount=1.0 - there, last=there)

    def init(key: Key) -> tuple[Array, TimeStep]:
        x = jax.random.uniform(key, minval=-0.8, maxval=0.8)
        place = jnp.stack([x, jnp.float32(0.8)])
        return place, begun(place)

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        new = jnp.clip(place + 0.1 * action, -1.0, 1.0)
        inside = place[1] < 0
        x = jnp.where(inside, jnp.clip(new[0], -WIDTH, WIDTH), new[0])
        y = jnp.where(~inside & (jnp.abs(x) > WIDTH), jnp.maximum(new[1], 0.0), new[1])
        new = jnp.stack([x, y])
        there = y < -0.3
        return new, show(new, there.astype(jnp.float32), there)

    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    one = jnp.ones(2)
    return time_limit(Env(init, step, Spec(shape, Box(-one, one)), fresh=1.0), LIMIT)


def guide(obs: Array) -> Array:
    """The action of the corrector at half of the greatest speed: above the slot, and then down."""
    x, y = obs[..., 0], obs[..., 1]
    above = jnp.abs(x) < WIDTH / 2
    across = jnp.clip(-10 * x, -0.5, 0.5)
    down = jnp.where(above | (y > 0.3), -0.5, 0.0)
    return jnp.stack([across, down], -1)


class Watch(NamedTuple):
    """What the corrector remembers of an episode."""

    nearest: Array  # [] the least distance so far
    stalled: Array  # [] int32, steps since then
    acting: Array  # [] int32, steps for which it goes on to act


def corrector(patience: int = 6, spell: int = 8) -> Corrector:
    """Act for a `spell` of steps where the way to go was not shortened for so many steps."""

    def step(memory: Watch, obs: Array, action: Array, key: Key) -> tuple[Watch, Array, Array]:
        left = jnp.abs(obs[0]) + obs[1] + 0.3
        nearer = left < memory.nearest - 0.02
        stalled = jnp.where(nearer, 0, memory.stalled + 1)
        starts = (memory.acting == 0) & (stalled > patience)
        acting = jnp.where(starts, spell, memory.acting)
        new = Watch(
            jnp.minimum(left, memory.nearest),
            jnp.where(acting > 0, 0, stalled),
            jnp.maximum(acting - 1, 0),
        )
        return new, guide(obs), acting > 0

    return Corrector(lambda: Watch(jnp.float32(10.0), jnp.int32(0), jnp.int32(0)), step)


def learnt(corrected: bool, share: float, chosen: Options, key: Key) -> tuple[Array, ...]:
    """Success, mean length of an episode and rate of corrections [evaluations] of a run."""
    common: dict[str, Any] = dict(
        num_envs=4, warmup=400, buffer_size=chosen.steps, batch_size=128, updates=4,
        hidden=(32, 32), layer_norm=True, learning_rate=1e-3, discount=0.95,
        initial_temperature=0.1, target_entropy=-0.5, ensemble=Ensemble(2),
    )  # fmt: skip
    env, make, hp = slot(), sac.sac, sac.Hyperparameters(**common)
    if corrected:
        env = intervened(env, corrector())
        make, hp = hil_serl.hil_serl, hil_serl.Hyperparameters(**common, corrected_share=share)
    setup = assemble(make, env, hp)
    k_run, k_judge = jax.random.split(key)
    rounds = (chosen.steps - 400) // 4 // chosen.evaluations

    def block(run: Any, key: Key) -> tuple[Any, tuple[Array, ...]]:
        run, metrics = advance(setup.experiment, run, rounds)
        view = setup.agent.update.read(run.learner)
        score = evaluate(setup.env, setup.agent.exploit, view, key, EPISODES, LIMIT)
        rate = metrics.get("intervention_rate", jnp.zeros(()))
        return run, (score.returns.mean(), score.lengths.mean(), rate)

    keys = jax.random.split(k_judge, chosen.evaluations)
    return jax.lax.scan(block, setup.experiment.init(k_run), keys)[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce interventions", Options, arguments)
    require_positive(seeds=chosen.seeds, evaluations=chosen.evaluations)
    require(
        chosen.steps % 4 == 0 and chosen.steps >= 400 + 4 * chosen.evaluations,
        "steps must be a multiple of 4, and at least 400 and 4 for each evaluation.",
    )
    actor = memoryless(lambda view, obs, key: (guide(obs), ()))
    alone = jax.jit(lambda key: evaluate(slot(), actor, None, key, 256, LIMIT))(jax.random.key(1))
    rows: list[dict[str, Any]] = [
        {"agent": "the corrector", "success": float(alone.returns.mean()), "low": "", "high": "",
         "steps": float(alone.lengths.mean()), "first rate": "", "last rate": ""}
    ]  # fmt: skip
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    at = np.linspace(400, chosen.steps, chosen.evaluations + 1)[1:]
    for i, (name, how) in enumerate(tqdm(CONDITIONS.items(), unit=" conditions")):
        won, lengths, rate = map(np.asarray, jax.jit(jax.vmap(partial(learnt, *how, chosen)))(keys))
        mean, low, high = interval(won[:, -1])
        first, last = rate[:, 0].mean(), rate[:, -1].mean()
        rows.append({"agent": name, "success": mean, "low": low, "high": high,
                     "steps": float(lengths[:, -1].mean()), "first rate": float(first),
                     "last rate": float(last)})  # fmt: skip
        band(left, at, won, name, color=f"C{i}")
        if how[0]:
            band(right, at, rate, name, color=f"C{i}")
    left.set(xlabel="environment steps", ylabel="success without the corrector", ylim=(0, 1.02))
    right.set(xlabel="environment steps", ylabel="share of steps that were corrected")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
