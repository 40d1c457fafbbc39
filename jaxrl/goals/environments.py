"""Environments with goals: what is to be reached is shown beside each observation."""

from collections.abc import Callable
from typing import TypeGuard

import jax
import jax.numpy as jnp

from jaxrl.conditioned import Condition, Conditioned, Told, conditioned, goal, under
from jaxrl.conformance import types_of
from jaxrl.errors import require
from jaxrl.evaluation import SUCCESS
from jaxrl.types import Env, Goals, Key, Spec, TimeStep, Transition, Tree


def goaled(env: Env, goals: Goals, draw: Callable[[Key, Tree], Tree]) -> Env:
    """An environment of one lane in which each episode has a goal.

    Observations become `Conditioned(obs, goal)`, with the goal `draw(key, first observation)`. The
    rewards, and the ends if `goals.ends`, are those of the goal:

        r_{t+1} = reward[1] if reached(achieved(s_{t+1}), goal), else reward[0];

    the environment's own rewards are not paid, and its own ends stay. A goal counts as reached by
    the steps after the first observation, so that `draw` should avoid what is achieved already.
    `spec.goals` are the goals, and `info["episode_success"]` says whether the goal is reached.
    Apply it below time limits and auto-reset. Raises an InputError unless what is achieved and what
    is drawn are of the shapes of `goals.goal`.
    """
    check_goals(env.spec.observation, goals, draw)
    shown = conditioned(env, condition(goals, draw))

    def told(state: Tree, ts: TimeStep) -> tuple[Tree, TimeStep]:
        there = goals.reached(goals.achieved(ts.final.obs), ts.final.context)
        return state, ts._replace(info={**ts.info, SUCCESS: there})

    return shown._replace(
        init=lambda key: told(*shown.init(key)),
        step=lambda state, action, key: told(*shown.step(state, action, key)),
        spec=shown.spec._replace(goals=goals),
    )


def condition(goals: Goals, draw: Callable[[Key, Tree], Tree] | None = None) -> Condition:
    """The rule of goals for contexts; without `draw` it is for judging steps only."""
    first = draw or (lambda key, obs: goals.achieved(obs))
    reached = lambda wanted, obs: goals.reached(goals.achieved(obs), wanted)
    return goal(goals.goal, first, reached, goals.reward, goals.ends)


def judged(goals: Goals, wanted: Tree, batch: Transition) -> Transition:
    """Transitions [...] as they would have been with the goals `wanted` [..., *goal].

    What is stored of an environment tells whether a step ended for another reason than its goal.
    A data set does not: there no end but that of the goal is one, and all others are truncations.
    """
    found = under(condition(goals), wanted, with_signals(batch))
    return found if isinstance(batch.signals, Told) else found._replace(signals=batch.signals)


def with_signals(batch: Transition) -> Transition:
    """Transitions [...] of a data set, with the signals that an environment with goals would tell.

    No end but that of the goal is one. Transitions that have such signals stay as they are.

    Examples:
        >>> step = jaxrl.Transition(*(jnp.ones(1) for _ in range(6)), (), jnp.ones(1))
        >>> print(goals.with_signals(step).signals.discount)
        [1.]
    """
    if isinstance(batch.signals, Told):
        return batch
    return batch._replace(signals=Told(batch.reward, jnp.ones_like(batch.discount), batch.signals))


def has_goals(spec: Spec) -> TypeGuard[Spec]:
    """Whether the observations of a spec show goals."""
    return spec.goals is not None and isinstance(spec.observation, Conditioned)


def goals_of(spec: Spec, who: str) -> Goals:
    """The goals of a spec; an InputError in the name of `who` if it has none."""
    words = "must show goals, and this environment's do not"
    require(
        has_goals(spec),
        f"The observations for {who} {words}: try bit-flips, grid-maze or point-maze, or make one "
        "with jaxrl.goals.goaled.",
    )
    assert spec.goals is not None  # checked above; for the type checker
    return spec.goals


def check_goals(observation: Tree, goals: Goals, draw: Callable[[Key, Tree], Tree]) -> None:
    """Raise an InputError unless what is achieved and drawn are goals of the shapes that are said.

    `observation` are the shapes of one observation.
    """
    wanted = types_of(goals.goal)
    found = {
        "achieved": jax.eval_shape(goals.achieved, observation),
        "draw": jax.eval_shape(draw, jax.random.key(0), observation),
    }
    for name, value in found.items():
        require(
            types_of(value) == wanted,
            f"{name} must return goals as in goals.goal, {wanted[0]}, not {types_of(value)[0]}.",
        )
    there = types_of(jax.eval_shape(goals.reached, goals.goal, goals.goal))[0]
    require(there == "bool[]", f"reached must return one bool for one goal, not {there}.")
