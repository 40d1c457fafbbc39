"""Offline tasks one after another, and what of them is remembered (OER of Gai et al. 2023).

A point on a plane is to reach one goal after another, and sees which. The data of each task are of
good episodes, or half of them of random actions, and little of them is kept for later. OER learns
each task by TD3+BC and clones it, together with what was kept, into the policy that acts. It keeps
the steps nearest to rollouts of that policy in a model, which is the true one here, or random ones,
or none. Beside it is TD3+BC on the data of the task and random steps that were kept, which is
experience replay. The weight of the value beside the imitation was chosen for each from the same
three, on other data.
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

import envs
from agents import AGENTS
from experiments import options
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.plane import LANES, STEPS, actor, logged, plane, score, straight
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, rollout
from jaxrl.data import nearest_steps
from jaxrl.errors import require_positive
from jaxrl.offline import offline
from jaxrl.types import Agent, Array, Env, Key, Transition, Tree, listed

TITLE = "Share of the way from random actions to the best return, after each task and at the end"
GOALS = ((0.6, 0.6), (-0.6, 0.5), (0.0, -0.7))
TASKS, GRID = len(GOALS), (1.0, 2.5, 10.0)
VISITED, RANDOM, NOTHING = range(3)
DATA = {"good": 0.8, "half random": 0.0}  # the skill of every other episode
METHODS = {  # the agent, and what is kept
    "OER": ("oer", VISITED),
    "OER, random steps": ("oer", RANDOM),
    "OER, nothing kept": ("oer", NOTHING),
    "experience replay": ("td3-bc", RANDOM),
}
SMALL = dict(
    batch_size=64, hidden=(32, 32), learning_rate=1e-3, discount=0.9, target_rate=0.02,
    normalise_observations=False,
)  # fmt: skip


class Point(NamedTuple):
    """A way of learning."""

    weight: Any  # of the value
    keeps: Any
    skill: Any  # of every other episode


@dataclass(frozen=True)
class Options:
    """Learn offline tasks one after another."""

    seeds: int = 5
    """Number of sequences of data sets; as many others choose the weight of the value."""
    transitions: int = 1_600
    """Number of steps in the data of a task."""
    steps: int = 600
    """Number of gradient steps on a task."""
    kept: int = 48
    """Number of steps that are kept of each task."""
    out: Path = Path(".reproductions/continual")
    """Folder in which the table, the numbers and the picture are written."""


def task(number: Array) -> Env:
    """The plane with the goal of a number, which is seen as one bit of three."""
    env = plane(jnp.array(GOALS)[number])
    bits = jnp.eye(TASKS)[number]

    def told(state: Tree, ts: Any) -> tuple:
        see = lambda x: jnp.concatenate([x, bits])
        return state, ts._replace(obs=see(ts.obs), final=see(ts.final))

    observation = jax.ShapeDtypeStruct((2 + TASKS,), jnp.float32)
    return env._replace(
        init=lambda key: told(*env.init(key)),
        step=lambda state, action, key: told(*env.step(state, action, key)),
        spec=env.spec._replace(observation=observation),
    )


def going(number: Array, skill: Array | float, noise: float) -> Any:
    """The rule that goes straight to the goal of a number with some skill, and with noise."""
    act = straight(jnp.array(GOALS)[number], skill, noise)
    return lambda obs, key: act(obs[:, :2], key)


def visited(env: Env, agent: Agent, view: Tree, key: Key, number: int) -> Array:
    """Observations [`number`, *] that the policy visits."""
    k_start, k_run = jax.random.split(key)
    lanes = envs.auto_reset(envs.vectorize(env, -(-number // STEPS)))
    start = (*lanes.init(k_start), ())
    return listed(rollout(lanes, agent.exploit, view, start, k_run, STEPS)[1]).obs[:number]


def drawn(kept: Transition, number: Array, shape: tuple[int, ...], key: Key) -> Transition:
    """Steps [*shape] of those [TASKS, M] kept of the first `number` tasks; of none, no weight."""
    k_task, k_step = jax.random.split(key)
    of = jax.random.randint(k_task, shape, 0, jnp.maximum(number, 1))
    index = jax.random.randint(k_step, shape, 0, kept.reward.shape[1])
    found = jax.tree.map(lambda x: x[of, index], kept)
    return found._replace(weight=found.weight * (number > 0))


def share(number: Array, agent: Agent, view: Tree, key: Key) -> Array:
    """The share [] of the way from the return of random actions to the best one."""
    env = task(number)
    acts = [agent.exploit, *(actor(going(number, *of)) for of in ((0.0, 0.6), (1.0, 0.0)))]
    found, start, best = (score(env, act, view, key, 32) for act in acts)
    return (found - start) / (best - start)


def sequence(name: str, chosen: Options, point: Point, key: Key) -> Array:
    """The shares [tasks, tasks] after each task."""
    skill = jnp.where(jnp.arange(LANES) % 2 == 0, point.skill, 0.8)[:, None]
    k_play, k_tasks = jax.random.split(key)
    size = -(-chosen.transitions // LANES) * LANES
    whole = dict(num_envs=LANES, buffer_size=2 * size, warmup=2 * size)
    hp = AGENTS[name].defaults.replace(**whole, **SMALL, value_weight=point.weight)
    make, spec = AGENTS[name].make, task(jnp.int32(0)).spec

    def one(carry: tuple, inputs: tuple) -> tuple[tuple, Array]:
        before, kept = carry
        number, key = inputs
        k_data, k_old, k_learn, k_visit, k_keep = jax.random.split(key, 5)
        env = task(number)
        data = logged(env, going(number, skill, 0.6), k_data, chosen.transitions)
        old = drawn(kept, number, data.reward.shape, k_old)
        # Replayed with the data, as often as these; OER clones it alone.
        rest = old if name != "oer" else data
        own = jax.tree.map(lambda *x: jnp.concatenate(x), data, rest)
        agent = make(spec, hp, kept=listed(old)) if name == "oer" else make(spec, hp)
        exp = offline(agent, own)
        run = exp.init(k_learn)
        run = run._replace(learner=go_on(name, run.learner, before, number))
        run, _ = advance(exp, run, chosen.steps)
        view = agent.update.read(run.learner)
        shares = jax.vmap(lambda j: share(j, agent, view, k_play))(jnp.arange(TASKS))
        near = nearest_steps(data, visited(env, agent, view, k_visit, chosen.kept))
        steps = listed(data)
        index = jax.random.randint(k_keep, (chosen.kept,), 0, len(steps.reward))
        chance = jax.tree.map(lambda x: x[index], steps)
        new = jax.tree.map(lambda x, y: jnp.where(point.keeps == VISITED, x, y), near, chance)
        new = new._replace(weight=new.weight * (point.keeps != NOTHING))
        kept = jax.tree.map(lambda x, y: x.at[number].set(y), kept, new)
        return (learnt(name, run.learner), kept), shares

    example = jax.eval_shape(lambda key: logged(task(0), going(0, skill, 0.6), key, LANES), key)
    blank = lambda x: jnp.zeros((TASKS, chosen.kept, *x.shape[2:]), x.dtype)
    kept = jax.tree.map(blank, example)
    first = jax.eval_shape(
        lambda key: make(spec, hp).update.init(key, blank_steps(example, size)), key
    )
    none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), learnt(name, first))
    inputs = (jnp.arange(TASKS), jax.random.split(k_tasks, TASKS))
    return jax.lax.scan(one, (none, kept), inputs)[1]


def blank_steps(example: Transition, size: int) -> Transition:
    """Blank steps of the shapes of an example, as many as a buffer holds."""
    return jax.tree.map(
        lambda x: jnp.zeros((2 * size // LANES, LANES, *x.shape[2:]), x.dtype), example
    )


def learnt(name: str, learner: Tree) -> Tree:
    """What the next task begins with."""
    return learner.inner.inner.params if name == "oer" else learner.inner[:2]


def go_on(name: str, learner: Tree, before: Tree, number: Array) -> Tree:
    """A new learner, after the first task with what was learnt before."""
    pick = lambda new, old: jax.tree.map(lambda x, y: jnp.where(number > 0, y, x), new, old)
    if name == "oer":
        inner = learner.inner.inner
        inner = inner._replace(params=pick(inner.params, before))
        return learner._replace(inner=learner.inner._replace(inner=inner))
    params, target = (pick(x, y) for x, y in zip(learner.inner[:2], before))
    return learner._replace(inner=learner.inner._replace(params=params, target=target))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce continual", Options, arguments)
    require_positive(
        seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps, kept=chosen.kept
    )
    found = {}
    for agent in tqdm(("oer", "td3-bc"), unit=" agents"):
        names = [name for name, (own, _) in METHODS.items() if own == agent]
        cases = [(data, name) for data in DATA for name in names]
        points = [Point(w, METHODS[name][1], DATA[data]) for data, name in cases for w in GRID]
        every = scored(partial(sequence, agent, chosen), points, chosen.seeds)
        found |= dict(zip(cases, np.split(every, len(cases))))
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    rows, width = [], 0.8 / len(METHODS)
    for axes, data in zip(panels, DATA):
        for i, method in enumerate(METHODS):
            every = found[data, method]
            # The mean over tasks at the end decides, and everything of that point is reported.
            point, _ = tuned(every[:, :, -1])
            shares = every[point, chosen.seeds :]  # [seeds, after tasks, tasks]
            first, last = np.diagonal(shares, axis1=1, axis2=2), shares[:, -1]
            mean, low, high = interval(last.mean(1))
            row = {"data": data, "method": method, "value weight": GRID[point], "at the end": mean}
            row |= {"low": low, "high": high, "newest task": float(last[:, -1].mean())}
            rows.append(row | {"forgotten": float((first - last)[:, :-1].mean())})
            for j in range(TASKS):
                middle, least, most = interval(last[:, j])
                place = j + width * (i - (len(METHODS) - 1) / 2)
                away, label = [[middle - least], [most - middle]], None if j else method
                axes.bar(place, middle, width, yerr=away, color=f"C{i}", label=label)
        axes.set_xticks(range(TASKS), [f"task {j + 1}" for j in range(TASKS)])
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_title(f"data: {data}")
        axes.grid(alpha=0.3, axis="y")
    panels[0].set_ylabel("share of the way to the best, at the end")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    save(chosen.out, TITLE, rows, figure)
