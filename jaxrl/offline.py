"""Learning from a data set, without an environment.

A data set is an argument of the compiled program: the buffers that it fills are the same for all
seeds, and `shared` leaves one copy of them outside of the runs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl import sharding
from jaxrl.buffers import Buffer, Retained
from jaxrl.errors import require
from jaxrl.logged import from_arrays as from_arrays
from jaxrl.remote import Remote, remotes
from jaxrl.types import (
    Agent,
    Counter,
    Experiment,
    Key,
    Run,
    Transition,
    Tree,
    count,
)


def offline(agent: Agent, data: Transition) -> Experiment:
    """Learn from `data` [T, B, ...] alone: it fills the agent's replay, and nothing is added.

    A step of the experiment is one round of learning, with as many gradient steps as a round has
    online. The buffer must have room for all of the data. Raises an InputError if the agent does
    not replay: at once, or when `init` is traced if the data are traced or of no steps.
    """
    none = jax.tree.map(lambda x: jnp.zeros((0, *x.shape[1:]), x.dtype), data)

    def begin(key: Key, data: Transition) -> Tree:
        learner = agent.update.init(key, data)
        require(not remotes(learner), "A data set is on the device: it needs buffer_memory device.")
        require(
            bool(stored_data(learner)),
            "A data set needs an agent that replays, but this one learns only from steps that it "
            "has just taken, and would never see the data: try sac, td3 or dqn.",
        )
        return learner

    if not isinstance(data.reward, Tracer) and len(data.reward):
        jax.eval_shape(begin, jax.random.key(0), data)

    def init(key: Key) -> Run:
        k_learn, k_run = jax.random.split(key)
        return Run(begin(k_learn, data), (), k_run, count())

    def step(run: Run) -> tuple[Run, dict]:
        key = sharding.own(jax.random.fold_in(run.key, run.step.value))
        learner, metrics = agent.update.apply(run.learner, none, key)
        metrics = sharding.average(jax.tree.map(jnp.mean, metrics)) | {"episodes": jnp.zeros(())}
        return Run(learner, (), run.key, Counter(run.step.value + 1)), metrics

    return Experiment(init, step)


Kind = type | tuple[type, ...]
"""What counts as data: a `Buffer`, or `Retained` where a run has a buffer of its own beside it."""


def _is(kind: Kind) -> Callable[[Any], bool]:
    return lambda node: isinstance(node, kind)


def stored_data(tree: Tree, kind: Kind = Buffer) -> list[Any]:
    """The replay buffers of a tree, such as a run, in the order of its leaves."""
    return [node for node in jax.tree.leaves(tree, is_leaf=_is(kind)) if _is(kind)(node)]


def without_data(tree: Tree, kind: Kind = (Buffer, Retained, Remote)) -> Tree:
    """A tree whose replay buffers are replaced by `()`; actors read nothing from them."""
    return jax.tree.map(lambda node: () if _is(kind)(node) else node, tree, is_leaf=_is(kind))


def with_data(tree: Tree, like: Tree, data: Sequence[Any], kind: Kind = Buffer) -> Tree:
    """The inverse of `without_data`: `like` says where the buffers `data` belong."""
    rest = iter(data)
    put = lambda node, value: next(rest) if _is(kind)(node) else value
    return jax.tree.map(put, like, tree, is_leaf=_is(kind))


def shared(exp: Experiment, data: Sequence[Buffer] | Sequence[Retained]) -> Experiment:
    """An experiment on a data set whose runs leave the data out.

    `data` are of a run of `exp`, by `stored_data`: its buffers, or what is `Retained` beside them.
    They are the same in every member of a population and never written, so that one copy of them
    serves all members.
    """
    kind = Retained if any(map(_is(Retained), data)) else Buffer

    def step(run: Run) -> tuple[Run, dict]:
        like = jax.eval_shape(exp.init, run.key)
        run, metrics = exp.step(with_data(run, like, data, kind))
        return without_data(run, kind), metrics

    return Experiment(lambda key: without_data(exp.init(key), kind), step)
