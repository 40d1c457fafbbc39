"""Checks of a person's input, made before anything is compiled."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.types import Box, Discrete, Key, Space, Spec, is_key


class InputError(ValueError):
    """A fault in what a person asked for, told in one sentence that names the valid choices.

    Whatever else is raised, Python's own ValueError included, is a fault of the program.
    """


def require(condition: bool, message: str) -> None:
    """Raise an InputError with `message`, one sentence, unless `condition` holds."""
    if not condition:
        raise InputError(message)


def require_values(holds: Callable[[Any], Any], rule: str, **values: Any) -> None:
    """Raise an InputError naming the first of `values` for which `holds` is false somewhere.

    Traced values are passed over: they come from a sweep whose points were checked before.
    """
    for name, value in values.items():
        if not isinstance(value, Tracer):
            # By numpy: inside a compiled function even an operation on concrete numbers is traced.
            fine = np.all(holds(np.asarray(value)))
            require(bool(fine), f"{name} must {rule}, but it is {value}.")


def require_positive(**sizes: Any) -> None:
    """Raise an InputError naming the first of `sizes` that is not above zero."""
    require_values(lambda x: x > 0, "be above zero", **sizes)


def require_non_negative(**sizes: Any) -> None:
    """Raise an InputError naming the first of `sizes` that is below zero or not a number."""
    require_values(lambda x: x >= 0, "not be negative", **sizes)


def require_fraction(**values: Any) -> None:
    """Raise an InputError naming the first of `values` that is outside [0, 1]."""
    require_values(lambda x: (x >= 0) & (x <= 1), "lie between 0 and 1", **values)


def typed_key(key: Any) -> Key:
    """A typed JAX key; one of the older kind, of `jax.random.PRNGKey`, is converted.

    Raises an InputError for anything else.
    """
    if is_key(key):
        return key
    words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    require(
        getattr(key, "dtype", None) == jnp.uint32 and jnp.shape(key)[-1:] == words,
        f"A key must be made by jax.random.key, as in jax.random.key(0), not {type(key).__name__}.",
    )
    return jax.random.wrap_key_data(key)


def require_discrete(spec: Spec, who: str) -> Discrete:
    """The discrete actions of a spec; an InputError in the name of `who` if they are others."""
    if not isinstance(spec.action, Discrete):
        raise InputError(f"{who} needs discrete actions, but {others(spec.action)}.")
    return spec.action


def require_continuous(spec: Spec, who: str) -> Box:
    """The continuous actions of a spec; an InputError in the name of `who` if they are others."""
    if not isinstance(spec.action, Box):
        raise InputError(f"{who} needs continuous actions, but {others(spec.action)}.")
    return spec.action


def require_one_player(spec: Spec, who: str) -> None:
    """Raise an InputError in the name of `who` if two players take turns."""
    require(
        spec.players == 1,
        f"{who} learns to play against a fixed opponent only, but here two players take turns: try "
        "alphazero, gumbel-muzero, ppo or dqn.",
    )


def others(space: Space) -> str:
    """What actions an environment has, and which agents take them, as the end of a sentence."""
    if isinstance(space, Discrete):
        return "this environment's are discrete: try ppo or dqn"
    if isinstance(space, Box):
        return "this environment's are continuous: try ppo or sac"
    return "this environment takes several at once: try ppo or dreamer"


def require_table(spec: Spec) -> tuple[int, int]:
    """The numbers of states and actions of a table for one-hot observations.

    Raises an InputError unless observations are one vector and actions discrete.
    """
    actions = require_discrete(spec, "A table").num
    leaves = jax.tree.leaves(spec.observation)
    require(
        len(leaves) == 1 and leaves[0].ndim == 1,
        "A table needs one-hot observations, as of chain, gridworld or FrozenLake: try dqn.",
    )
    return leaves[0].shape[0], actions


def unknown(kind: str, name: str, valid: Iterable[str], listed: str = "") -> InputError:
    """An InputError for a name that is not among the `valid` ones, with the nearest of them.

    If none is near, it has all, or says that the command `listed` prints them.
    """
    valid = sorted(valid)
    lower = {other.lower(): other for other in valid}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    every = f"{listed} lists all {len(valid)}." if listed else f"choose from {', '.join(valid)}."
    hint = f"did you mean {' or '.join(near)}?" if near else every
    return InputError(f"There is no {kind} called {name!r}: {hint}")


def require_known(kind: str, name: str, valid: Iterable[str]) -> None:
    """Raise `unknown` unless a name is among the `valid` ones."""
    valid = list(valid)
    if name not in valid:
        raise unknown(kind, name, valid)
