"""PPO on a data set, with steps that a model approves of, and then online (Lei et al. 2024).

A point on a plane is to reach a goal, and the data are of a mediocre policy. Uni-O4 clones them and
improves by PPO's loss; its references move only where rollouts in a learnt model promise more, or
always, and it has one policy or four. Beside it is IQL. The best of the four
policies then goes on online by PPO, beside PPO that begins from nothing. The learning rate was
chosen for each from the same two, on other data sets.
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

from agents import AGENTS, ppo
from agents.offline import uni_o4
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.plane import actor, learnt, logged, plane, score, settings, straight
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble
from jaxrl.errors import require_positive
from jaxrl.offline import offline
from jaxrl.types import Array, Key, Tree
from jaxrl.updates import Learner

TITLE = "Share of the way from the data's return to the best one: at the end, and at its lowest"
GOAL, ROUND = (0.3, -0.4), 50
RATES = (1e-3, 3e-3)
SMALL: dict[str, Any] = dict(
    batch_size=64, hidden=(32, 32), activation="relu", discount=0.9, target_rate=0.02
)
OWN = dict(
    updates=ROUND, members=2, elites=2, model_hidden=(32, 32), rollouts=32, horizon=16, clip=0.25
)
WAYS = {  # policies, and whether a model must approve
    "four, approved": (4, True),
    "four, always": (4, False),
    "one, approved": (1, True),
    "one, always": (1, False),
}
ONLINE = dict(
    num_envs=16, rollout_length=16, epochs=4, minibatches=2, hidden=(32, 32), discount=0.9,
    activation="relu",
    normalise_rewards=False, entropy_coefficient=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Learn from data by PPO's loss, and go on online."""

    seeds: int = 5
    """Number of data sets; as many others choose the learning rate."""
    transitions: int = 2_000
    """Number of steps in a data set."""
    cloning: int = 2_000
    """Number of gradient steps of cloning, in which the critics learn too."""
    rounds: int = 12
    """Number of rounds of 50 gradient steps that follow."""
    out: Path = Path(".reproductions/approval")
    """Folder in which the table, the numbers and the picture are written."""


def share(agent: Any, view: Tree, key: Key) -> Array:
    """The share [] of the way from the data's return to the best one."""
    env, behaviour = plane(GOAL), straight(GOAL, 0.3, 0.5)
    found = score(env, agent.exploit, view, key)
    start, best = (score(env, actor(act), (), key) for act in (behaviour, straight(GOAL)))
    return (found - start) / (best - start)


def data_of(chosen: Options, key: Key) -> Any:
    """The data of a mediocre policy."""
    return logged(plane(GOAL), straight(GOAL, 0.3, 0.5), key, chosen.transitions)


class Point(NamedTuple):
    """A way of learning."""

    rate: Any  # of learning
    gated: Any  # whether a model must approve


def improved(policies: int, chosen: Options, point: Point, key: Key) -> Array:
    """The shares [rounds + 1] after cloning, and after each round of improvement.

    They are followed by those of PPO, which goes on from there, and of PPO from nothing.
    """
    k_data, k_learn, k_play, k_online = jax.random.split(key, 4)
    spec, data = plane(GOAL).spec, data_of(chosen, k_data)
    more = OWN | dict(policies=policies, cloning_updates=float(chosen.cloning))
    hp = settings("uni-o4", data, **SMALL, **more, learning_rate=point.rate)
    accept = lambda old, new: (old < new) | jnp.logical_not(point.gated)
    agent = uni_o4.uni_o4(spec, hp, accept=accept)
    exp = offline(agent, data)
    run, _ = advance(exp, exp.init(k_learn), chosen.cloning // ROUND)

    def one(run: Any, _: None) -> tuple[Any, Array]:
        now = share(agent, agent.update.read(run.learner), k_play)
        return advance(exp, run, 1)[0], now

    run, shares = jax.lax.scan(one, run, None, chosen.rounds + 1)
    on = ppo.Hyperparameters(**ONLINE, learning_rate=point.rate)
    return jnp.concatenate([shares, online(on, agent.update.read(run.learner), k_play, k_online)])


def online(hp: Any, base: Learner, k_play: Key, key: Key) -> Array:
    """The shares [22] of PPO during 2560 steps, from a learner and from nothing."""
    setup = assemble(ppo.ppo, plane(GOAL), hp)

    def curve(kept: Array) -> Array:
        run = setup.experiment.init(key)
        own: Learner = run.learner
        params = jax.tree.map(lambda x, y: jnp.where(kept, x, y), base.params, own.params)
        run = run._replace(learner=own._replace(params=params))

        def one(run: Any, _: None) -> tuple[Any, Array]:
            now = share(setup.agent, setup.agent.update.read(run.learner), k_play)
            return advance(setup.experiment, run, 1)[0], now

        return jax.lax.scan(one, run, None, 11)[1]

    return jax.vmap(curve)(jnp.array([True, False])).reshape(-1)


def plain(name: str, chosen: Options, rate: Array, key: Key) -> Array:
    """The share [1] of an agent that learns from data with as many gradient steps."""
    k_data, k_learn, k_play = jax.random.split(key, 3)
    data = data_of(chosen, k_data)
    hp = settings(name, data, **SMALL, learning_rate=rate)
    agent = AGENTS[name].make(plane(GOAL).spec, hp)
    view = learnt(agent, data, k_learn, chosen.cloning + ROUND * chosen.rounds)
    return share(agent, view, k_play)[None]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce approval", Options, arguments)
    require_positive(
        seeds=chosen.seeds, transitions=chosen.transitions, cloning=chosen.cloning,
        rounds=chosen.rounds,
    )  # fmt: skip
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    rows, length, parts = [], chosen.rounds + 1, {}
    for policies in tqdm((4, 1), unit=" ensembles"):
        points = [Point(rate, gated) for gated in (True, False) for rate in RATES]
        every = scored(partial(improved, policies, chosen), points, chosen.seeds)
        for gated, scores in zip((True, False), np.split(every, 2)):
            name = next(name for name, own in WAYS.items() if own == (policies, gated))
            parts[name] = scores[..., :length]
            if name == "four, approved":
                parts["PPO from there"] = scores[..., length:-11]
                parts["PPO from nothing"] = scores[..., -11:]
    parts["iql"] = scored(partial(plain, "iql", chosen), RATES, chosen.seeds)
    for part, scores in parts.items():  # [points, 2 seeds, evaluations]
        point, _ = tuned(scores[..., -1:])
        shares = scores[point, chosen.seeds :]
        mean, low, high = interval(shares[:, -1])
        row = {"agent": part, "learning rate": RATES[point], "first": float(shares[:, 0].mean())}
        row |= {"lowest": float(shares.min(1).mean()), "share": mean, "low": low, "high": high}
        rows.append(row)
        if part in WAYS:
            band(left, ROUND * np.arange(length), shares, part)
        elif part.startswith("PPO"):
            band(right, 256 * np.arange(11), shares, part)
    left.set(xlabel="gradient steps after cloning", ylabel="share of the way to the best")
    right.set(xlabel="environment steps of PPO")
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
