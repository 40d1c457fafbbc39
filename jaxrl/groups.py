"""Groups of lanes that share a start, and what members of a group say about each other.

Members begin at the same initial state and act independently. A member whose episode has ended
waits until all of its group have; then the group begins anew, together. Returns within a group
differ by actions and chance alone, so that each is a baseline of the others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.environments import strong
from jaxrl.errors import require, require_positive, typed_key
from jaxrl.types import Array, Env, Key, TimeStep, Transition, Tree, Update, select
from jaxrl.updates.onpolicy import prepared


class Grouped(NamedTuple):
    """The signals of lanes in groups [G * M], beside those of the environment."""

    active: Any  # [...] bool: the step was taken, and not waited through
    over: Any  # [...] bool: all members have ended, and the next step is of a new start
    earned: Any  # [...] the undiscounted return of this member's episode so far
    signals: Tree


class Lanes(NamedTuple):
    """The state of lanes in groups."""

    inner: Tree  # [G * M, ...]
    shown: TimeStep  # [G * M] the last step that was taken
    ended: Array  # [G * M] bool
    earned: Array  # [G * M]


def grouped(env: Env, groups: int, members: int) -> Env:
    """`groups` x `members` lanes of an environment of one lane, in the order of groups.

    Each group has one initial state, drawn anew when all of its members have ended. A lane that
    waits shows where its episode ended, with reward 0 and `last`, and is not `active`: multiply
    weights by that. This is a batch of lanes that begin new episodes by themselves, in place of
    `vectorize` and `auto_reset`. Raises an InputError unless both numbers are positive.
    """
    require_positive(groups=groups, members=members)
    number = groups * members

    def begin(key: Key) -> tuple[Tree, TimeStep]:
        keys = jnp.repeat(jax.random.split(key, groups), members)
        return jax.vmap(lambda key: strong(env.init(key)))(keys)

    def tell(ts: TimeStep, active: Array, over: Array, earned: Array) -> TimeStep:
        info = {**ts.info, "active": active}
        return ts._replace(signals=Grouped(active, over, earned, ts.signals), info=info)

    def init(key: Key) -> tuple[Lanes, TimeStep]:
        state, ts = begin(typed_key(key))
        no, zero = jnp.zeros(number, bool), jnp.zeros(number)
        return Lanes(state, ts, no, zero), tell(ts, no, no, zero)

    def step(state: Lanes, action: Array, key: Key) -> tuple[Lanes, TimeStep]:
        k_step, k_begin = jax.random.split(typed_key(key))
        keys, waits = jax.random.split(k_step, number), state.ended
        inner, now = jax.vmap(lambda *x: strong(env.step(*x)))(state.inner, action, keys)
        inner = select(waits, state.inner, inner)
        stands = state.shown._replace(reward=jnp.zeros(number), last=jnp.ones(number, bool))
        now = select(waits, stands, now)
        earned, ended = state.earned + now.reward, now.last
        over = jnp.repeat(ended.reshape(groups, members).all(-1), members)
        fresh, first = begin(k_begin)
        told = tell(now._replace(obs=select(over, first.obs, now.obs)), ~waits, over, earned)
        kept = select(over, jnp.zeros(number), earned)
        return Lanes(
            select(over, fresh, inner), select(over, first, now), ended & ~over, kept
        ), told

    boolean, real = (jax.ShapeDtypeStruct((), x) for x in (jnp.bool_, jnp.float32))
    signals = Grouped(boolean, boolean, real, env.spec.signals)
    return env._replace(init=init, step=step, spec=env.spec._replace(signals=signals))


def by_group(prepare: Callable[[Tree, Tree], Tree], members: int) -> Callable[[Tree, Tree], Tree]:
    """A function of (view, batch [T, G, M, ...]) as one of (view, batch [T, G * M, ...]).

    Both return such a tree; the second is what `updates.prepared` takes. Raises an InputError if
    lanes do not divide into groups of `members`.
    """
    require_positive(members=members)

    def flat(view: Tree, batch: Tree) -> Tree:
        steps, number = jax.tree.leaves(batch)[0].shape[:2]
        require(
            number % members == 0, f"{number} lanes do not divide into groups of {members} members."
        )
        split = lambda x: x.reshape(steps, number // members, members, *x.shape[2:])
        join = lambda x: x.reshape(steps, number, *x.shape[3:])
        return jax.tree.map(join, prepare(view, jax.tree.map(split, batch)))

    return flat


class Compared(NamedTuple):
    """Transitions, with the return of each step's episode relative to its group."""

    batch: Transition  # its weight is 0 where a lane waited, or where returns are not known
    advantage: Array  # [T, G, M]


Baseline = Callable[[Array], Array]
"""Returns [..., M] of a group to advantages [..., M]."""


def leave_one_out(returns: Array) -> Array:
    """The returns [..., M] minus the mean of the other members' returns; 0 for a group of one.

    Source: Kool et al. (2019), "Buy 4 REINFORCE samples, get a baseline for free!", equation 8,
    https://openreview.net/forum?id=r1lgTGL5DE.
    """
    members = returns.shape[-1]
    return (returns - returns.mean(-1, keepdims=True)) * members / max(members - 1, 1)


def standardised_by_group(returns: Array) -> Array:
    """The returns [..., M] minus their mean, over their standard deviation; 0 where that is 0.

    Source: Shao et al. (2024), "DeepSeekMath", section 4.1.2, https://arxiv.org/abs/2402.03300.
    """
    centred = returns - returns.mean(-1, keepdims=True)
    square = jnp.square(centred).mean(-1, keepdims=True)
    return jnp.where(square > 0, centred / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def relative(baseline: Baseline = leave_one_out) -> Callable[[Tree, Transition], Compared]:
    """Compare the returns of whole episodes within groups, of transitions [T, G, M] of `grouped`.

    A group whose episodes go on beyond the batch is left out by a weight of 0: make rollouts longer
    than episodes, or a multiple of them.
    """

    def prepare(view: Tree, batch: Transition) -> Compared:
        active, over, earned, _ = batch.signals

        def back(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
            over, earned = now
            known = over | carry[1]
            total = jnp.where(over, earned, carry[0])
            return (total, known), (total, known)

        start = (jnp.zeros_like(earned[0]), jnp.zeros_like(over[0]))
        _, (total, known) = jax.lax.scan(back, start, (over, earned), reverse=True)
        weight = batch.weight * active * known
        return Compared(batch._replace(weight=weight), baseline(total) * known)

    return prepare


def compared(update: Update, members: int, baseline: Baseline = leave_one_out) -> Update:
    """Learn from `Compared` transitions of lanes in groups of `members`, see `relative`."""
    return prepared(update, by_group(relative(baseline), members))
