"""Environments whose parameters are drawn for each episode, at random or by a teacher.

`tasked` draws the parameters of each episode; one lane of it draws for itself. A teacher that
learns from what was played has a state that all lanes share, and therefore stands above them:
`taught`, lanes of `jaxrl.watching.dependent`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl import spaces
from jaxrl.conditioned import Conditioned
from jaxrl.environments import composed, episode_statistics, scale_actions, strong
from jaxrl.errors import InputError, require, require_positive, typed_key
from jaxrl.types import (
    Array,
    Env,
    Key,
    TimeStep,
    Tree,
    lanes,
)
from jaxrl.watching import dependent


class Played(NamedTuple):
    """What a teacher is told after each step of all lanes."""

    params: Tree  # [B, ...] of the episode that each lane is in
    earned: Array  # [B] its undiscounted return so far
    length: Array  # [B] its steps so far
    over: Array  # [B] bool: it has just ended; the other lanes are in the middle of theirs


class Sampler(NamedTuple):
    """A teacher: a rule for the parameters of episodes, with a state that all lanes share.

    Parameters are drawn for every lane at every step, and used in the lanes that begin an episode,
    so that `draw` must not change the state: what a teacher has to know of a draw, such as the
    place of a level in its buffer, belongs to the parameters, and comes back with `report`.
    """

    init: Callable[[Key], Tree]  # the state before anything was played
    draw: Callable[[Tree, Key], Tree]  # (state, key) -> the parameters of one episode
    report: Callable[[Tree, Played], Tree]  # (state, what was played) -> state


def uniform(low: Tree, high: Tree) -> Sampler:
    """Parameters uniformly between `low` and `high`, trees of arrays [...] that do not depend.

    Real numbers are in [low, high), and whole ones in low, ..., high. Raises an InputError unless
    the trees have the same structure and shapes.
    """
    low, high = strong(low), strong(high)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), x) for x in (low, high)]
    require(shapes[0] == shapes[1], f"low and high must be alike, not {shapes[0]} and {shapes[1]}.")

    def draw(state: Tree, key: Key) -> Tree:
        leaves, structure = jax.tree.flatten(low)
        keys = structure.unflatten(list(jax.random.split(key, len(leaves))))

        def one(low: Array, high: Array, key: Key) -> Array:
            if jnp.issubdtype(low.dtype, jnp.integer):
                return jax.random.randint(key, low.shape, low, high + 1, low.dtype)
            return jax.random.uniform(key, low.shape, low.dtype, low, high)

        return jax.tree.map(one, low, high, keys)

    return Sampler(lambda key: (), draw, lambda state, played: state)


class Switch(NamedTuple):
    """The state of `switching`."""

    task: Array  # [] int32, the place of the parameters of new episodes
    played: Array  # [] int32, episodes with them that have ended
    key: Key


def switching(params: Tree, period: int | Array, order: str = "cyclic") -> Sampler:
    """One of the parameters [N, ...] for all episodes, and another one after `period` of them.

    Episodes of all lanes count together, when they end. The order is "cyclic", from the first on,
    or "random", where the next is uniformly one of the N - 1 others; the first is then random too.
    An episode that has begun keeps its parameters to its end. This is the environment of continual
    learning of Abel et al. (2023), "A definition of continual reinforcement learning", section 5,
    https://arxiv.org/abs/2307.11046. Raises an InputError for another order, for fewer than two
    parameters, or for a period that is not positive.
    """
    params = strong(params)
    number = lanes(params)
    require(order in ("cyclic", "random"), f"order must be cyclic or random, but it is {order!r}.")
    require(number > 1, "switching needs two parameters or more along the first axis.")
    require_positive(period=period)
    random = order == "random"

    def init(key: Key) -> Switch:
        first, rest = jax.random.split(key)
        task = jax.random.randint(first, (), 0, number) if random else jnp.int32(0)
        return Switch(task, jnp.int32(0), rest)

    def draw(state: Switch, key: Key) -> Tree:
        return jax.tree.map(lambda x: x[state.task], params)

    def report(state: Switch, played: Played) -> Switch:
        total = state.played + played.over.sum()
        # Many lanes may end at once: as many periods as have passed, and the rest is kept.
        passed, rest = total // period, total % period
        key, now = jax.random.split(state.key)
        jump = jax.random.randint(now, (), 1, number) if random else passed
        task = jnp.where(passed > 0, (state.task + jump) % number, state.task)
        return Switch(task.astype(jnp.int32), rest.astype(jnp.int32), key)

    return Sampler(init, draw, report)


class Task(NamedTuple):
    """The signals of an environment whose parameters are drawn: them, beside its own."""

    params: Any  # [..., *]; in a spec their shapes and types
    signals: Tree


class Tasked(NamedTuple):
    """The state of an environment whose parameters are drawn."""

    inner: Tree
    params: Tree


def tasked(
    make: Callable[[Tree], Env],
    sampler: Sampler,
    *,
    state: Tree = None,
    shown: bool = False,
    told: bool = True,
) -> Env:
    """An environment of one lane, made from parameters that are drawn anew for each episode.

    The parameters are part of its state. So lanes differ under `vectorize`, and each new episode
    has new parameters under `auto_reset`, or those of a pool's entry under `auto_reset_from_pool`,
    without anything more. One lane cannot know what others have played: the sampler draws from the
    given `state`, or as it is before anything was played. Teachers that learn need `taught`.

    Continuous actions are in [-1, 1] and scaled to the bounds of each task, which may therefore
    depend on the parameters. Other properties of the spec, and the shapes of arrays, may not.

    Args:
      make: from parameters to the environment of one lane. It is called with traced parameters, as
        `envs.make` accepts for all fields of gymnax's `EnvParams`, for brax's weights and time
        limits, and for `leak` of PanFlute. Not so the arguments of gymnax's constructors and the
        parameters of tabular processes: there, let the parameter be a place in a stack, as in
        `lambda i: envs.from_mdp(jax.tree.map(lambda x: x[i], processes))`.
      sampler: what draws the parameters.
      state: of the sampler, such as the one that `taught` ended with.
      shown: whether observations show the parameters, as the context of a `Conditioned`.
      told: whether they are told to learners, as the signals `Task`.

    Raises:
      InputError: if `make` does not accept traced parameters, or the spec depends on them.

    Example:
      tasked(lambda p: envs.make("CartPole-v1", length=p), uniform(0.5, 2.0))
    """

    def world(params: Tree) -> Env:
        env = make(params)
        return scale_actions(env) if spaces.has_continuous(env.spec.action) else env

    def drawn(key: Key) -> Tree:
        k_state, k_draw = jax.random.split(key)
        return strong(sampler.draw(sampler.init(k_state) if state is None else state, k_draw))

    def show(ts: TimeStep, params: Tree) -> TimeStep:
        if shown:
            obs, final = Conditioned(ts.obs, params), Conditioned(ts.final, params)
            ts = ts._replace(obs=obs, final=final)
        return ts._replace(signals=Task(params, ts.signals)) if told else ts

    def init(key: Key) -> tuple[Tasked, TimeStep]:
        k_task, k_env = jax.random.split(typed_key(key))
        params = drawn(k_task)
        inner, ts = world(params).init(k_env)
        return Tasked(inner, params), show(ts, params)

    def step(state: Tasked, action: Array, key: Key) -> tuple[Tasked, TimeStep]:
        inner, ts = world(state.params).step(state.inner, action, key)
        return state._replace(inner=inner), show(ts, state.params)

    params = jax.jit(drawn)(jax.random.key(0))
    if not isinstance(jnp.zeros(()), Tracer):  # a tracer inside of a trace only
        _require_traceable(world, params)
    env, shapes = world(params), jax.eval_shape(lambda: params)
    spec = env.spec
    if shown:
        mask = composed(spec.mask, lambda seen: seen.obs)
        spec = spec._replace(observation=Conditioned(spec.observation, shapes), mask=mask)
    spec = spec._replace(signals=Task(shapes, spec.signals)) if told else spec
    return env._replace(init=init, step=step, spec=spec)


def _require_traceable(world: Callable[[Tree], Env], params: Tree) -> None:
    """Raise an InputError unless environments can be made of traced parameters."""
    try:
        jax.eval_shape(lambda params: world(params).init(jax.random.key(0)), params)
    except (jax.errors.JAXTypeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise InputError(
            "An environment of this task cannot be made from parameters that are traced, because a "
            "shape or a branch depends on them, as on arguments of gymnax's constructors and on "
            f"parameters of tabular processes: index a stack instead, see tasked ({reason})."
        ) from None


def taught(
    make: Callable[[Tree], Env],
    sampler: Sampler,
    num: int,
    *,
    shown: bool = False,
    told: bool = True,
) -> Env:
    """`num` lanes of `tasked`, whose sampler learns from what all of them have played.

    The sampler is told of each step before it draws: an episode's parameters depend on all
    episodes that have ended before. They are of episodes with `episode_statistics`. Its state is
    the `value` of the state `Dependent`. Raises an InputError as `tasked` does.

    Example:
      lanes = lambda env, num: taught(make, sampler, num)
      setup = assemble(agent, tasked(make, sampler), hp, lanes=lanes)
    """

    def lane(state: Tree) -> Env:
        return episode_statistics(tasked(make, sampler, state=state, shown=shown, told=told))

    def after(state: Tree, lanes: Tree, ts: TimeStep) -> Tree:
        earned, length = ts.info["episode_return"], ts.info["episode_length"]
        return sampler.report(state, Played(lanes[0].params, earned, length, ts.last))

    env = tasked(make, sampler, shown=shown, told=told)
    return dependent(env, num, lane, sampler.init, after)
