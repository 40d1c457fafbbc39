"""Going on from what was learnt before: its parameters, its data, and caution that fades.

`jaxrl.assemble(..., base=learner)` begins with the parameters of another run and lets its policy
collect the warm-up. RLPD and WSRL are compositions of these functions: see `agents.AGENTS`.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.buffers import Buffer, Retained
from jaxrl.errors import require, require_positive
from jaxrl.normalise import Moments
from jaxrl.offline import without_data
from jaxrl.optimisers import share_left
from jaxrl.types import (
    Agent,
    Array,
    Counter,
    Experiment,
    Key,
    Run,
    Transition,
    Tree,
    Update,
    count,
)
from jaxrl.updates.gradient import Learner
from jaxrl.updates.offpolicy import Replay


class Handed(NamedTuple):
    """What an agent of another kind goes on from, within a state that has more parameters."""

    learner: Learner


def inherited(new: Tree, base: Tree) -> Tree:
    """The new state of an update, with what the state `base` of another one has learnt.

    It takes over parameters, target networks, the number of gradient steps and the statistics of
    observations; and the state of the optimiser where that has the same arrays, but for schedules,
    which begin anew. Whatever else there is, such as buffers, stays new. A state without gradient
    learners, such as a table, is taken over as a whole, and of one that has something `Handed` an
    agent with other sets of parameters takes over that. Raises an InputError that names what
    differs, unless the parameters have the same names and shapes.
    """
    mine, theirs = _nodes(new, Learner), _nodes(base, Learner)
    handed = _nodes(base, Handed)
    if handed and len(mine) != len(theirs):
        base = handed[0]
        theirs = _nodes(base, Learner)
    require(
        len(mine) == len(theirs),
        f"The run to go on from has {len(theirs)} sets of parameters, and this agent has "
        f"{len(mine)}: choose the agent that it was trained with, or a relative of it.",
    )
    if not mine:
        require_alike(without_data(base), without_data(new))
        return base
    seen, known = _nodes(new, Moments), _nodes(base, Moments)
    require(
        len(seen) == len(known),
        f"The run to go on from keeps {len(known)} sets of running statistics, and this agent "
        f"{len(seen)}: set normalise_observations and normalise_rewards as they were there.",
    )
    for a, b in zip(mine, theirs):
        require_alike(b.params, a.params)
    for a, b in zip(seen, known):
        require_alike(b, a)
    learners, moments = iter(map(_taken_over, mine, theirs)), iter(known)
    kinds = (Learner, Moments)

    def put(node: Any) -> Any:
        if isinstance(node, Learner):
            return next(learners)
        return next(moments) if isinstance(node, Moments) else node

    return jax.tree.map(put, new, is_leaf=lambda node: isinstance(node, kinds))


def _nodes(tree: Tree, kind: type) -> list[Any]:
    leaf = lambda node: isinstance(node, kind)
    return [node for node in jax.tree.leaves(tree, is_leaf=leaf) if leaf(node)]


def _taken_over(new: Learner, base: Learner) -> Learner:
    none = lambda tree: isinstance(tree, tuple) and not tree
    target = () if none(new.target) else base.params if none(base.target) else base.target
    schedule = lambda node: isinstance(node, optax.ScaleByScheduleState)
    begun = lambda mine, theirs: mine if schedule(mine) else theirs
    fits = _shapes(new.opt) == _shapes(base.opt)
    fits = fits and jax.tree.structure(new.opt) == jax.tree.structure(base.opt)
    opt = jax.tree.map(begun, new.opt, base.opt, is_leaf=schedule) if fits else new.opt
    return Learner(base.params, target, opt, base.taken)


def _shapes(tree: Tree) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return {name(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def require_alike(theirs: Tree, mine: Tree) -> None:
    """Raise an InputError that names the first array which another run has otherwise, or lacks."""
    there, here = _shapes(theirs), _shapes(mine)
    for name in [*there, *(name for name in here if name not in there)]:
        a, b = there.get(name, "absent"), here.get(name, "absent")
        require(
            a == b,
            f"The run to go on from does not fit: its {name or 'state'} is {a}, and that of this "
            f"agent is {b}; choose the same agent, or one with the same networks.",
        )


def beginning(exp: Experiment, base: Tree) -> Experiment:
    """An experiment, such as one on a data set, whose learner goes on from the state `base`."""

    def init(key: Key) -> Run:
        run = exp.init(key)
        return run._replace(learner=inherited(run.learner, base))

    return Experiment(init, exp.step)


def retaining(exp: Experiment, data: Buffer) -> Experiment:
    """An experiment that learns from `data` in each batch, as much as `replay`'s share says.

    The data set stays apart from what is collected. Raises an InputError if the agent of the
    experiment does not mix data into its batches, or if its steps are of another kind.
    """
    wants = lambda node: isinstance(node, Replay) and isinstance(node.data, Retained)

    def put(node: Any) -> Any:
        if not wants(node):
            return node
        same = node.buffer.layout == data.layout
        require(same, f"The data set holds {data.layout}, and the replay {node.buffer.layout}.")
        return node._replace(data=Retained(data))

    def init(key: Key) -> Run:
        run = exp.init(key)
        require(
            any(map(wants, jax.tree.leaves(run.learner, is_leaf=wants))),
            "This agent takes no share of its batches from a data set: choose sac, td3, dqn or "
            "another agent that replays, and a data_share above zero.",
        )
        return run._replace(learner=jax.tree.map(put, run.learner, is_leaf=wants))

    return Experiment(init, exp.step)


class Faded(NamedTuple):
    """The state of a learner one of whose numbers falls, and the rounds that it has learnt."""

    inner: Tree
    rounds: Array  # [] int32


def faded(make: Callable[[Any], Agent], weight: float | Array, rounds: float | Array) -> Agent:
    """The agent `make(w)`, where w falls linearly from `weight` to 0 over `rounds` of learning.

    With 0 rounds it stays. A round is one call of the update. A run that goes on from another one
    begins with the whole weight again.
    """
    agent = make(weight)

    def init(key: Key, example: Transition) -> Faded:
        return Faded(agent.update.init(key, example), jnp.zeros((), jnp.int32))

    def apply(state: Faded, batch: Transition, key: Key) -> tuple[Faded, dict]:
        now = make(weight * share_left(state.rounds, rounds))
        inner, metrics = now.update.apply(state.inner, batch, key)
        return Faded(inner, state.rounds + 1), metrics

    return agent._replace(update=Update(init, apply, lambda state: agent.update.read(state.inner)))


class Restarted(NamedTuple):
    """The state of a learner that begins anew once, and the batches until then."""

    inner: Tree
    calls: Counter
    key: Key  # of what is drawn anew: shards have different ones when they learn


POLICY = ("actor", "log_temperature")
"""The entries of parameters that a policy is made of, where critics stand beside it."""


def restarted(update: Update, calls: int, keep: Collection[str] = POLICY) -> Update:
    """An update whose learners begin anew, but for what they `keep`, after so many batches.

    Before batch number `calls` + 1 is learnt from, parameters and target networks are drawn again,
    but for entries of those names, and the state of the optimiser is that of the start; the number
    of gradient steps goes on. Where parameters have no such entries, all begin anew. What was
    learnt for one reward then does not mislead critics of another one. Raises an InputError if the
    number is not positive. Source: the critics of PEBBLE, Lee et al. (2021),
    https://arxiv.org/abs/2106.05091, which also learn from 100 batches at once then.
    """
    require_positive(calls=calls)

    def mixed(fresh: Tree, old: Tree) -> Tree:
        if not isinstance(fresh, dict):
            return fresh
        return {name: old[name] if name in keep else x for name, x in fresh.items()}

    def anew(fresh: Any, old: Any) -> Any:
        if not isinstance(fresh, Learner):
            return old
        params, target = mixed(fresh.params, old.params), mixed(fresh.target, old.target)
        return Learner(params, target, fresh.opt, old.taken)

    def init(key: Key, example: Transition) -> Restarted:
        k_init, k_new = jax.random.split(key)
        return Restarted(update.init(k_init, example), count(), k_new)

    def apply(state: Restarted, batch: Tree, key: Key) -> tuple[Restarted, dict]:
        leaf = lambda node: isinstance(node, Learner)
        begin = lambda inner: jax.tree.map(anew, update.init(state.key, batch), inner, is_leaf=leaf)
        # The number does not depend on a key, so that under vmap only one branch is computed.
        due = state.calls.value == calls
        inner = jax.lax.cond(due, begin, lambda inner: inner, state.inner)
        inner, metrics = update.apply(inner, batch, key)
        later = jnp.minimum(state.calls.value + 1, calls + 1)
        return Restarted(inner, Counter(later), state.key), metrics

    return Update(init, apply, lambda state: update.read(state.inner))
