"""Environments in which more than the agent steers: correctors, base policies, tasks in turn.

- `intervened`: a corrector may replace an action; learners are told what was executed.
- `residual`: a frozen policy acts, and the agent edits its actions within bounds.
- `autonomous`: tasks follow each other from where the last one ended, without resets.
- `misjudged`: a classifier that errs says what succeeded.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.conditioned import Conditioned
from jaxrl.environments import composed, require_box, scale_actions, strong
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.types import (
    Agent,
    Array,
    Box,
    Env,
    Key,
    Spec,
    TimeStep,
    Transition,
    Tree,
    Trial,
    select,
)


class Corrector(NamedTuple):
    """A rule that watches an agent in one lane, and may act in its place."""

    init: Callable[[], Tree]  # the memory at the start of an episode
    step: Callable[[Tree, Tree, Array, Key], tuple[Tree, Array, Array]]
    # step: (memory, obs, the agent's action, key) -> (memory, its own action, [] whether it acts)


class Executed(NamedTuple):
    """What the learners of an environment with a corrector are told of a step."""

    action: Any  # [..., *action] that was executed
    corrected: Any  # [...] bool, whether it was the corrector's
    signals: Tree  # of the environment itself


def intervened(env: Env, corrector: Corrector) -> Env:
    """An environment of one lane in which a corrector may replace the agent's action.

    Continuous actions are in [-1, 1] for both of them. Learners are told what was `Executed`, and
    `executed` lets them store that. Agents are evaluated without the corrector. Source: Luo et al.
    (2024), https://arxiv.org/abs/2410.21845.
    """
    env = scale_actions(env) if isinstance(env.spec.action, Box) else env
    spec = env.spec
    action = _action_of(spec)
    flag = jax.ShapeDtypeStruct((), jnp.bool_)

    def told(ts: TimeStep, action: Tree, corrected: Array) -> TimeStep:
        return ts._replace(signals=Executed(action, corrected, ts.signals))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), action)
        return (state, ts.obs, strong(corrector.init())), told(ts, blank, jnp.asarray(False))

    def step(state: tuple, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, obs, memory = state
        k_correct, k_env = jax.random.split(key)
        memory, other, acts = corrector.step(memory, obs, action, k_correct)
        acts = jnp.asarray(acts, bool)
        done = jax.tree.map(lambda x, y: x.astype(y.dtype), select(acts, other, action), action)
        inner, ts = env.step(inner, done, k_env)
        return (inner, ts.obs, strong(memory)), told(ts, done, acts)

    wider = spec._replace(signals=Executed(action, flag, spec.signals))
    trial = env.trial or Trial(env, lambda state: state)
    within = trial.within
    trial = trial._replace(within=lambda state: within(state[0]))
    return env._replace(init=init, step=step, spec=wider, trial=trial)


def _action_of(spec: Spec) -> Any:
    """The shape and type of an action."""
    if isinstance(spec.action, Box):
        return jax.ShapeDtypeStruct(spec.action.shape, jnp.float32)
    return jax.ShapeDtypeStruct((), jnp.int32)


def executed(agent: Agent) -> Agent:
    """An agent that learns from the actions that were executed, and tells the rate of corrections.

    The metric `intervention_rate` is the share of the steps of a rollout at which the corrector
    acted. It goes outside of everything that stores steps.
    """

    def swapped(batch: Transition) -> Transition:
        return batch._replace(action=batch.signals.action)

    def init(key: Key, example: Transition) -> Tree:
        return agent.update.init(key, swapped(example))

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        state, metrics = agent.update.apply(state, swapped(batch), key)
        rate = batch.signals.corrected.astype(jnp.float32)
        return state, metrics | ({"intervention_rate": rate.mean()} if rate.size else {})

    return agent._replace(update=agent.update._replace(init=init, apply=apply))


Policy = Callable[[Tree], Array]
"""Observations [..., *] -> actions [..., *action] in the environment's units, of a frozen policy.

`jaxrl.load` returns one.
"""


def residual(env: Env, base: Policy, scale: float | Array) -> Env:
    """An environment of one lane in which the agent edits the actions of a frozen policy.

    What is executed is clip(base(obs) + scale (high - low) / 2 e) for edits e in [-1, 1], and the
    observation is `Conditioned`: its context is the base's action. Raises an InputError unless
    actions are continuous. Source: Ankile et al. (2025), https://arxiv.org/abs/2509.19301.
    """
    low, high = require_box(env, "residual")
    shown = lambda ts, obs: Conditioned(obs, jnp.asarray(base(obs), jnp.float32))

    def show(state: Tree, ts: TimeStep) -> tuple[Tree, TimeStep]:
        return (state, ts.obs), ts._replace(obs=shown(ts, ts.obs), final=shown(ts, ts.final))

    def step(state: tuple, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, obs = state
        edit = scale * (high - low) / 2 * jnp.clip(action, -1.0, 1.0)
        done = jnp.clip(jnp.asarray(base(obs), jnp.float32) + edit, low, high)
        return show(*env.step(inner, done, key))

    spec, seen = env.spec, jax.ShapeDtypeStruct(low.shape, jnp.float32)
    one = jnp.ones_like(low)
    wider = spec._replace(
        observation=Conditioned(spec.observation, seen),
        action=Box(-one, one),
        mask=composed(spec.mask, lambda obs: obs.obs),
    )
    trial = env.trial and Trial(residual(env.trial.env, base, scale), _first(env.trial.within))
    init = lambda key: show(*env.init(key))
    return env._replace(init=init, step=step, spec=wider, trial=trial)


def _first(within: Callable[[Tree], Tree]) -> Callable[[Tree], Tree]:
    return lambda state: (within(state[0]), state[1])


def edits(data: Transition, base: Policy, scale: float | Array) -> Transition:
    """A data set [T, B, ...] of an environment with actions in [-1, 1], as `residual` shows it.

    An edit is (a - base(obs)) / scale, clipped to [-1, 1]: that of the frozen policy for the
    observation, and not of the data's own action, whose edits would all be zero.
    """
    mine, after = (jnp.asarray(base(obs), jnp.float32) for obs in (data.obs, data.final))
    edit = jnp.clip((data.action - mine) / scale, -1.0, 1.0)
    return data._replace(
        obs=Conditioned(data.obs, mine), final=Conditioned(data.final, after), action=edit
    )


class Task(NamedTuple):
    """What is to be done from wherever one is."""

    reward: Callable[[Tree], Array]  # successor [*] -> []
    solved: Callable[[Tree], Array]  # successor [*] -> [] bool, which ends the task


class InTurn(NamedTuple):
    """The state of a lane that does tasks in turn."""

    inner: Tree
    task: Array  # [] int32
    elapsed: Array  # [] int32, steps of this task so far
    turns: Array  # [] int32, tasks since the last reset


def autonomous(env: Env, tasks: Sequence[Task], limit: int, turns: int = 0) -> Env:
    """A lane that does tasks in turn, each from where the one before has ended.

    A task ends where it is solved, which is a termination, or after `limit` steps, which is a
    truncation; then the next one begins in the same state. Observations are `Conditioned`: their
    context is the task, one-hot. Rewards are those of the task. The lane is reset where the
    environment itself ends, and after every `turns` tasks, if they are not 0. Since it goes on by
    itself, lanes are made of it by `vectorize` alone: `assemble(..., lanes=vectorize)`. It is
    evaluated in its first task, from a reset. Source of going forward and backward: Yang et al.
    (2023), "Robot fine-tuning made easy", https://arxiv.org/abs/2310.15145. Raises an InputError if
    there are fewer than two tasks.
    """
    require(len(tasks) > 1, f"autonomous needs at least two tasks, but it has {len(tasks)}.")
    require_positive(limit=limit)
    count, kind = len(tasks), jnp.result_type(float)

    def seen(obs: Tree, task: Array) -> Conditioned:
        return Conditioned(obs, jax.nn.one_hot(task, count, dtype=kind))

    def init(key: Key) -> tuple[InTurn, TimeStep]:
        state, ts = strong(env.init(key))
        zero = jnp.int32(0)
        shown = seen(ts.obs, zero)
        return InTurn(state, zero, zero, zero), ts._replace(obs=shown, final=shown)

    def step(state: InTurn, action: Array, key: Key) -> tuple[InTurn, TimeStep]:
        k_step, k_reset = jax.random.split(key)
        inner, ts = strong(env.step(state.inner, action, k_step))
        at = lambda rule: jnp.stack([jnp.asarray(rule(task)(ts.final)) for task in tasks])
        solved = at(lambda task: task.solved)[state.task].astype(bool)
        reward = at(lambda task: task.reward)[state.task].astype(jnp.float32)
        over = solved | (state.elapsed + 1 >= limit) | ts.last
        done = state.turns + over
        fresh, first = init(k_reset)
        renewed = ts.last | ((turns > 0) & over & (done >= max(turns, 1)))
        task = jnp.where(over, (state.task + 1) % count, state.task)
        on = InTurn(inner, task, jnp.where(over, 0, state.elapsed + 1), done)
        shown = ts._replace(
            obs=select(renewed, first.obs, seen(ts.obs, task)),
            final=seen(ts.final, state.task),
            reward=reward,
            discount=jnp.where(solved, 0.0, ts.discount),
            last=over,
        )
        return select(renewed, fresh, on), shown

    context = jax.ShapeDtypeStruct((count,), kind)
    spec = env.spec._replace(
        observation=Conditioned(env.spec.observation, context),
        mask=composed(env.spec.mask, lambda obs: obs.obs),
    )
    return Env(init, step, spec, trial=None)


class Judged(NamedTuple):
    """What learners are told beside a reward that may be wrong."""

    reward: Any  # [...] the true one
    signals: Tree  # of the environment itself


def misjudged(env: Env, false_positive: float | Array, false_negative: float | Array) -> Env:
    """An environment of one lane whose reward is the verdict of a classifier that errs.

    A step succeeds where its reward is above 0. A success is paid 1, or 0 with the rate of false
    negatives, and any other step 0, or 1 with the rate of false positives. Episodes end as they
    did, and the true reward is told in the signals, as `Judged`. Agents are evaluated by it.
    """
    require_fraction(false_positive=false_positive, false_negative=false_negative)

    def told(ts: TimeStep, paid: Array) -> TimeStep:
        return ts._replace(reward=paid, signals=Judged(ts.reward, ts.signals))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return state, told(ts, ts.reward)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_step, k_judge = jax.random.split(key)
        state, ts = env.step(state, action, k_step)
        success = ts.reward > 0
        wrong = jax.random.uniform(k_judge) < jnp.where(success, false_negative, false_positive)
        return state, told(ts, (success ^ wrong).astype(jnp.float32))

    number = jax.ShapeDtypeStruct((), jnp.float32)
    spec = env.spec._replace(signals=Judged(number, env.spec.signals))
    trial = env.trial or Trial(env, lambda state: state)
    return env._replace(init=init, step=step, spec=spec, trial=trial)
