"""Observations with a context: a goal, a skill, a stock, a return still to be earned.

A `Condition` is the rule for a context: how an episode begins with one, how it goes on with each
step, and how the step is judged under it. `conditioned` shows the context in an environment;
`relabelled` lets an update learn from stored steps as if they had had another one. The stock of
`jaxrl.stock` is such a condition, and so are the goals of `jaxrl.goals`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.environments import composed
from jaxrl.errors import InputError, require
from jaxrl.types import Array, Env, Key, Spec, TimeStep, Transition, Tree, Update


class Conditioned(NamedTuple):
    """An observation, and the context in which the agent is to act on it."""

    obs: Tree  # [..., *observation]
    context: Tree  # [..., *context]


class Told(NamedTuple):
    """The signals of an environment whose condition judges: what the step was without it."""

    reward: Any  # [...]; in a spec its shape and type
    discount: Any  # [...]
    signals: Tree


Judge = Callable[[Tree, Array, TimeStep], TimeStep]
"""(context, action, step) -> the step with its reward, discount and last under that context."""


class Condition(NamedTuple):
    """A rule for contexts; its functions act on arrays of any leading axes."""

    context: Tree  # one jax.ShapeDtypeStruct per leaf of a context
    init: Callable[[Key, Tree], Tree]  # (key, observation) -> context of a new episode
    after: Callable[[Tree, Array, TimeStep], Tree]  # (context, action, step) -> the next context
    judge: Judge | None = None  # what a step pays under a context; None leaves it as it is


def constant(
    context: Tree, init: Callable[[Key, Tree], Tree], judge: Judge | None = None
) -> Condition:
    """A context that is drawn at the start of an episode and held until its end.

    With a `judge` this is a goal, whose reward depends on it; without one it is a skill or a user,
    whose rewards a learner makes. `context` and `init` are those of `Condition`.
    """
    return Condition(context, init, lambda context, action, step: context, judge)


def goal(
    context: Tree,
    init: Callable[[Key, Tree], Tree],
    reached: Callable[[Tree, Tree], Array],
    reward: tuple[float, float] = (-1.0, 0.0),
    ends: bool = True,
) -> Condition:
    """A goal that ends the episode where it is reached, unless `ends` is False.

    `reached(goal, observation)` is a bool [...] of a successor; `reward` is what a step pays that
    does not reach the goal, and what one pays that does. Rewards of the environment are ignored.
    """

    def judge(context: Tree, action: Array, step: TimeStep) -> TimeStep:
        there = reached(context, step.final)
        step = step._replace(reward=jnp.where(there, reward[1], reward[0]))
        if not ends:
            return step
        discount = jnp.where(there, 0.0, step.discount)
        return step._replace(discount=discount, last=step.last | there)

    return constant(context, init, judge)


def return_to_go(initial: Callable[[Key, Tree], Tree], gamma: float | Array = 1.0) -> Condition:
    """The discounted return that is still to be earned: (g - reward) / gamma after each step.

    `initial` draws that of a new episode, a float32.
    """

    def after(context: Array, action: Array, step: TimeStep) -> Array:
        return ((context - step.reward) / gamma).astype(context.dtype)

    return Condition(jax.ShapeDtypeStruct((), jnp.float32), initial, after)


def conditioned(env: Env, condition: Condition) -> Env:
    """An environment of one lane that shows a context with each observation, as `Conditioned`.

    Where the condition judges, rewards and ends are those of the context, and the environment
    tells learners its own as `Told`, so that they can be judged again. Apply it below auto-reset,
    so that each episode begins with a context of its own.
    """
    spec = env.spec
    signals = spec.signals

    def show(ts: TimeStep, context: Tree) -> TimeStep:
        return ts._replace(obs=Conditioned(ts.obs, context), final=Conditioned(ts.final, context))

    def told(ts: TimeStep) -> TimeStep:
        if condition.judge is None:
            return ts
        return ts._replace(signals=Told(ts.reward, ts.discount, ts.signals))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        env_key, context_key = jax.random.split(key)
        state, ts = env.init(env_key)
        context = condition.init(context_key, ts.obs)
        return (state, context), show(told(ts), context)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, context = state
        inner, ts = env.step(inner, action, key)
        judged = told(ts)
        if condition.judge is not None:
            judged = condition.judge(context, action, ts)._replace(signals=judged.signals)
        context = condition.after(context, action, ts)
        return (inner, context), show(judged, context)

    if condition.judge is not None:
        number = jax.ShapeDtypeStruct((), jnp.float32)
        signals = Told(number, number, signals)
    spec = spec._replace(
        observation=Conditioned(spec.observation, condition.context),
        mask=composed(spec.mask, lambda seen: seen.obs),
        signals=signals,
    )
    return env._replace(init=init, step=step, spec=spec)


def under(condition: Condition, context: Tree, batch: Transition) -> Transition:
    """The transitions [...] as they would have been under contexts [..., *].

    Observations show the context, successors show the one that follows, and rewards and discounts
    are those that the condition judges. A trajectory ends where it did, since what is stored behind
    it is of another episode, and where the condition ends it. Raises an InputError where it judges
    steps of an environment that did not tell its own rewards: see `conditioned`.
    """
    reward, discount = batch.reward, batch.discount
    if condition.judge is not None:
        require(
            isinstance(batch.signals, Told),
            "Steps can be judged again only if the environment told what they were: make it by "
            "jaxrl.conditioned.conditioned, and keep its signals.",
        )
        reward, discount, _ = batch.signals
    final = batch.final.obs
    step = TimeStep(final, reward, discount, batch.last, final, {}, batch.signals)
    later = condition.after(context, batch.action, step)
    if condition.judge is not None:
        step = condition.judge(context, batch.action, step)
    return batch._replace(
        obs=batch.obs._replace(context=context),
        final=batch.final._replace(context=later),
        reward=step.reward,
        discount=step.discount,
        last=step.last,
    )


def relabelled(
    update: Update, condition: Condition, draw: Callable[[Key, Transition], Tree]
) -> Update:
    """Learn from transitions as if they had had other contexts, which `draw(key, batch)` returns.

    It is for single transitions [B, ...], and for sequences where contexts are constant. A
    condition that does not judge may also have transitions folded by `n_step` outside of this.
    """

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        draw_key, learn_key = jax.random.split(key)
        return update.apply(state, under(condition, draw(draw_key, batch), batch), learn_key)

    return update._replace(apply=apply)


NAMES = ("observation", "desired_goal")
"""The names of an observation and of its context in files, which are those of Gymnasium."""


def outward(obs: Tree) -> Tree:
    """Observations as files hold them: those with a context are dictionaries of `NAMES`."""
    return dict(zip(NAMES, obs)) if isinstance(obs, Conditioned) else obs


def inward(obs: Tree, spec: Spec, part: Callable[[Tree, Tree], Tree], who: str) -> Conditioned:
    """Observations with a context, of those that files hold with one or without.

    `part(obs, like)` are those of one of the two, of the shapes `like`. Where there are goals, and
    none in the file, each observation has the goal that it has reached. Raises an InputError in the
    name of `who` if a context is missing otherwise.
    """
    if isinstance(obs, Conditioned):
        obs = outward(obs)
    now, context = spec.observation
    if isinstance(obs, dict) and NAMES[0] in obs:
        found = ", ".join(obs)
        require(NAMES[1] in obs, f"{who} has observations without {NAMES[1]}, but with {found}.")
        return Conditioned(part(obs[NAMES[0]], now), part(obs[NAMES[1]], context))
    if spec.goals is None:
        raise InputError(f"{who} has observations without the context that the environment shows.")
    seen = part(obs, now)
    return Conditioned(seen, jax.tree.map(np.asarray, spec.goals.achieved(seen)))
