"""Environments that are made from a value, which may be what they see of their learner.

The state of a teacher and the frozen copy of a learner that an environment plays against are such
values: the environment is made from them anew at each step, see `dependent`; `watching` is how it
comes to see the learner.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxrl.environments import strong, vectorize
from jaxrl.errors import require, require_positive, typed_key
from jaxrl.types import Agent, Array, Env, Experiment, Key, Run, TimeStep, Tree, select


class Dependent(NamedTuple):
    """The state of lanes that are made from a value."""

    lanes: Tree  # [num, ...]
    value: Tree


def dependent(
    env: Env,
    num: int,
    make: Callable[[Tree], Env],
    init: Callable[[Key], Tree],
    after: Callable[[Tree, Tree, TimeStep], Tree] = lambda value, state, ts: value,
) -> Env:
    """`num` lanes of an environment that is made from a value in its state, which may change.

    `make(value)` is the environment of one lane, with the shapes and the spec of `env` whatever the
    value is; `init(key)` is the first value, and `after(value, state, step)` the next one, from
    states and time steps [num, ...] after the step and before resets. Episodes that begin are of
    the new value, and episodes that go on continue under it. This is a batch of lanes that begin
    new episodes by themselves, in place of `vectorize` and `auto_reset`. As in `auto_reset`, an
    initial state is computed for each lane at each step.
    """
    require_positive(num=num)

    def start(key: Key) -> tuple[Dependent, TimeStep]:
        k_value, k_lanes = jax.random.split(typed_key(key))
        value = strong(init(k_value))
        state, ts = vectorize(make(value), num).init(k_lanes)
        return Dependent(state, value), ts

    def step(state: Dependent, action: Array, key: Key) -> tuple[Dependent, TimeStep]:
        k_step, k_begin = jax.random.split(typed_key(key))
        inner, ts = vectorize(make(state.value), num).step(state.lanes, action, k_step)
        value = after(state.value, inner, ts)
        fresh, begun = vectorize(make(value), num).init(k_begin)
        obs = select(ts.last, begun.obs, ts.obs)
        return Dependent(select(ts.last, fresh, inner), value), ts._replace(obs=obs)

    return env._replace(init=start, step=step)


Refresh = Callable[[Tree, Tree, Array], Tree]
"""(value, view, updates []) -> value: what an environment sees of its learner."""


def latest(period: int | Array = 1) -> Refresh:
    """A frozen copy of the learner's view, replaced at every `period`-th update."""
    require_positive(period=period)

    def refresh(value: Tree, view: Tree, updates: Array) -> Tree:
        # Not lax.cond: under vmap it would become this select, and a copy beside it.
        return select(updates % period == 0, view, value)

    return refresh


def watching(exp: Experiment, agent: Agent, refresh: Refresh) -> Experiment:
    """An experiment whose environment, of `dependent`, sees the learner.

    The environment's value is `refresh(value, view, updates)` after `init`, with 0 updates, and
    after each update. Whatever it keeps of views is part of the run, for each member of a
    population. Raises an InputError if the environment's lanes are not those of `dependent`.
    """

    def look(run: Run) -> Run:
        state, *rest = run.world
        require(
            isinstance(state, Dependent),
            "Only lanes of jaxrl.watching.dependent can see their learner.",
        )
        value = refresh(state.value, agent.update.read(run.learner), run.step.value)
        return run._replace(world=(state._replace(value=value), *rest))

    def step(run: Run) -> tuple[Run, dict]:
        run, metrics = exp.step(run)
        return look(run), metrics

    return Experiment(lambda key: look(exp.init(key)), step)
