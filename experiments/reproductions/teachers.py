"""One recurrent student of many teachers, who must tell which system it controls (RAPTOR).

A point is pushed to the origin by an engine whose strength, drag and lag are unknown; strengths
differ by a factor of ten. Each teacher is the linear-quadratic regulator of one system. Eschmann et
al. (2025) hold that a small recurrent student of many of them acts well in systems that none of
them knew. The others are a student without a memory, the regulator of the middle system, and
policies without teachers that descend the mean cost over random systems, through the simulator,
which is the strongest form of domain randomisation. A score is the cost of the system's own
regulator over the cost. The learning rate of each was chosen from three values, on other seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.figure import Figure
from tqdm import tqdm

import envs
from experiments import options
from experiments.reproductions.choosing import tried
from experiments.reproductions.mismatch import regulator
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, networks
from jaxrl.distillation import distilled, one_of
from jaxrl.environments import auto_reset, vectorize
from jaxrl.errors import require_positive
from jaxrl.loop import experiment
from jaxrl.rollouts import rollout
from jaxrl.settings import Recurrent
from jaxrl.tasks import tasked, uniform
from jaxrl.types import Actor, Array, Box, Env, Key, Spec, TimeStep, Tree, memoryless

TITLE = "Cost of the system's own regulator over the cost, in systems that no teacher knew"
DT, LIMIT, LANES, TESTS = 0.1, 60, 32, 64
COST = np.array([1.0, 0.1, 0.0]), 0.05
LOW, HIGH = np.log([0.5, 0.1, 0.15]), np.log([5.0, 1.0, 0.4])
GRID = (1e-3, 3e-3, 1e-2)
ALONE = "regulator of the middle system"
KINDS = ("within the range", "outside of it")


class System(NamedTuple):
    """The parameters of a system."""

    strength: Array
    drag: Array
    lag: Array


@dataclass(frozen=True)
class Options:
    """Distil regulators of many systems into one policy."""

    seeds: int = 6
    """Number of students, and two others to choose the learning rate."""
    steps: int = 300
    """Number of gradient steps, each on 32 rollouts of half an episode."""
    out: Path = Path(".reproductions/teachers")
    """Folder in which the table, the numbers and the picture are written."""


def drawn(key: Key, number: int, wider: float = 1.0) -> System:
    """Systems [number] that are uniform in the logarithms of their parameters.

    With `wider` above 1 they are those of a wider range, by that factor, outside of the usual one.
    """
    k_in, k_out, k_side = jax.random.split(key, 3)
    logs = jax.random.uniform(k_in, (number, 3), minval=jnp.asarray(LOW), maxval=jnp.asarray(HIGH))
    if wider > 1:  # the strength, which matters most, is beyond one of its two ends
        beyond = jnp.log(wider) * jax.random.uniform(k_out, (number,))
        below = jax.random.bernoulli(k_side, 0.5, (number,))
        strength = jnp.where(below, LOW[0] - beyond, HIGH[0] + beyond)
        logs = logs.at[:, 0].set(strength)
    return System(*jnp.exp(logs).T)


def matrices(system: System) -> tuple[Array, Array]:
    """The linear dynamics A [3, 3] and B [3] of place, speed and engine."""
    one = jnp.ones(())
    rise = DT / system.lag
    rows = (one, DT, 0.0), (0.0, 1 - DT * system.drag, DT * system.strength), (0.0, 0.0, 1 - rise)
    a = jnp.array(rows)
    return a, jnp.array([0.0, 0.0, rise])


def gains_of(system: System) -> Array:
    """The gains [3] of the best linear policy -gains'state."""
    (a, b), (q, r) = matrices(system), COST
    return regulator(a, b[:, None], jnp.diag(jnp.asarray(q)), r * jnp.eye(1))[0]


def world(system: System) -> Env:
    """A point that is pushed, for 60 steps; the observation is all of its state."""
    a, b = matrices(system)
    q, r = COST

    def emit(state: Array, reward: Array) -> TimeStep:
        one = jnp.ones(())
        return TimeStep(state, reward, one, one < 0, state, {})

    def init(key: Key) -> tuple[Array, TimeStep]:
        state = jnp.array([1.0, 0.5, 0.0]) * jax.random.uniform(key, (3,), minval=-1.0)
        return state, emit(state, jnp.zeros(()))

    def step(state: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        push = jnp.clip(action[0], -1.0, 1.0)
        cost = (jnp.asarray(q) * state**2).sum() + r * push**2
        gust = jnp.array([0.0, 0.02, 0.0]) * jax.random.normal(key)
        state = jnp.clip(a @ state + b * push + gust, -5.0, 5.0)
        return state, emit(state, -cost)

    one = jnp.ones(1)
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Box(-one, one))
    return envs.time_limit(Env(init, step, spec), LIMIT)


def act(gains: Array, obs: Array) -> Array:
    """The action [1] of a regulator."""
    return jnp.clip(-(gains * obs).sum(-1, keepdims=True), -1.0, 1.0)


def cost(actor: Actor, view: Tree, system: System, key: Key) -> Array:
    """The mean cost [] of four episodes in a system."""
    lanes = vectorize(world(system), 4)
    k_start, k_run = jax.random.split(key)
    start = (*lanes.init(k_start), actor.init(4))
    return -rollout(lanes, actor, view, start, k_run, LIMIT)[1].reward.sum(0).mean()


def scores(actor: Actor, view: Tree, key: Key) -> Array:
    """The mean scores [2] in systems of the range of the teachers, and outside of it."""

    def one(system: System, key: Key) -> Array:
        gains = gains_of(system)
        best = memoryless(lambda view, obs, key: (act(gains, obs), ()))
        return cost(best, (), system, key) / cost(actor, view, system, key)

    k_in, k_out, k_run = jax.random.split(key, 3)
    tests = drawn(k_in, TESTS), drawn(k_out, TESTS, wider=1.5)
    keys = jax.random.split(k_run, TESTS)
    return jnp.stack([jax.vmap(one)(systems, keys).mean() for systems in tests])


def student(memory: str, number: int, steps: int, rate: Array, key: Key) -> Array:
    """The scores [2] of a student of a number of teachers."""
    k_teachers, k_learn, k_test = jax.random.split(key, 3)
    systems = drawn(k_teachers, number)
    gains = jax.vmap(gains_of)(systems)
    env = tasked(lambda i: world(System(*(x[i] for x in systems))), uniform(0, number - 1))
    teacher = one_of(act, gains, lambda batch: batch.signals.params)
    layers = Recurrent(hidden=(16,), memory=memory)
    agent = distilled(env.spec, teacher, layers, noise=0.1, optimiser=optax.adam(rate))
    exp = experiment(auto_reset(vectorize(env, LANES)), agent, LIMIT // 2)
    run, _ = advance(exp, exp.init(k_learn), steps)
    return scores(agent.exploit, agent.update.read(run.learner), k_test)


def randomised(memory: str, number: int, steps: int, rate: Array, key: Key) -> Array:
    """The scores [2] of a policy that descends the mean cost over systems, in the simulator."""
    k_init, k_learn, k_test = jax.random.split(key, 3)
    spec, layers = world(System(*jnp.ones(3))).spec, Recurrent(hidden=(16,), memory=memory)
    net = networks.network(spec, (1,), (0.01,), **vars(layers))
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))

    def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, tuple]:
        outputs, memory = net.step(view, memory, obs)
        return jnp.tanh(outputs[0]), memory, ()

    actor = Actor(net.memory, step)

    def loss(params: Tree, key: Key) -> Array:
        k_systems, k_run = jax.random.split(key)
        systems = drawn(k_systems, LANES // 8)  # with four episodes each, as many steps
        keys = jax.random.split(k_run, LANES // 8)
        return jax.vmap(lambda system, key: cost(actor, params, system, key))(systems, keys).mean()

    def learn(state: tuple[Tree, Tree], key: Key) -> tuple[tuple[Tree, Tree], None]:
        params, opt = state
        change, opt = rule.update(jax.grad(loss)(params, key), opt, params)
        return (optax.apply_updates(params, change), opt), None

    params = net.init(k_init)
    keys = jax.random.split(k_learn, steps)
    (params, _), _ = jax.lax.scan(learn, (params, rule.init(params)), keys)
    return scores(actor, params, k_test)


def alone(memory: str, number: int, steps: int, rate: Array, key: Key) -> Array:
    """The scores [2] of the regulator of the system in the middle of the range."""
    middle = gains_of(System(*jnp.exp(jnp.asarray((LOW + HIGH) / 2))))
    return scores(memoryless(lambda view, obs, k: (act(middle, obs), ())), (), key)


LEARNERS: dict[str, tuple[Callable[..., Array], str, int]] = {
    "recurrent student of 64 teachers": (student, "gru", 64),
    "recurrent student of 4 teachers": (student, "gru", 4),
    "student of 64 without a memory": (student, "none", 64),
    "randomisation, recurrent": (randomised, "gru", 0),
    "randomisation, without a memory": (randomised, "none", 0),
    ALONE: (alone, "none", 1),
}


def rows_of(chosen: Options, name: str) -> list[dict[str, Any]]:
    """The results of one kind of policy."""
    make, memory, number = LEARNERS[name]
    run = partial(make, memory, number, chosen.steps)
    best, found = tried(run, GRID, chosen.seeds, score=lambda x: x[:, 0])
    rows = []
    for i, kind in enumerate(KINDS):
        mean, low, high = interval(found[:, i])
        row = {"policy": name, "learning rate": "" if name == ALONE else GRID[best]}
        rows.append(row | {"systems": kind, "score": mean, "low": low, "high": high})
    return rows


def pictured(rows: list[dict[str, Any]]) -> Figure:
    """The picture of the results of all policies."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for i, kind in enumerate(KINDS):
        some = [row for row in rows if row["systems"] == kind]
        mean, low, high = (np.array([row[k] for row in some]) for k in ("score", "low", "high"))
        place, away = np.arange(len(some)) + 0.4 * i, [mean - low, high - mean]
        axes.barh(place, mean, 0.4, xerr=away, color=f"C{i}", label=kind)
    axes.set_yticks(np.arange(len(LEARNERS)) + 0.2, list(LEARNERS))
    axes.invert_yaxis()
    axes.set(xlabel="cost of the system's own regulator over the cost", xlim=(0, 1.02))
    figure.legend(frameon=False, ncols=2, loc="outside upper center")
    axes.grid(alpha=0.3, axis="x")
    return figure


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce teachers", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    rows = [row for name in tqdm(LEARNERS, unit=" ways") for row in rows_of(chosen, name)]
    save(chosen.out, TITLE, rows, pictured(rows))
