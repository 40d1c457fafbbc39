"""Training in environments that run outside of compiled functions.

All lanes of all members are stepped together on the host; acting and learning are the functions of
the agent, compiled and vmapped over members as they are in any other environment.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import building, configuration, continuing, lanes, prefetched, streamed
from experiments.configuration import Configuration
from experiments.lanes import Lanes
from experiments.learning import added, compiled, watched
from experiments.population import Population, Program, Sums
from jaxrl import spaces
from jaxrl.buffers import Buffer
from jaxrl.continuing import inherited
from jaxrl.evaluation import Evaluation
from jaxrl.loop import learnt
from jaxrl.population import populate, usable_devices
from jaxrl.remote import remotes
from jaxrl.rollouts import none_of, random_policy
from jaxrl.types import (
    Array,
    Experiment,
    Key,
    Run,
    TimeStep,
    Transition,
    Tree,
    count,
    population_axes,
    select,
)

RESTARTED = (
    "The environment cannot be saved: its episodes begin anew, so the run goes on, but not bit for "
    "bit as it would have done."
)
Rows = tuple[Transition, dict]
"""A rollout [members, T, B, ...] and its info."""


def programmed(population: Population, data: list[Buffer]) -> Program:
    """The program of a population: compiled as a whole, or stepping its environment on the host."""
    config = population.config
    if lanes.outside(config.env):
        return hosted(population)
    found = compiled(population, data)
    if remotes(population.single):
        return prefetched.programmed(population, found)
    return streamed.programmed(population, data, found) if "block" in config.data else found


class World:
    """Lanes as [members, B] that begin anew by themselves, with the statistics of episodes."""

    def __init__(self, inner: Lanes, members: int) -> None:
        """Take over lanes: those of the first member, then those of the second, and so on."""
        self.inner, self.members = inner, members
        self.returns, self.lengths = np.zeros(0, np.float32), np.zeros(0, np.int32)

    def begin(self, seeds: np.ndarray) -> TimeStep:
        """The time step [members, B] at the start of new episodes, from seeds [members, B]."""
        self.returns = np.zeros(seeds.size, np.float32)
        self.lengths = np.zeros(seeds.size, np.int32)
        obs, zero = self.inner.begin(np.asarray(seeds).reshape(-1)), self.returns
        return self.folded(TimeStep(obs, zero, zero + 1, zero > 0, obs, self.statistics()))

    def step(self, action: Tree) -> TimeStep:
        """The time step [members, B] after actions [members, B, *], of new episodes at an end."""
        flat = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *np.shape(x)[2:]), action)
        final, reward, terminated, truncated = self.inner.step(flat)
        last = terminated | truncated
        self.returns, self.lengths = self.returns + reward, self.lengths + np.int32(1)
        info = self.statistics()
        obs = self.inner.restart(last) if last.any() else final
        self.returns, self.lengths = self.returns * ~last, self.lengths * ~last
        discount = 1 - terminated.astype(np.float32)
        return self.folded(TimeStep(obs, reward, discount, last, final, info))

    def statistics(self) -> dict:
        return {"episode_return": self.returns, "episode_length": self.lengths}

    def folded(self, tree: Tree) -> Tree:
        return jax.tree.map(lambda x: x.reshape(self.members, -1, *x.shape[1:]), tree)


def walked(
    world: World, now: TimeStep, memory: Tree, act: Callable, renew: Callable, length: int
) -> tuple[TimeStep, Tree, Rows]:
    """As `jaxrl.rollouts.rollout`, on the host and for all members.

    `act(memory, obs, t)` returns the agent's action, that of the environment, the next memory and
    what the actor reports; `renew(memory, last)` empties the memories of episodes that ended.
    """
    rows = []
    for t in range(length):
        action, real, memory, extras = act(memory, now.obs, np.int32(t))
        action, real, extras = jax.device_get((action, real, extras))
        new = world.step(real)
        one = np.ones_like(new.reward)
        row = Transition(
            now.obs, action, new.reward, new.discount, new.last, new.final, extras, one
        )
        rows.append((row, new.info))
        memory, now = renew(memory, new.last), new
    return now, memory, jax.tree.map(lambda *x: np.stack(x, 1), *rows)


def hosted(p: Population) -> Program:
    """The program of a population whose environment runs on the host.

    Its runs have the keys, and so the actions and the learning, of those that are compiled as a
    whole; only the episodes are drawn otherwise.
    """
    config, members, devices = p.config, len(p.seeds), p.mesh
    hp = configuration.hyperparameters(config, 0 if config.sweep else None)
    number, length = hp.collection.num_envs, hp.collection.rollout_length
    warmup = config.budget.warmup // number
    world = World(lanes.opened(config.env, config.env_params, members * number), members)
    build = lambda hp: building.build(config, hp)
    over = lambda fn, axes, out=0: jax.jit(populate(fn, axes, out, devices))

    def guess(key: Key, obs: Tree, t: Array, hp: Any) -> tuple:
        setup = build(hp)
        k = jax.random.split(jax.random.split(key, 4)[1], (max(warmup, 1), 2))[t, 0]
        actor = random_policy(setup.env.spec, setup.agent)
        return decided(config, actor.step(None, (), obs, k))

    def follow(key: Key, base: Tree, memory: Tree, obs: Tree, t: Array, hp: Any) -> tuple:
        """Act in the warm-up as the learner that a run goes on from."""
        setup, zero = build(hp), jnp.zeros(number)
        agent, random = setup.agent, random_policy(setup.env.spec, setup.agent)
        _, k_warm, k_learn, _ = jax.random.split(key, 4)
        k_begin = jax.random.split(k_learn, 3)[1]
        action, _, extras = jax.eval_shape(partial(random.step, None, ()), obs, k_begin)
        row = Transition(obs, action, zero, zero, zero > 0, obs, extras, zero)
        new = agent.update.init(k_begin, jax.tree.map(none_of, row))
        view = agent.update.read(inherited(new, base))
        k = jax.random.split(k_warm, (max(warmup, 1), 2))[t, 0]
        return decided(config, agent.explore.step(view, memory, obs, k))

    def explore(run: Run, memory: Tree, obs: Tree, t: Array, hp: Any) -> tuple:
        agent, key = build(hp).agent, jax.random.fold_in(run.key, run.step.value)
        k = jax.random.split(jax.random.split(key)[0], (length, 2))[t, 0]
        view = agent.update.read(run.learner)
        return decided(config, agent.explore.step(view, memory, obs, k))

    def first(key: Key, data: Transition, now: TimeStep, memory: Tree, base: Tree, hp: Any) -> Run:
        agent = build(hp).agent
        k_learn, k_run = jax.random.split(key, 4)[2:]
        if base is None:
            return Run(agent.update.init(k_learn, data), ((), now, memory), k_run, count())
        learner = agent.update.init(jax.random.split(k_learn, 3)[2], data)
        return Run(inherited(learner, base), ((), now, memory), k_run, count())

    def learn(run: Run, sums: Sums, now: TimeStep, memory: Tree, rows: Rows, hp: Any) -> tuple:
        agent = build(hp).agent
        k_learn = jax.random.split(jax.random.fold_in(run.key, run.step.value))[1]
        step = lambda run: learnt(agent, run, ((), now, memory), *rows, k_learn)
        new, metrics = watched(Experiment(lambda key: run, step)).step(run)
        return new, added(sums, metrics)

    empty = over(lambda key, hp: build(hp).agent.explore.init(number), (0, p.hp_axes))
    renewed = over(
        lambda memory, last, hp: select(last, build(hp).agent.explore.init(number), memory),
        (0, 0, p.hp_axes),
    )
    guess_all, explore_all = (
        over(fn, (axes, 0, *rest, None, p.hp_axes), (0, 0, 0, 0))
        for fn, axes, rest in ((guess, 0, ()), (explore, p.axes, (0,)))
    )
    first_all = lambda base: over(first, (0, 0, 0, 0, axes_of(base), p.hp_axes), p.axes)
    learn_all = jax.jit(
        populate(learn, (p.axes, 0, 0, 0, 0, p.hp_axes), (p.axes, 0), devices), donate_argnums=0
    )
    renew = lambda hp: (
        lambda memory, last: renewed(memory, last, hp) if jax.tree.leaves(memory) else memory
    )

    def start(p: Population, data: Transition | None) -> Run:
        keys = p.keys[:, 0]
        now = world.begin(seeds(jax.vmap(lambda key: jax.random.split(key, 4)[0])(keys), number))
        base, memory = continuing.begun(p.config, p.seeds), empty(keys, p.hp)
        act = lambda memory, obs, t: (*(x := guess_all(keys, obs, t, p.hp))[:2], memory, x[3])
        keep = lambda memory, last: memory
        if base is not None:
            axes, keep = (0, axes_of(base), 0, 0, None, p.hp_axes), renew(p.hp)
            follow_all = over(follow, axes, (0, 0, 0, 0))
            act = lambda memory, obs, t: follow_all(keys, base, memory, obs, t, p.hp)
        if warmup:
            now, memory, rows = walked(world, now, memory, act, keep, warmup)
        else:
            rows = (nothing(now, jax.eval_shape(act, memory, now.obs, np.int32(0))), {})
        return first_all(base)(keys, rows[0], now, memory, base, p.hp)

    def resume(p: Population, runs: Run) -> Run:
        keys = jax.vmap(lambda key: jax.random.fold_in(key, runs.step.value))(runs.key)
        now = world.begin(seeds(jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys), number))
        return runs._replace(world=((), now, empty(keys, p.hp)))

    def advance(runs: Run, sums: Sums, hp: Any, data: list[Buffer], updates: int) -> tuple:
        for _ in range(int(updates)):
            _, now, memory = runs.world
            now = jax.device_get(now)
            act = lambda memory, obs, t, runs=runs: explore_all(runs, memory, obs, t, hp)
            now, memory, rows = walked(world, now, memory, act, renew(hp), length)
            runs, sums = learn_all(runs, sums, now, memory, rows, hp)
        return runs, sums

    play = player(config, p.axes, p.hp_axes, members, config.episodes)
    at_step = jax.vmap(lambda keys, step: jax.random.fold_in(keys[1], step), (0, None))

    def evaluate(runs: Run, hp: Any, keys: Key) -> Evaluation:
        return play(runs, hp, at_step(keys, runs.step.value))

    one = jax.tree.map(
        lambda axis, x: x if axis is None else x[0], p.hp_axes, p.hp, is_leaf=lambda x: x is None
    )
    shapes = jax.eval_shape(lambda run: watched(build(one).experiment).step(run)[1], p.single)
    zeros = {name: np.zeros((members, *x.shape), np.float32) for name, x in shapes.items()}
    return Program(advance, evaluate, zeros, start, resume, RESTARTED)


def player(
    config: Configuration,
    axes: Run,
    hp_axes: Any,
    members: int,
    episodes: int,
    sampled: bool = False,
) -> Callable[..., Evaluation]:
    """A function of runs, hyperparameters and keys [members] that plays complete episodes.

    It is `jaxrl.evaluation.evaluate` on the host, and returns arrays [members, episodes].
    """
    opened: list[World] = []

    def exploit(run: Run, memory: Tree, obs: Tree, key: Key, t: Array, hp: Any) -> tuple:
        agent = building.build(config, hp).agent
        actor = agent.explore if sampled else agent.exploit
        view, k = agent.update.read(run.learner), jax.random.fold_in(key, t)
        return decided(config, actor.step(view, memory, obs, k))

    def empty(key: Key, hp: Any) -> Tree:
        agent = building.build(config, hp).agent
        return (agent.explore if sampled else agent.exploit).init(episodes)

    devices = usable_devices(members)
    act = jax.jit(populate(exploit, (axes, 0, 0, 0, None, hp_axes), (0, 0, 0, 0), devices))
    begin = jax.jit(populate(empty, (0, hp_axes), 0, devices))

    def play(
        runs: Run, hp: Any, keys: Key, watch: Callable[[TimeStep, Lanes], None] = ignore
    ) -> Evaluation:
        if not opened:
            params = {k: v for k, v in config.env_params.items() if k != "workers"}
            opened.append(World(lanes.opened(config.env, params, members * episodes), members))
        world = opened[0]
        k_init, k_run = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        now, memory = world.begin(seeds(k_init, episodes)), begin(keys, hp)
        done = np.zeros((members, episodes), bool)
        returns, lengths = np.zeros(done.shape, np.float32), np.zeros(done.shape, np.int32)
        for t in range(config.max_episode_steps):
            watch(now, world.inner)
            _, real, memory, _ = act(runs, memory, now.obs, k_run, np.int32(t), hp)
            now = world.step(jax.device_get(real))
            returns, lengths = returns + np.where(done, 0, now.reward), lengths + ~done
            done = done | now.last
            if done.all():
                break
        watch(now, world.inner)
        return Evaluation(returns, lengths, done)

    return play


def ignore(now: TimeStep, inner: Lanes) -> None:
    """Watch nothing."""


def film(
    config: Configuration, hp: Any, run: Run, seed: int, limit: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """One greedy episode of a member: observations [T, *], rewards [T], and its pictures if any."""
    axes = population_axes(run)
    add = lambda axis, x: x if axis is None else jax.tree.map(lambda y: y[None], x)
    runs = jax.tree.map(add, axes, run, is_leaf=lambda axis: axis is None)
    config = dataclasses.replace(config, max_episode_steps=limit)
    steps: list[TimeStep] = []
    drawn: list[np.ndarray] = []

    def watch(now: TimeStep, inner: Lanes) -> None:
        steps.append(now)
        picture = inner.picture()
        drawn.extend([] if picture is None else [picture])

    keys = jax.random.key(seed)[None]
    player(config, axes, jax.tree.map(lambda _: None, hp), 1, 1)(runs, hp, keys, watch)
    observations = [jax.tree.leaves(now.obs)[0][0, 0] for now in steps[:-1]]
    return np.stack(observations), np.array([now.reward[0, 0] for now in steps[1:]]), drawn[:-1]


def decided(config: Configuration, out: tuple) -> tuple:
    """What an actor returned, with the action as the environment takes it after the agent's."""
    action, memory, extras = out
    space = spaces.plain(configuration.make_env(config).spec.action)
    return action, spaces.from_unit(space, action), memory, extras


def seeds(keys: Key, number: int) -> np.ndarray:
    """Seeds [members, number] below 2**31 for the lanes of members with keys [members]."""
    draw = jax.vmap(lambda key: jax.random.bits(key, (number,)))
    return np.asarray(draw(keys)).astype(np.int64) // 2


def nothing(now: TimeStep, acted: tuple) -> Transition:
    """No transitions [members, 0, B, ...], shaped by a time step and an actor's output."""
    action, _, _, extras = acted
    row = Transition(now.obs, action, now.reward, now.discount, now.last, now.final, extras,
                     now.reward)  # fmt: skip
    return jax.tree.map(lambda x: jnp.moveaxis(none_of(x), 0, 1), row)


def axes_of(base: Tree | None) -> Any:
    """The axes of the learners that members go on from."""
    return None if base is None else population_axes(base)
