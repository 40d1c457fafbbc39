"""Luck and skill: cloning conditioned on returns, and on latents of what can be controlled (DoC).

Yang et al. (2023), https://arxiv.org/abs/2210.13435. A bandit has an arm that wins nine times in
ten and one that wins once in ten; the data are 1000 steps, a half or a tenth of which are of the
better arm. Policies that are conditioned on a win are posteriors, which are known exactly, and
prefer the arm that won more often in the data. DoC is trained as the paper says, without its
constraint, and as its code does: with the sign of the constraint reversed and latents that are
shaped by their value. A small world has a way over ice, of the highest return and seldom passed,
and a safe detour.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents.offline import decision_transformer as dt
from agents.offline import doc, rvs
from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance
from jaxrl.offline import offline
from jaxrl.rollouts import rollout
from jaxrl.types import Actor, Agent, Array, Discrete, Env, Key, Spec, Transition, Tree

TITLE = "Expected reward in the bandit (best: 0.9) and return on ice (best: 0.6)"
GOOD, BAD = 0.9, 0.1
BANDIT = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Discrete(2))
SHARES = (("half", 0.5), ("a tenth", 0.1))
FALL, LIMIT, LANES = 0.7, 8, 50


@dataclass(frozen=True)
class Options:
    """Clone what is conditioned on returns and on latents, where returns are luck in part."""

    seeds: int = 10
    """Number of seeds of each run."""
    updates: int = 1_000
    """Gradient steps of each run."""
    steps: int = 8_000
    """Steps of the data set on ice, a multiple of 50."""
    out: Path = Path(".reproductions/control")
    """Folder in which the table, the numbers and the picture are written."""


def log(share: float, size: int = 1000) -> Transition:
    """Steps [size, 1] of the bandit: arm 0 in a share of them, and each with its exact chance."""
    arm = (np.arange(size) >= share * size).astype(np.int32)
    reward = np.zeros(size, np.float32)
    for a, chance in enumerate((GOOD, BAD)):
        rows = np.flatnonzero(arm == a)
        reward[rows[: round(chance * len(rows))]] = 1.0
    order = np.random.default_rng(0).permutation(size)
    one, ends = jnp.ones((size, 1)), jnp.ones((size, 1), bool)
    column = lambda x: jnp.asarray(x)[order, None]
    seen = one[..., None]
    return Transition(seen, column(arm), column(reward), 0 * one, ends, seen, (), one)


def learnt(agent: Agent, data: Transition, updates: int, key: Key) -> Tree:
    """What actors see after learning from the data alone."""
    exp = offline(agent, data)
    run, _ = advance(exp, exp.init(key), updates)
    return agent.update.read(run.learner)


def common(data: Transition, updates: int) -> dict[str, Any]:
    """Hyperparameters that all agents share on a data set [T, B]."""
    size = data.reward.size
    return {
        "num_envs": data.reward.shape[1], "buffer_size": size, "warmup": size, "batch_size": 128,
        "learning_rate": 3e-3, "schedule": "cosine", "decay_steps": float(updates * LANES),
        "hidden": (32,),
    }  # fmt: skip


VARIANTS: dict[str, tuple[float, Callable[[Array], Array]]] = {  # constraint, what values shape
    "DoC": (0.1, jax.lax.stop_gradient),
    "DoC, no constraint": (0.0, jax.lax.stop_gradient),
    "DoC, latents shaped by values": (0.1, lambda q: q),
    "DoC, as its code is": (-0.1, lambda q: q),
}


def planner(spec: Spec, own: dict[str, Any], variant: str, **more: Any) -> tuple[Agent, Any]:
    """DoC of a variant, and its hyperparameters."""
    weight, detached = VARIANTS[variant]
    hp = doc.Hyperparameters(**own, constraint=weight, **more)
    return doc.doc(spec, hp, detached=detached), hp


def in_bandit(name: str, updates: int, data: Transition, key: Key) -> Array:
    """The expected reward [] of what an agent learns: exact for DoC, of 4000 actions for others."""
    own = common(data, updates)
    obs = jnp.ones((4000, 1))
    if name in VARIANTS:
        agent, hp = planner(BANDIT, own, name, latents=4, sequence_length=1)
        params, net = learnt(agent, data, updates, key).params, doc.latents(BANDIT, hp)
        latent = doc.best(net, hp.rarest, params, obs[0])
        good = jax.nn.softmax(net.policy(params, obs[0]).logits)[latent, 0]
    else:
        agent = rvs.rvs(BANDIT, rvs.Hyperparameters(**own, target=1.0))
        view = learnt(agent, data, updates, key)
        good = (agent.explore.step(view, (), obs, key)[0] == 0).mean()
    return good * GOOD + (1 - good) * BAD


def posterior(share: float) -> float:
    """The expected reward of pi(a | win), which is in proportion to mu(a) P(win | a)."""
    good = share * GOOD / (share * GOOD + (1 - share) * BAD)
    return good * GOOD + (1 - good) * BAD


def ice() -> Env:
    """Two rows of three cells: from the lower left to the lower right, over ice or around.

    Stepping onto the ice between them ends the episode with probability 0.7. A step costs 0.1 and
    the goal pays 1, so that the best return is 0.8, its mean 0.17, and that of the detour 0.6.
    """
    start, frozen, hole, goal = 3, 4, 6, 5
    move, reward = np.zeros((7, 4, 7)), np.full((7, 4, 7), -0.1)
    on = np.ones((7, 4, 7))
    for cell in range(6):
        row, column = divmod(cell, 3)
        for a, (up, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
            to = 3 * min(max(row + up, 0), 1) + min(max(column + right, 0), 2)
            falls = FALL if to == frozen and cell != frozen else 0.0
            move[cell, a, to] += 1 - falls
            move[cell, a, hole] += falls
    move[hole, :, hole] = 1
    reward[:, :, goal] += 1
    on[:, :, [hole, goal]] = 0
    mdp = envs.tabular.from_arrays(move, reward, on, np.eye(7)[start])
    return time_limit(envs.from_mdp(mdp), LIMIT)


def walkers(env: Env, key: Key, steps: int) -> Transition:
    """Steps [T, LANES] of walkers who take one of the two ways, with a fifth of random actions."""
    ways = jnp.array([[1, 1, 2, 0, 1, 1, 0], [1, 1, 2, 1, 1, 1, 0]])  # by cell: around, and over

    def act(view: Tree, memory: Array, obs: Array, key: Key) -> tuple[Array, Array, tuple]:
        k_way, k_if, k_what = jax.random.split(key, 3)
        drawn = jax.random.randint(k_way, memory.shape, 0, 2)
        way = jnp.where(memory < 0, drawn, memory)
        chance = jax.random.uniform(k_if, memory.shape) < 0.2
        other = jax.random.randint(k_what, memory.shape, 0, 4)
        return jnp.where(chance, other, ways[way, obs.argmax(-1)]), way, ()

    actor = Actor(lambda size: jnp.full(size, -1), act)
    lanes = auto_reset(vectorize(env, LANES))
    k_begin, k_run = jax.random.split(key)
    begun = (*lanes.init(k_begin), actor.init(LANES))
    return rollout(lanes, actor, (), begun, k_run, steps // LANES)[1]


def on_ice(name: str, chosen: Options, key: Key) -> Array:
    """The mean return [] of 500 episodes of what an agent learns."""
    env = ice()
    k_data, k_learn, k_play = jax.random.split(key, 3)
    data = walkers(env, k_data, chosen.steps)
    own = common(data, chosen.updates)
    if name in VARIANTS:
        few = {"latents": 8, "sequence_length": LIMIT, "negatives": 4}
        agent, _ = planner(env.spec, own | {"batch_size": 64}, name, **few)
    else:
        hp = dt.Hyperparameters(
            **own | {"batch_size": 64},
            target=0.8,
            sequence_length=LIMIT,
            window=LIMIT,
            weight_decay=0.0,
        )
        env, data = dt.world(env, hp), dt.told(data, hp)
        agent = dt.decision_transformer(env.spec, hp)
    view = learnt(agent, data, chosen.updates, k_learn)
    return evaluate(env, agent.explore, view, k_play, 500, LIMIT).returns.mean()


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce control", Options, arguments)
    require_positive(seeds=chosen.seeds, updates=chosen.updates, steps=chosen.steps // LANES)
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    lucky = {f"bandit, {words} of the data good": posterior(share) for words, share in SHARES}
    lucky |= {"ice": 0.8 * (1 - FALL) - 0.1 * FALL}
    logs = jax.tree.map(lambda *x: jnp.stack(x), *(log(share) for _, share in SHARES))
    names, found = ("on the best return", *VARIANTS), {}
    for name in tqdm(names, unit=" agents"):
        run = partial(in_bandit, name, chosen.updates)
        both = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
        arms = np.asarray(jax.jit(both)(logs, keys))
        slide = np.asarray(jax.jit(jax.vmap(partial(on_ice, name, chosen)))(keys))
        found[name] = dict(zip(lucky, (*arms, slide)))
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained", sharey=True)
    for (task, exact), place in zip(lucky.items(), axes):
        for at, name in enumerate(names):
            values = found[name][task]
            mean, low, high = interval(values)
            rows.append({"task": task, "cloning": name, "mean": mean, "low": low, "high": high,
                         "lowest": float(values.min()),
                         "exact": exact if at == 0 else ""})  # fmt: skip
            place.plot(values, np.full(len(values), at), ".", alpha=0.5)
            place.plot(mean, at, "k|", markersize=14)
        place.axvline(0.6 if task == "ice" else GOOD, color="black", linewidth=0.8, linestyle=":")
        place.set(title=task, xlabel="expected reward" if task != "ice" else "return")
        place.set_yticks(range(len(names)), names)
        place.grid(alpha=0.3, axis="x")
    axes[0].invert_yaxis()
    save(chosen.out, TITLE, rows, figure)
