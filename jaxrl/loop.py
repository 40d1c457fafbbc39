"""The one training loop, which alternates interaction and learning."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl import sharding, spaces
from jaxrl.budget import budget, check_collection, resolve_decay
from jaxrl.conformance import alike, conforming
from jaxrl.continuing import inherited
from jaxrl.environments import (
    auto_reset,
    auto_reset_from_pool,
    episode_statistics,
    scale_actions,
    vectorize,
)
from jaxrl.errors import InputError, require, require_positive, typed_key
from jaxrl.evaluation import SUCCESS, evaluate, mean_costs
from jaxrl.remote import require_on_device
from jaxrl.rollouts import random_policy, rollout
from jaxrl.types import (
    Agent,
    Array,
    Counter,
    Env,
    Experiment,
    Key,
    Run,
    Spec,
    Transition,
    Tree,
    count,
    share_counters,
)

EPISODE_METRICS = ("episode_return", "episode_length", "episode_repeats", SUCCESS)


Observe = Callable[[Tree, Key], dict]
"""What else to report of a learner, a pure function of what its actors see: (view, key) -> dict."""


def experiment(
    env: Env,
    agent: Agent,
    rollout_length: int,
    warmup: int = 0,
    observe: Observe | None = None,
    base: Tree | None = None,
) -> Experiment:
    """Alternate `rollout_length` steps in each lane of `env` with one update of `agent`.

    `warmup` is the number of steps in each lane, taken at random before the first update and
    handed to the update's `init`. With `base`, the state of another learner, the policy that was
    learnt there takes these steps, and what was learnt is taken over: see
    `jaxrl.continuing.inherited`. The metrics of a step are means over its transitions; those of
    finished episodes are left as sums per transition, which `advance` turns into means, so that
    averaging over any number of steps stays exact. What `observe` returns of the learner before an
    update, numbers by name, is reported too. A run may come out of `jax.vmap`, which gives
    each member a copy of the counters: they are made one again.
    """

    def init(key: Key) -> Run:
        k_env, k_warm, k_learn, k_run = jax.random.split(typed_key(key), 4)
        k_env, k_warm = sharding.own(k_env), sharding.own(k_warm)
        state, now = env.init(k_env)
        random = lambda key, steps: rollout(
            env, random_policy(env.spec, agent), None, (state, now, ()), key, steps
        )
        memory = agent.explore.init(now.reward.shape[0])
        if base is None:
            (state, now, _), data, _ = random(k_warm, warmup)
            learner = agent.update.init(k_learn, data)
            return Run(learner, (state, now, memory), k_run, count())
        k_none, k_begin, k_learn = jax.random.split(k_learn, 3)
        begun = inherited(agent.update.init(k_begin, random(k_none, 0)[1]), base)
        view = agent.update.read(begun)
        world, data, _ = rollout(env, agent.explore, view, (state, now, memory), k_warm, warmup)
        return Run(inherited(agent.update.init(k_learn, data), base), world, k_run, count())

    def step(run: Run) -> tuple[Run, dict]:
        run = share_counters(run)
        key = sharding.own(jax.random.fold_in(run.key, run.step.value))
        k_roll, k_learn = jax.random.split(key)
        view = agent.update.read(run.learner)
        with jax.named_scope("rollout"):
            world, data, info = rollout(env, agent.explore, view, run.world, k_roll, rollout_length)
        new, metrics = learnt(agent, run, world, data, info, k_learn)
        if observe is not None:  # a key beside the others, so that observing changes nothing
            metrics |= sharding.average(observe(view, jax.random.fold_in(key, 2)))
        return new, metrics

    return Experiment(init, step)


def learnt(
    agent: Agent, run: Run, world: tuple, data: Transition, info: dict, key: Key
) -> tuple[Run, dict]:
    """The run after one update, and its metrics: the second half of a step of `experiment`.

    The first half was a rollout that ended in `world` and returned `data` and `info`, [T, B, ...].
    """
    with jax.named_scope("learn"):
        learner, metrics = agent.update.apply(run.learner, data, key)
    metrics = jax.tree.map(jnp.mean, metrics) | finished(info, data.last)
    metrics = sharding.average(metrics)
    return Run(learner, world, run.key, Counter(run.step.value + 1)), metrics


def finished(info: dict, last: Array) -> dict:
    """Sums over finished episodes in a rollout [T, B], per transition.

    Where lanes may wait, those that do are not counted again: `info["active"]` tells.
    """
    last = last & info.get("active", True)
    over = lambda x: (last * x).mean()
    return {"episodes": last.mean()} | {
        name: over(info[name]) for name in EPISODE_METRICS if name in info
    }


def episode_means(metrics: dict) -> dict:
    """The means over finished episodes of averaged metrics: 0 where no episode finished."""
    ended = metrics["episodes"]
    return metrics | {
        name: metrics[name] / jnp.where(ended > 0, ended, 1.0)
        for name in EPISODE_METRICS
        if name in metrics
    }


def summarise(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics on the host, as numpy arrays: NaN in place of means over no episode at all.

    Compiled code never makes a NaN on purpose, so that `jax_debug_nans` finds only true faults:
    there, `episode_return` and `episode_length` are 0 where `episodes` is 0. Call this on what a
    compiled function returned, before plotting or averaging.
    """
    values = {name: np.asarray(value) for name, value in metrics.items()}
    return values | {
        name: np.where(values["episodes"] > 0, values[name], np.nan)
        for name in EPISODE_METRICS
        if name in values and "episodes" in values
    }


def advance(exp: Experiment, run: Run, steps: int | Array) -> tuple[Run, dict]:
    """Take `steps` steps of an experiment; the metrics are their means.

    A number of steps that is traced serves intervals of several lengths with one compiled program,
    must be the same in all members of a population, and cannot be differentiated in reverse mode.
    Returns the run and a dict of the update's metrics, `episodes` (finished per environment step),
    `episode_return` and `episode_length` (their means; 0 if `episodes` is 0: see `summarise`).
    Raises an InputError if `steps` is a number that is not positive, or if a replay buffer is in
    host memory, which `jaxrl.prefetch` serves.
    """
    require_on_device(run.learner)
    if not isinstance(steps, Tracer):
        require_positive(steps=steps)
        run, metrics = jax.lax.scan(lambda run, _: exp.step(run), run, None, int(steps))
        return run, episode_means(jax.tree.map(lambda x: x.mean(0), metrics))

    def step(_: Array, carry: tuple[Run, dict]) -> tuple[Run, dict]:
        run, metrics = exp.step(carry[0])
        return run, jax.tree.map(jnp.add, carry[1], metrics)

    shapes = jax.eval_shape(exp.step, run)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.result_type(x, float)), shapes)
    run, sums = jax.lax.fori_loop(0, steps, step, (run, zeros))
    return run, episode_means(jax.tree.map(lambda x: x / steps, sums))


class Setup(NamedTuple):
    """An agent at work in an environment."""

    experiment: Experiment
    agent: Agent
    env: Env  # one lane, as the agent sees it: what `evaluate` wants, `Env.trial` if there is one
    parts: Callable[[], Run] | None = None  # of a run in shards: see `jaxrl.sharding.Sharded`


def self_resetting(env: Env, num: int) -> Env:
    """`num` lanes of an environment that begin new episodes by themselves.

    `env.fresh` initial states are drawn per lane and step: with 1 by `auto_reset`, and else by
    `auto_reset_from_pool`, with a pool that all lanes can restart from at once. Raises
    `InputError` if `num` or `env.fresh` is not positive.
    """
    if not env.fresh > 0:
        raise InputError(f"An environment needs a share `fresh` above zero, not {env.fresh}.")
    lanes, refresh = vectorize(env, num), max(1, math.ceil(env.fresh * num))
    if refresh >= num:
        return auto_reset(lanes)
    size = -(-max(256, num) // refresh) * refresh
    return auto_reset_from_pool(lanes, size=size, refresh=refresh)


def assemble(
    make_agent: Callable[[Spec, Any], Agent],
    env: Env,
    hp: Any,
    steps: float | None = None,
    lanes: Callable[[Env, int], Env] = self_resetting,
    base: Tree | None = None,
    shards: int = 1,
) -> Setup:
    """Put an agent to work on one lane of an environment, as its hyperparameters say.

    Continuous actions are scaled to [-1, 1]; as many lanes as `hp.collection` says run side by side
    and begin a new episode at each boundary. `lanes(env, num)` makes them: see `self_resetting`,
    and for others `jaxrl.groups.grouped` and `jaxrl.tasks.taught`. With `steps`, the length of the
    run, the learning rate decays over a share of it, as `hp.optimisation` says. `base` is the
    state of a learner to go on from: see `experiment`. With several `shards`, each has an equal
    part of the lanes, the replay and the batches, and they learn as one: see `jaxrl.sharding`.
    Raises an InputError of one sentence for hyperparameters that do not fit each other, the
    environment, that learner or the shards.
    May be called inside a trace, with traced numbers.
    """
    check_collection(hp)
    hp = sharding.divided(resolve_decay(hp, steps), shards)
    env = fitted(env)
    judged = env if env.trial is None else fitted(env.trial.env)
    require(
        alike(judged.spec, env.spec),
        "An environment and the one in which its agents are evaluated, Env.trial, must have the "
        "same observations and actions: transform both, or the game that both are made of.",
    )
    agent = make_agent(env.spec, hp)
    many = lanes(episode_statistics(env), hp.collection.num_envs)
    warmup = budget(hp, 1, 1).warmup // hp.collection.num_envs
    exp = experiment(many, agent, hp.collection.rollout_length, warmup, base=base)
    return in_shards(Setup(exp, agent, judged), shards)


def in_shards(setup: Setup, shards: int) -> Setup:
    """An agent at work in `shards` shards that learn as one, each of which has the setup of one."""
    if shards == 1:
        return setup
    exp, parts = sharding.sharded(setup.experiment, shards, setup.agent)
    return setup._replace(experiment=exp, parts=parts)


def fitted(env: Env) -> Env:
    """One lane that conforms, with continuous actions in [-1, 1]."""
    env = conforming(env)
    return scale_actions(env) if spaces.has_continuous(env.spec.action) else env


class Result(NamedTuple):
    """What a training run leaves."""

    run: Run
    metrics: dict  # each [evaluations]; "evaluation_return" is the mean over its episodes


def make_train(
    make_agent: Callable[[Spec, Any], Agent],
    env: Env | Callable[[Any], Env],
    hp: Any,
    steps: float,
    evaluations: int = 20,
    episodes: int = 16,
    assemble: Callable[..., Setup] = assemble,
    observe: Observe | None = None,
) -> Callable[..., Result]:
    """`train(key, hp=hp) -> Result`: a whole training run as one pure function.

    It takes at least `steps` environment steps, warm-up included, and evaluates `evaluations`
    times on `episodes` complete episodes, as `budget` says. Everything is built inside the traced
    function, so that `jax.vmap` over keys, over any numeric hyperparameter, or over both, just
    works; `env` may be a function of the hyperparameters. `assemble(make_agent, env, hp, steps)`
    puts the agent to work, such as `jaxrl.games.self_play` in a game. What `observe` returns of the
    learner at an evaluation is among the metrics. The metric `env_steps` is exact below 2**32 and
    rounded to float32 above. Raises an InputError at once if hyperparameters and environment do
    not fit.
    """
    require_positive(episodes=episodes)
    lane = env if callable(env) else lambda hp: env
    assemble(make_agent, lane(hp), hp, steps)
    budget(hp, steps, evaluations)

    def train(key: Key, hp: Any = hp) -> Result:
        setup, spent = assemble(make_agent, lane(hp), hp, steps), budget(hp, steps, evaluations)
        k_run, k_evaluate = jax.random.split(typed_key(key))
        equal = len(set(spent.blocks)) == 1
        dtype = jnp.uint32 if spent.steps < 2**32 else jnp.float32

        def block(run: Run, size: Array) -> tuple[Run, dict]:
            run, metrics = advance(setup.experiment, run, spent.blocks[0] if equal else size)
            view = setup.agent.update.read(run.learner)
            k = jax.random.fold_in(k_evaluate, run.step.value)
            score = evaluate(setup.env, setup.agent.exploit, view, k, episodes)
            env_steps = spent.warmup + run.step.value.astype(dtype) * spent.per_update
            seen = {"env_steps": env_steps, "evaluation_return": score.returns.mean()}
            seen |= {f"evaluation_cost_{name}": x for name, x in mean_costs(score).items()}
            told = {} if observe is None else observe(view, jax.random.fold_in(k, 2))
            return run, metrics | seen | told

        sizes = jnp.asarray(spent.blocks, jnp.int32)
        return Result(*jax.lax.scan(block, setup.experiment.init(k_run), sizes))

    return train
