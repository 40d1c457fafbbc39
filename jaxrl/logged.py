"""Logged steps as transitions, checked against the environment that they are said to be of."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.conditioned import Conditioned, inward
from jaxrl.errors import InputError, require, require_positive
from jaxrl.types import Array, Box, Discrete, Env, Spec, Transition, Tree


def from_arrays(
    observations: Tree,
    actions: Any,
    rewards: Any,
    terminations: Any,
    truncations: Any,
    spec: Spec | Env,
    *,
    next_observations: Tree = None,
    lanes: int = 1,
    rows: int = 1,
    who: str = "The data set",
) -> Transition:
    """The transitions [T, lanes, ...] of N logged steps, from numpy arrays or trees of them.

    Steps are in the order in which they were taken, one episode after another. An episode ends at
    each termination and truncation, and with the last step. Successors are those that were logged,
    and none is invented:

    - with `next_observations` [N, ...], they are those;
    - with `observations` [N + E, ...] of E episodes, an episode of n steps has n + 1 observations,
      one after another, the last of which no action follows;
    - with `observations` [N, ...] alone, the successor is the observation of the following step.
      That of the last step of an episode was not logged. Such a step is left out, and the one
      before it truncates the episode. Terminations are then refused, since their rewards, which
      matter most, would be lost.

    Each lane is a stretch of the steps, at whose end there is a boundary; what is left over of
    `lanes` stretches of a multiple of `rows` steps is left out.

    Args:
      observations: [N, ...] or [N + E, ...], of the structure, shapes and kinds of `spec`.
      actions: [N, ...] in the environment's own units. The transitions have them in [-1, 1], as
        agents of `jaxrl.loop.assemble` do.
      rewards: [N].
      terminations: [N] truth values: the successor ends the episode, and is worth nothing.
      truncations: [N] truth values: the episode was cut off, and its successor has a value.
      spec: of the environment, or the environment.
      next_observations: [N, ...] or None.
      lanes: the number of lanes, such as an agent's `num_envs`.
      rows: what divides the length of each lane, such as an agent's `rollout_length`.
      who: the subject of the sentences of errors.

    Raises:
      InputError: unless lengths agree, there are enough steps, all numbers are finite, and
        observations and actions have the types, shapes and ranges of the spec.

    Example:
      log = (observations, actions, rewards, terminations, truncations)
      data = from_arrays(*log, env, next_observations=successors, lanes=hp.collection.num_envs)
      exp = offline(assemble(sac, env, hp).agent, data)
    """
    spec = spec.spec if isinstance(spec, Env) else spec
    require_one_action(spec)
    reward, terminated, truncated = outcomes(rewards, terminations, truncations, who)
    number = len(reward)
    action = actions_of(np.asarray(actions), spec, number, who)
    last = terminated | truncated
    last[-1] = True
    episodes = int(last.sum())
    given = {np.shape(x)[0] if np.ndim(x) else 0 for x in jax.tree.leaves(observations)}
    if next_observations is not None:
        now = observations_of(observations, spec, number, who)
        after = observations_of(next_observations, spec, number, f"As next_observations, {who}")
    elif given == {number}:
        require(
            not terminated.any(),
            f"{who} has terminations, but not the observations that they led to: give "
            "next_observations, or observations that have one more for each episode.",
        )
        seen = observations_of(observations, spec, number, who)
        now, after = (jax.tree.map(lambda x, s=s: x[s], seen) for s in (slice(-1), slice(1, None)))
        known, ends = ~last[:-1], last[1:]
        require(bool(known.any()), f"{who} has no step whose successor is known.")
        now, after, action, reward, terminated, last = jax.tree.map(
            lambda x: x[known], (now, after, action[:-1], reward[:-1], terminated[:-1], ends)
        )
    else:
        why = f", one more for each of {episodes} episodes than its {number} rewards"
        seen = observations_of(observations, spec, number + episodes, who, why)
        place = np.arange(number) + np.cumsum(last) - last
        now, after = (jax.tree.map(lambda x, at=at: x[at], seen) for at in (place, place + 1))
    data = transitions(now, action, reward, terminated, last, after)
    return stretches(data, spec, lanes, rows, who)


def require_one_action(spec: Spec) -> None:
    """Raise an InputError unless actions are discrete or continuous, which data sets can hold."""
    require(
        isinstance(spec.action, Discrete | Box),
        "A data set needs discrete or continuous actions, but this environment takes several at "
        "once.",
    )


def transitions(
    now: Tree, action: Any, reward: Any, terminated: Any, last: Any, after: Tree
) -> Transition:
    """Transitions [N, ...] on the host, of steps that were checked."""
    one: Any = np.ones(len(reward), np.float32)
    return Transition(now, action, reward, one - terminated, last, after, (), one)


def stretches(
    data: Transition,
    spec: Spec,
    lanes: int,
    rows: int,
    who: str,
    remedy: str = "choose fewer lanes or rows",
) -> Transition:
    """Steps [N, ...] as lanes [T, lanes, ...] of a multiple of `rows`, with actions in [-1, 1].

    Each lane is a stretch of the steps; between two of them there is a boundary, and the rest is
    left out. Raises an InputError if there are too few steps, or no bounds to scale actions by.
    """
    data = in_lanes(data, lanes, rows, who, remedy)
    return data._replace(action=scaled(data.action, spec))


def in_lanes(
    data: Transition,
    lanes: int,
    rows: int,
    who: str,
    remedy: str = "choose fewer lanes or rows",
) -> Transition:
    """Steps [N, ...] as lanes [T, lanes, ...] of a multiple of `rows`, as `stretches` says."""
    require_positive(lanes=lanes, rows=rows)
    number = len(data.reward)
    steps = number // (lanes * rows) * rows
    require(
        steps > 0,
        f"{who} has {number} transitions, which is too few for {lanes} lanes of at least {rows}: "
        f"{remedy}.",
    )
    data = jax.tree.map(
        lambda x: np.swapaxes(x[: steps * lanes].reshape(lanes, steps, *x.shape[1:]), 0, 1), data
    )
    last = np.array(data.last)
    last[-1] = True
    return jax.tree.map(jnp.asarray, data._replace(last=last))


def scaled(action: Array, spec: Spec) -> Array:
    """Actions in [-1, 1], of those in the environment's units; their bounds may be traced."""
    if not isinstance(spec.action, Box):
        return action.astype(jnp.int32)
    low, high = spec.action
    bounds = [x for x in (low, high) if not isinstance(x, Tracer)]
    require(
        all(bool(np.isfinite(x).all()) for x in bounds),
        "Actions are scaled to [-1, 1], which needs finite bounds, but those of this environment "
        "are infinite: choose a range with envs.bound_actions(env, low, high).",
    )
    wide = jnp.where(high > low, high - low, 1.0)
    return jnp.where(high > low, 2 * (action - low) / wide - 1, 0.0)


def empty(spec: Spec, lanes: int) -> Transition:
    """No transitions [0, lanes, ...], of the shapes and types that `from_arrays` returns."""
    array = lambda x: jnp.zeros((0, lanes, *x.shape), x.dtype)
    obs, zero = jax.tree.map(array, spec.observation), jnp.zeros((0, lanes), jnp.float32)
    box, whole = spec.action, zero.astype(jnp.int32)
    action = jnp.zeros((0, lanes, *box.shape)) if isinstance(box, Box) else whole
    return Transition(obs, action, zero, zero, zero > 0, obs, (), zero)


def outcomes(
    rewards: Any, terminations: Any, truncations: Any, who: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards [N] as float32, and terminations and truncations [N] as bools.

    Raises an InputError in the name of `who` unless they are that, there is one, and all rewards
    are finite, and small enough for the squares of their sums.
    """
    reward = np.asarray(rewards)
    number = len(reward) if reward.ndim else 0
    require(number > 0, f"{who} has no steps.")
    real = reward.ndim == 1 and reward.dtype.kind in "fiub"
    require(real, f"{who} has rewards that are not one number for each step.")
    reward = finite(reward, np.float32, f"{who} has a reward that is not finite.")
    large = np.abs(reward).max()  # squares of sums of 1e4 rewards of 1e15 are finite
    words = (
        f"{who} has a reward of size {large:g}, but squares of sums of such beyond 1e15 overflow"
    )
    require(bool(large <= 1e15), f"{words}: divide all rewards by one number.")
    ends = {"terminations": np.asarray(terminations), "truncations": np.asarray(truncations)}
    for name, value in ends.items():
        fits = value.shape == (number,) and bool(np.isin(value, (0, 1)).all())
        require(fits, f"{who} has {number} rewards, but its {name} are not as many truth values.")
    terminated, truncated = (x.astype(bool) for x in ends.values())
    return reward, terminated, truncated


def finite(x: np.ndarray, dtype: Any, sentence: str) -> np.ndarray:
    """Numbers as another type; an InputError with `sentence` unless they are finite in it."""
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    require(bool(np.isfinite(x).all()), sentence)
    return x


def actions_of(action: np.ndarray, spec: Spec, number: int, who: str) -> np.ndarray:
    """The actions [N, ...] of `number` steps; an InputError unless they are those of the spec."""
    given = f"{who} has actions of shape {action.shape[1:]} and type {action.dtype}"
    if isinstance(spec.action, Box):
        low, high = spec.action
        right = action.shape[1:] == np.shape(low) and action.dtype.kind == "f"
        require(right, f"{given}, but those of the environment are real, of shape {np.shape(low)}.")
    else:
        assert isinstance(spec.action, Discrete)  # `require_one_action` has checked it
        right = action.shape[1:] == () and action.dtype.kind in "iu"
        require(right, f"{given}, but those of the environment are {spec.action.num} integers.")
        low, high = 0, spec.action.num - 1
    lengths = f"{who} has {number} rewards and {len(action)} actions, which must be as many."
    require(len(action) == number, lengths)
    require(bool(np.isfinite(action).all()), f"{who} has an action that is not finite.")
    if isinstance(low, Tracer) or isinstance(high, Tracer):
        return action
    low, high = np.asarray(low), np.asarray(high)
    slack = 1e-4 * np.maximum(np.abs(high - low), 1e-6) if action.dtype.kind == "f" else 0
    inside = bool(((action >= low - slack) & (action <= high + slack)).all())
    require(
        inside,
        f"{who} has actions from {action.min():g} to {action.max():g}, but those of the "
        f"environment lie between {low.min():g} and {high.max():g}.",
    )
    return action


def observations_of(obs: Tree, spec: Spec, number: int, who: str, why: str = "") -> Tree:
    """Observations [`number`, ...], of the structure and the dtypes of the spec.

    Several arrays become one vector, as by `envs.flatten_observation`, where the spec has one that
    is as long. Where the spec shows goals and there are none, each observation has the goal that it
    has reached. Raises an InputError in the name of `who` unless shapes and kinds of number agree,
    and they are as many, for the reason `why`.
    """
    plain = jax.tree.map(np.asarray, obs)
    if isinstance(spec.observation, Conditioned):
        part = lambda x, like: observations_of(x, Spec(like, spec.action), number, who, why)
        return inward(plain, spec, part, who)
    same = jax.tree.structure(plain) == jax.tree.structure(spec.observation)
    leaves = lambda tree: jax.tree.leaves(tree)
    if not same and len(leaves(spec.observation)) == 1 < len(leaves(plain)):
        plain = _flattened(plain, leaves(spec.observation)[0], number, who, why)
    if not same and len(leaves(plain)) == len(leaves(spec.observation)) == 1:
        plain = jax.tree.unflatten(jax.tree.structure(spec.observation), leaves(plain))
    elif not same:
        raise InputError(
            f"{who} has observations of {len(leaves(plain))} arrays, but the environment shows "
            f"{len(leaves(spec.observation))}, or they have other names."
        )

    def checked(x: np.ndarray, like: jax.ShapeDtypeStruct) -> np.ndarray:
        require(
            x.shape[1:] == like.shape,
            f"{who} has observations of shape {x.shape[1:]}, and the environment {like.shape}.",
        )
        lengths = f"{who} has {len(x)} observations, but must have {number}{why}."
        require(len(x) == number, lengths)
        kinds = {"f": "f", "i": "iu", "u": "iu", "b": "iub"}[np.dtype(like.dtype).kind]
        fits = x.dtype.kind in kinds
        if fits and x.dtype.kind != "f":
            bits = np.dtype(like.dtype)
            most = np.iinfo(bits) if bits.kind in "iu" else None
            low, high = (most.min, most.max) if most else (0, 1)
            fits = bool((x >= low).all() and (x <= high).all())
        require(
            fits, f"{who} has observations of type {x.dtype}, and the environment {like.dtype}."
        )
        return finite(x, like.dtype, f"{who} has an observation that is not finite.")

    return jax.tree.map(checked, plain, spec.observation)


def _flattened(
    tree: Tree, like: jax.ShapeDtypeStruct, number: int, who: str, why: str
) -> np.ndarray | Tree:
    """Arrays [`number`, ...] as vectors [`number`, n], if the spec has such; else as they are."""
    leaves = jax.tree.leaves(tree)
    if not all(x.ndim and x.dtype.kind in "fiub" for x in leaves):
        return tree
    if like.shape != (sum(math.prod(x.shape[1:]) for x in leaves),):
        return tree
    for x in leaves:
        lengths = f"{who} has {len(x)} observations, but must have {number}{why}."
        require(len(x) == number, lengths)
    return np.concatenate([x.reshape(number, -1).astype(np.float32) for x in leaves], 1)
