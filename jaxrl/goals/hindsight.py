"""Learning from stored steps under goals that were reached later, or elsewhere.

A transition is true under any goal: only its reward and its end depend on the goal. Where the
dynamics are random, goals that were reached later favour lucky outcomes: a step from which a goal
is reached by chance is learnt from under that goal most often when it was. Goals that do not depend
on what followed, which are those of `random`, have no such bias.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl.errors import require, require_known
from jaxrl.fields import FRACTION, POSITIVE, check_fields, number, record, static
from jaxrl.goals.environments import goals_of, judged
from jaxrl.goals.stored import Stored, at, remembered, stored
from jaxrl.types import Agent, Array, Goals, Key, Spec, Transition, Tree, Update, select
from jaxrl.updates import n_step, replayed, require_buffer

OFFSETS = ("uniform", "geometric")


@record
class Hindsight:
    """Shares of transitions that are learnt from under other goals than their own."""

    future: float = number(0.8, FRACTION)
    """Share under what is achieved at a later step of the episode, this step included."""
    final: float = number(0.0, FRACTION)
    """Share under what is achieved at the end of the episode."""
    random: float = number(0.0, FRACTION)
    """Share under what is achieved at any stored step."""
    current: float = number(0.0, FRACTION)
    """Share under what was achieved before the step already."""
    offsets: str = static("uniform")
    """Which later step of the episode: a uniform one, or one that is k steps ahead with the
    geometric probability (1 - discount) discount^(k - 1), and the last one if that is beyond the
    end."""
    horizon: int = static(50, POSITIVE)
    """Steps of an episode that are looked at from each transition, where it was collected. A data
    set is looked at whole."""


KINDS = ("future", "final", "random", "current")


def check_hindsight(settings: Hindsight) -> None:
    """Raise an InputError for shares above one together, or an unknown word."""
    check_fields(settings)
    require_known("offsets", settings.offsets, OFFSETS)
    shares = [getattr(settings, kind) for kind in KINDS]
    if not any(isinstance(x, Tracer) for x in shares):
        require(
            sum(shares) <= 1 + 1e-6,
            f"The shares {', '.join(KINDS)} must be at most 1 together, but they are "
            f"{sum(shares):g}.",
        )


def ahead(key: Key, remaining: Array, discount: float | Array | None = None) -> Array:
    """How many steps [...] ahead, int32, from 1 to `remaining` [...].

    They are uniform, or with a discount geometric: P(k) = (1 - discount) discount^(k - 1) below
    the last step, which has all the rest.
    """
    u = jax.random.uniform(key, remaining.shape)
    if discount is None:
        step = u * remaining
    else:
        step = -jnp.log1p(-u) / jnp.maximum(-jnp.log(jnp.maximum(discount, 1e-30)), 1e-12)
    return 1 + jnp.minimum(jnp.floor(step), remaining - 1).astype(jnp.int32)


class Draw(NamedTuple):
    """Random numbers that choose goals for N transitions."""

    kind: Array  # [N] int32, the index of one of `KINDS`, or their number to keep the goal
    steps: Array  # [N] int32, how many steps ahead the later goal is


def drawn(key: Key, remaining: Array, settings: Hindsight, discount: float | Array = 0.99) -> Draw:
    """Which goals N transitions get, of episodes with `remaining` steps, theirs included."""
    k_kind, k_steps = jax.random.split(key)
    bounds = jnp.cumsum(jnp.stack([jnp.asarray(getattr(settings, x), float) for x in KINDS]))
    kind = (jax.random.uniform(k_kind, remaining.shape)[..., None] >= bounds).sum(-1)
    geometric = discount if settings.offsets == "geometric" else None
    return Draw(kind.astype(jnp.int32), ahead(k_steps, remaining, geometric))


def chosen(kind: Array, choices: dict[str, Tree], own: Tree) -> Tree:
    """Goals [N, *] of the kinds [N], of the goals of each kind [N, *] and those kept."""
    for i, name in enumerate(KINDS):
        own = select(kind == i, choices[name], own)
    return own


def hindsight(
    update: Update,
    goals: Goals,
    settings: Hindsight = Hindsight(),
    discount: float | Array = 0.99,
    steps: int | None = None,
) -> Update:
    """Learn from the first steps of sequences [L, B, ...] under goals as the settings say.

    Later goals are achieved by successors from the first step to the end of the episode, or of the
    sequence: it should be as long as episodes are. Random ones are of any step of the batch. The
    update sees transitions [B, ...], or the first `steps` of each sequence under one goal
    [steps, B, ...]. Source: Andrychowicz et al. (2017), "Hindsight experience replay",
    https://arxiv.org/abs/1707.01495.
    """
    check_hindsight(settings)

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        k_draw, k_random, k_learn = jax.random.split(key, 3)
        length, size = batch.last.shape
        rest = jnp.where(batch.last.any(0), batch.last.argmax(0) + 1, length)
        kind, step = drawn(k_draw, rest, settings, discount)
        lane = jnp.arange(size)
        any_step, any_lane = jax.random.randint(
            k_random, (2, size), 0, jnp.array([[length], [size]])
        )
        at = lambda row, lane: goals.achieved(jax.tree.map(lambda x: x[row, lane], batch.final.obs))
        first = jax.tree.map(lambda x: x[0], batch.obs)
        choices = {
            "future": at(step - 1, lane),
            "final": at(rest - 1, lane),
            "random": at(any_step, any_lane),
            "current": goals.achieved(first.obs),
        }
        wanted = chosen(kind, choices, first.context)
        if steps is None:
            head = jax.tree.map(lambda x: x[0], batch)
        else:
            head = jax.tree.map(lambda x: x[:steps], batch)
            wanted = jax.tree.map(lambda x: jnp.broadcast_to(x, (steps, *x.shape)), wanted)
        return update.apply(state, judged(goals, wanted, head), k_learn)

    return update._replace(apply=apply)


class Wanted(NamedTuple):
    """Goals for transitions [N, ...], and how far they are."""

    goal: Tree  # [N, *goal]
    steps: Array  # [N] int32, steps of the episode until the goal, where it is a later one of it


def goals_for(
    key: Key, found: Stored, goals: Goals, settings: Hindsight, discount: float | Array = 0.99
) -> Wanted:
    """Goals for transitions of a data set; those of no later step are `remaining` steps away.

    Only what is drawn is read.
    """
    k_draw, k_random = jax.random.split(key)
    remaining = found.remaining
    kind, step = drawn(k_draw, remaining, settings, discount)
    size = max(found.buffer.warmup * found.lanes, 1)
    anywhere = jax.random.randint(k_random, remaining.shape, 0, size)
    index = jnp.select(
        [kind == 0, kind == 1, kind == 2],
        [found.now + found.lanes * (step - 1), found.end, anywhere],
        found.now,
    )
    achieved = goals.achieved(at(found, index).final.obs)
    obs = found.steps.obs
    wanted = select(kind == 3, goals.achieved(obs.obs), achieved)
    distance = jnp.select([kind == 0, kind == 3], [step, jnp.zeros_like(step)], remaining)
    return Wanted(select(kind == len(KINDS), obs.context, wanted), distance)


def hindsight_of_data(
    update: Update,
    goals: Goals,
    settings: Hindsight = Hindsight(),
    discount: float | Array = 0.99,
) -> Update:
    """Learn from transitions [B, ...] that `remembered` replays, under goals as the settings say.

    The goals are those of `goals_for`, of whole episodes and of the whole data set.
    """
    check_hindsight(settings)

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        k_draw, k_learn = jax.random.split(key)
        found = stored(batch)
        wanted = goals_for(k_draw, found, goals, settings, discount)
        return update.apply(state, judged(goals, wanted.goal, found.steps), k_learn)

    return update._replace(apply=apply)


def hindsighted(
    make: Callable[..., Agent], settings: Hindsight, data: bool = False
) -> Callable[[Spec, Any], Agent]:
    """The constructor of the same agent, which learns with hindsight.

    `make(spec, hp, schedule=...)` makes an agent that replays uniformly. Of `data` it looks at
    whole episodes, and else at `settings.horizon` steps from each that is replayed. Geometric
    offsets are those of the agent's discount, or of 0.99 if it has none. Raises an InputError if
    the agent does not replay, or the environment has no goals.
    """
    check_hindsight(settings)
    require(
        "schedule" in inspect.signature(make).parameters,
        "Hindsight is for agents that replay, such as dqn, sac, td3, discrete-sac, iql or bc.",
    )

    def made(spec: Spec, hp: Any) -> Agent:
        goals, discount = goals_of(spec, "hindsight"), getattr(hp, "discount", 0.99)

        def schedule(update: Update, hp: Any, length: int | None = None) -> Update:
            require(
                not getattr(hp, "prioritised", False),
                "Hindsight needs a uniform replay: leave prioritised off.",
            )
            if length is None and hasattr(hp, "n_step"):  # then folding is left to the schedule
                update, length = n_step(update, hp.discount), hp.n_step
            if data:
                require(length in (None, 1), "Hindsight in a data set needs n_step 1.")
                update = update if length is None else one_step(update)
                return remembered(hindsight_of_data(update, goals, settings, discount), hp)
            require(
                (length or 1) <= settings.horizon,
                f"n_step {length} must be at most the horizon of {settings.horizon} steps.",
            )
            require_buffer(hp, settings.horizon)
            told = hindsight(update, goals, settings, discount, length)
            return replayed(told, hp, settings.horizon)

        return make(spec, hp, schedule=schedule)

    return made


def one_step(update: Update) -> Update:
    """An update of sequences of one step [1, B, ...] as one of transitions [B, ...]."""

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, jax.tree.map(lambda x: x[None], batch), key)

    return update._replace(apply=apply)
