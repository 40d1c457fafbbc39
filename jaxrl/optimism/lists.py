"""Cascades: actions that are ordered lists of items, of which the first attractive one is clicked.

In state s the items of a list are examined in order, and item i attracts with probability q(s, i).
The first that does is clicked: it pays a reward and leads to a state. If none does, nothing is paid
and another distribution of states follows. With w the value of a click and w0 that of no click, a
list is worth the sum over its items of (prod of the 1 - q before) q w, plus (prod of all 1 - q) w0.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.errors import require_non_negative, require_positive
from jaxrl.optimism.learning import Learner, Play, draw
from jaxrl.types import Array, Key


class Cascade(NamedTuple):
    """A process of S states whose actions are ordered lists of N items."""

    attraction: Array  # [S, N] probability of a click on an item that is examined
    reward: Array  # [S, N] of a click
    transition: Array  # [S, N + 1, S] successors of a click; the last row is that of no click
    initial: Array  # [S]


class CascadeCounts(NamedTuple):
    """Sums over the steps that were seen of each state and item."""

    examined: Array  # [S, N]
    reward: Array  # [S, N] sum of the rewards of clicks
    moves: Array  # [S, N + 1, S] successors of clicks, and in the last row of no click


class CascadeSteps(NamedTuple):
    """The steps of one episode of a cascade with lists of M items."""

    state: Array  # [H]
    items: Array  # [H, M], N where a list is shorter
    click: Array  # [H] the place of the click in the list, M if there was none
    reward: Array  # [H]
    following: Array  # [H]


def list_value(attraction: Array, worth: Array, none: Array, items: Array) -> Array:
    """Return the value [] of a list of items [M], where N stands for no item.

    Examples:
        >>> half, worth = jnp.array([0.5, 0.5]), jnp.array([4.0, 8.0])
        >>> print(optimism.list_value(half, worth, jnp.array(0.0), jnp.array([1, 0])))
        5.0
    """
    padded = lambda x: jnp.append(x, 0.0)[items]

    def before(value: Array, item: tuple[Array, Array]) -> tuple[Array, None]:
        chance, w = item
        return chance * w + (1 - chance) * value, None

    return jax.lax.scan(before, none, (padded(attraction), padded(worth)), reverse=True)[0]


def best_list(attraction: Array, worth: Array, none: Array, length: int) -> tuple[Array, Array]:
    """Return the highest value [] of a list of at most `length` items, and the list [length].

    Whatever the items of a list, their best order is that of falling worth [N]. So over the items
    in that order, with k places left, F_i(k) = max(F_{i+1}(k), q_i w_i + (1 - q_i) F_{i+1}(k - 1)),
    and F is `none` [] at the end: N * length steps instead of all ordered lists. Shorter lists have
    N in their last places, and an item is taken only if that is better. Raises `InputError` unless
    there is a place. Source: the oracle BestPerm of Du, Srikant and Chen (2024), "Cascading
    reinforcement learning", https://arxiv.org/abs/2401.08961.

    Examples:
        >>> half, worth = jnp.array([0.5, 0.5, 0.5]), jnp.array([4.0, 8.0, 2.0])
        >>> print(*optimism.best_list(half, worth, jnp.array(0.0), length=2))
        5.0 [1 0]
    """
    require_positive(length=length)
    number = attraction.shape[-1]
    order = jnp.argsort(-worth)
    chance, w = attraction[order], worth[order]

    def add(value: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        q, w = item
        taken = q * w + (1 - q) * value[:-1]
        better = taken > value[1:]
        return value.at[1:].max(taken), better

    start = jnp.full(length + 1, none)
    value, better = jax.lax.scan(add, start, (chance, w), reverse=True)

    def choose(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple:
        places, items = carry
        item, better = inputs
        take = (places > 0) & better[jnp.maximum(places - 1, 0)]
        items = jnp.where(take & (jnp.arange(length) == length - places), item, items)
        return (places - take, items), None

    carry = jnp.int32(length), jnp.full(length, number, order.dtype)
    return value[-1], jax.lax.scan(choose, carry, (order, better))[0][1]


def _plan(attraction: Array, worth: Array, none: Array, length: int) -> tuple[Array, Array]:
    return jax.vmap(partial(best_list, length=length))(attraction, worth, none)


def cascading_values(cascade: Cascade, horizon: int, length: int) -> tuple[Array, Array]:
    """Return the optimal values [H, S] of a cascade, and the best lists [H, S, length].

    Examples:
        >>> one = optimism.Cascade(
        ...     jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 2.0]]), jnp.ones((1, 3, 1)), jnp.ones(1)
        ... )
        >>> print(optimism.cascading_values(one, horizon=2, length=1)[0][:, 0])
        [2. 1.]
    """
    require_positive(horizon=horizon)

    def back(value: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        future = cascade.transition @ value
        value, lists = _plan(
            cascade.attraction, cascade.reward + future[:, :-1], future[:, -1], length
        )
        return value, (value, lists)

    zero = jnp.zeros(cascade.initial.shape[0])
    return jax.lax.scan(back, zero, None, horizon, reverse=True)[1]


def list_return(cascade: Cascade, lists: Array) -> Array:
    """Return the expected return [] of an episode in which the lists [H, S, M] are shown.

    Examples:
        >>> one = optimism.Cascade(
        ...     jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 2.0]]), jnp.ones((1, 3, 1)), jnp.ones(1)
        ... )
        >>> print(optimism.list_return(one, jnp.array([[[1, 0]]])))
        1.25
    """

    def back(value: Array, items: Array) -> tuple[Array, None]:
        future = cascade.transition @ value
        worth = cascade.reward + future[:, :-1]
        return jax.vmap(list_value)(cascade.attraction, worth, future[:, -1], items), None

    value, _ = jax.lax.scan(back, jnp.zeros_like(cascade.initial), lists, reverse=True)
    return cascade.initial @ value


def enumerated(cascade: Cascade, lists: Array) -> dp.TabularMDP:
    """Return the process whose actions are the lists [A, M], each an action of its own.

    Rewards are those of pairs, [S, A, 1].

    Examples:
        >>> one = optimism.Cascade(
        ...     jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 2.0]]), jnp.ones((1, 3, 1)), jnp.ones(1)
        ... )
        >>> print(optimism.enumerated(one, jnp.array([[1, 0], [0, 1]])).reward[0, :, 0])
        [1.25 1.  ]
    """
    over_lists = jax.vmap(list_value, (None, None, None, 0))
    over_states = jax.vmap(over_lists, (0, 0, 0, None))
    zero = jnp.zeros_like(cascade.initial)
    reward = over_states(cascade.attraction, cascade.reward, zero, lists)
    # The probability of a successor is the value of an indicator.
    over_successors = jax.vmap(over_states, (None, 2, 1, None), 2)
    clicked, none = cascade.transition[:, :-1], cascade.transition[:, -1]
    transition = over_successors(cascade.attraction, clicked, none, lists)
    discount = jnp.ones_like(reward)[..., None]
    return dp.TabularMDP(transition, reward[..., None], discount, cascade.initial)


def cascade_play(cascade: Cascade) -> Play:
    """Return the `Play` of episodes in which lists [H, S, M] are shown; see `CascadeSteps`.

    Examples:
        >>> sure = optimism.Cascade(
        ...     jnp.ones((1, 2)), jnp.array([[1.0, 2.0]]), jnp.ones((1, 3, 1)), jnp.ones(1)
        ... )
        >>> data = optimism.cascade_play(sure)(jnp.array([[[1, 0]]]), jax.random.key(0))
        >>> print(data.click, data.reward)
        [0] [2.]
    """
    padded = jnp.pad(cascade.attraction, ((0, 0), (0, 1)))
    paid = jnp.pad(cascade.reward, ((0, 0), (0, 1)))
    number = cascade.attraction.shape[1]

    def play(lists: Array, key: Key) -> CascadeSteps:
        def step(state: Array, inputs: tuple[Array, Array]) -> tuple[Array, CascadeSteps]:
            lists, noise = inputs
            items = lists[state]
            clicks = noise[:-1] < padded[state, items]
            place = jnp.where(clicks.any(), jnp.argmax(clicks), items.size)
            item = jnp.append(items, number)[place]
            following = draw(cascade.transition[state, item], noise[-1])
            taken = CascadeSteps(state, items, place, paid[state, item], following)
            return following, taken

        k_first, k_steps = jax.random.split(key)
        first = draw(cascade.initial, jax.random.uniform(k_first))
        noise = jax.random.uniform(k_steps, (lists.shape[0], lists.shape[-1] + 1))
        return jax.lax.scan(step, first, (lists, noise))[1]

    return play


def cascade_counted(counts: CascadeCounts, steps: CascadeSteps) -> CascadeCounts:
    """Return the counts with those of an episode added; nothing is seen of items after a click.

    Examples:
        >>> counts = optimism.no_cascade_counts(states=1, items=2)
        >>> arrays = [0], [[1, 0]], [0], [2.0], [0]
        >>> steps = optimism.CascadeSteps(*(jnp.array(x) for x in arrays))
        >>> print(optimism.cascade_counted(counts, steps).examined)
        [[0. 1.]]
    """
    number, places = counts.examined.shape[1], steps.items.shape[1]
    seen = (jnp.arange(places) <= steps.click[:, None]) & (steps.items < number)
    state = jnp.broadcast_to(steps.state[:, None], steps.items.shape)
    # Places beyond the end of a short list point behind the table, where nothing is added.
    add = lambda table, *index_and_x: table.at[index_and_x[:-1]].add(index_and_x[-1], mode="drop")
    ended = jnp.pad(steps.items, ((0, 0), (0, 1)), constant_values=number)
    clicked = jnp.take_along_axis(ended, steps.click[:, None], 1)[:, 0]
    return CascadeCounts(
        add(counts.examined, state, steps.items, seen.astype(float)),
        add(counts.reward, steps.state, clicked, steps.reward),
        add(counts.moves, steps.state, clicked, steps.following, 1.0),
    )


def no_cascade_counts(states: int, items: int) -> CascadeCounts:
    """Return the counts of a cascade of which nothing was seen.

    Examples:
        >>> print(optimism.no_cascade_counts(states=1, items=2).examined)
        [[0. 0.]]
    """
    pairs = jnp.zeros((states, items))
    return CascadeCounts(pairs, pairs, jnp.zeros((states, items + 1, states)))


def cascading(states: int, items: int, horizon: int, length: int, scale: float | Array) -> Learner:
    """Return the optimistic learner of a cascade: bonuses of items, and the best list of them.

    Attractions are raised by scale / sqrt(times examined) up to 1, and the values of a click and of
    no click by scale * horizon / sqrt(times seen) up to the steps to go; what was never seen has
    these bounds. Rewards lie in [0, 1]. The value of the best list rises with all of these, so that
    it is an upper bound; policies are lists [H, S, length]. With a `scale` of 0 it is greedy, and
    what was never seen counts as nothing. Raises `InputError` if the scale is negative. Source:
    CascadingVI of Du, Srikant and Chen (2024), "Cascading reinforcement learning",
    https://arxiv.org/abs/2401.08961, with simpler bonuses.

    Examples:
        >>> learner = optimism.cascading(states=1, items=2, horizon=1, length=1, scale=1.0)
        >>> print(learner.plan(learner.init(), jax.random.key(0))[1].shape)
        (1, 1, 1)
    """
    require_non_negative(scale=scale)
    hopeful = jnp.asarray(scale) > 0

    def raised(x: Array, seen: Array, width: float | Array, most: float | Array) -> Array:
        x = jnp.minimum(x + width / jnp.sqrt(jnp.maximum(seen, 1)), most)
        return jnp.where(seen > 0, x, jnp.where(hopeful, most, 0.0))

    def plan(counts: CascadeCounts, key: Key) -> tuple[CascadeCounts, Array]:
        seen = counts.moves.sum(-1)  # [S, N + 1]
        often = jnp.maximum(seen, 1)
        clicks = seen[:, :-1] / jnp.maximum(counts.examined, 1)
        attraction = raised(clicks, counts.examined, scale, 1.0)
        reward = jnp.pad(counts.reward, ((0, 0), (0, 1))) / often
        # A step without a click pays nothing, so that its value is bounded by the rest.
        paying = jnp.append(jnp.ones(items), 0.0)

        def back(value: Array, to_go: Array) -> tuple[Array, Array]:
            worth = reward + (counts.moves / often[..., None]) @ value
            worth = raised(worth, seen, scale * horizon, to_go - 1 + paying)
            return _plan(attraction, worth[:, :-1], worth[:, -1], length)

        to_go = jnp.arange(horizon, 0, -1).astype(float)
        return counts, jax.lax.scan(back, jnp.zeros(states), to_go, reverse=True)[1]

    return Learner(lambda: no_cascade_counts(states, items), plan, cascade_counted)
