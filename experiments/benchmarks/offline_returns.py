"""What six offline agents learn from the same data sets, beside Unifloral's.

The data are those of `jaxrl reproduce offline-agents`. Both libraries are given the same arrays,
with standardised observations, and use the settings that Unifloral has by default, except that
ReBRAC has batches of 256, that EDAC and CQL have four critics, and that CQL's actor learns as fast
as its critics, so that a run takes minutes and its few steps suffice.
"""

import dataclasses
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from agents import AGENTS
from experiments import statistics
from experiments.benchmarks.peers.processes import Failed, Peer, Worker, prepare
from experiments.options import parse
from experiments.reproductions.offline_agents import KINDS, WORLDS, acting, chance, world
from experiments.reproductions.plane import LANES, actor, learnt, logged, score, settings
from experiments.reproductions.report import table
from experiments.results import make_folder
from experiments.statistics import bootstrap
from jaxrl.budget import decay_over
from jaxrl.errors import InputError, require_known, require_positive
from jaxrl.types import Actor, Array, Key, Transition, Tree, memoryless
from jaxrl.values import Ensemble

TITLE = "Scores in four data sets, from 0 of random actions to 1 of the rule"
SMALL: dict[str, Any] = dict(batch_size=256, hidden=(256, 256), normalise_observations=False)
WIDE = (256, 256, 256)
CRITICS, ACTOR_RATE = 4, 3e-4
AGENT: dict[str, dict[str, Any]] = {
    "bc": dict(loss="squared-error", schedule="constant"),
    "td3-bc": {},
    "iql": {},
    "rebrac": dict(hidden=WIDE, actor_penalty=0.001, critic_penalty=0.01),
    "edac": dict(hidden=WIDE, ensemble=Ensemble(CRITICS)),
    # Unifloral weighs the mean of the penalties by 10, beside the sum of squares; ours are halved.
    "cql": dict(
        hidden=WIDE, ensemble=Ensemble(CRITICS), conservatism=5.0 / CRITICS, samples=1,
        actor_learning_rate=ACTOR_RATE, entropy_backup=True,
    ),
}  # fmt: skip
EPISODES = 32


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure what agents learn from data sets beside Unifloral, which is installed if needed."""

    agents: tuple[str, ...] = tuple(AGENT)
    """Agents that learn."""
    seeds: int = 5
    """Number of data sets of each kind."""
    transitions: int = 8_000
    """Number of steps in a data set."""
    steps: int = 3_000
    """Number of gradient steps."""
    timeout: float = 1_800.0
    """Time limit in seconds of what Unifloral learns in a world."""
    out: Path = Path(".benchmarks/offline-returns")
    """Folder for the table and the numbers."""
    peers: str = "~/.cache/jaxrl/peers"
    """Folder of the peers' virtual environments."""


def standardised(data: Transition) -> tuple[Transition, Array, Array]:
    """Data whose observations have mean 0 and deviation 1, and those that they had [*]."""
    mean, std = data.obs.mean((0, 1)), data.obs.std((0, 1)) + 1e-3
    change = lambda x: (x - mean) / std
    reward = data.reward / (data.reward.std() + 1e-6)
    data = data._replace(obs=change(data.obs), final=change(data.final), reward=reward)
    return data, mean, std


def sets(name: str, chosen: Options) -> tuple[Transition, Array, Array]:
    """The data sets [kinds * seeds, T, B, ...] of a world, with what standardised them."""

    def one(kind: str, key: Key) -> tuple[Transition, Array, Array]:
        return standardised(logged(world(name).env, acting(name, kind), key, chosen.transitions))

    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    found = [jax.jit(jax.vmap(partial(one, kind)))(keys) for kind in KINDS]
    return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


def ours(name: str, agent: str, chosen: Options, found: tuple) -> Array:
    """The scores [data sets] of our agent."""
    example = jax.tree.map(lambda x: x[0], found[0])
    discount = world(name).discount
    own = SMALL | AGENT[agent] | ({} if agent == "bc" else dict(discount=discount))
    hp = decay_over(settings(agent, example, **own), chosen.steps * LANES)
    made = AGENTS[agent].make(world(name).env.spec, hp)

    def one(data: Transition, mean: Array, std: Array, key: Key) -> Array:
        view = learnt(made, data, key, chosen.steps)
        return rated(name, made.exploit, view, mean, std)

    return jax.jit(jax.vmap(one))(*found, jax.random.split(jax.random.key(1), len(found[1])))


def rated(name: str, act: Actor, view: Tree, mean: Array, std: Array) -> Array:
    """The score [] of an actor that sees standardised observations."""
    key, (env, best, _) = jax.random.key(2), world(name)
    seen = act._replace(
        step=lambda view, memory, obs, key: act.step(view, memory, (obs - mean) / std, key)
    )
    low, high = (score(env, actor(rule), (), key, EPISODES) for rule in (chance(env), best))
    return (score(env, seen, view, key, EPISODES) - low) / (high - low)


def theirs(name: str, agent: str, chosen: Options, found: tuple, peer: Peer) -> Array:
    """The scores [data sets] of Unifloral's agent; raises Failed if its process does."""
    data, mean, std = found
    flat = lambda x: np.asarray(x).swapaxes(1, 2).reshape(len(x), -1, *x.shape[3:])  # by lanes
    arrays = {
        "observations": flat(data.obs), "actions": flat(data.action),
        "rewards": flat(data.reward), "next_observations": flat(data.final),
        "terminals": 1 - flat(data.discount),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file, to = Path(folder) / "data.npz", Path(folder) / "layers.npz"
        np.savez(file, **arrays)
        task = {"agent": agent, "batch_size": SMALL["batch_size"],
                "critics": CRITICS, "actor_rate": ACTOR_RATE,
                "observation": data.obs.shape[-1], "action": data.action.shape[-1],
                "seeds": len(mean), "discount": world(name).discount,
                "steps": chosen.steps, "updates": chosen.steps,
                "file": str(file), "to": str(to)}  # fmt: skip
        worker = Worker(peer, task)
        try:
            worker.answer(chosen.timeout)
        finally:
            worker.kill()
        layers = dict(np.load(to))

    def act(view: dict, obs: Array, key: Key) -> tuple[Array, tuple]:
        for i in range(len(view) // 2):
            obs = obs if i == 0 else jax.nn.relu(obs)
            obs = obs @ view[f"kernel{i}"] + view[f"bias{i}"]
        return jnp.tanh(obs), ()

    return jax.jit(jax.vmap(partial(rated, name, memoryless(act))))(layers, mean, std)


def main(arguments: list[str]) -> None:
    """`jaxrl benchmark offline-returns`."""
    chosen = parse("benchmark offline-returns", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    for agent in chosen.agents:
        require_known("agent", agent, AGENT)
    try:
        peer = prepare("unifloral", Path(chosen.peers).expanduser())
    except Failed as error:
        raise InputError(f"Unifloral cannot be installed: {error}") from error
    data = {name: sets(name, chosen) for name in WORLDS}
    tasks = [f"{name}, {kind}" for name in WORLDS for kind in KINDS]
    rows, report = [], {}
    make_folder(chosen.out)
    for agent in tqdm(chosen.agents, unit=" agents"):
        learners = {"jaxrl": ours, "unifloral": partial(theirs, peer=peer)}
        for library, one in learners.items():
            each = [np.asarray(one(name, agent, chosen, data[name])) for name in WORLDS]
            parts = [part for x in each for part in x.reshape(len(KINDS), chosen.seeds)]
            found = np.stack(parts, -1)  # [seeds, tasks]
            report[f"{agent}, {library}"] = found.tolist()
            iqm, low, high = (float(x) for x in bootstrap(statistics.interquartile_mean, found))
            row = {"agent": agent, "library": library}
            row |= dict(zip(tasks, map(float, found.mean(0))))
            rows.append(row | {"interquartile mean": iqm, "low": low, "high": high})
        # After each agent, since some take long.
        (chosen.out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
        (chosen.out / "results.md").write_text(f"{TITLE}\n\n{table(rows)}\n")
    print(f"{TITLE}\n\n{table(rows)}\n\nThe numbers are in {chosen.out}.")
