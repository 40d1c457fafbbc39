"""Tasks of XLand-MiniGrid that are made here, without the benchmarks that have to be downloaded."""

from typing import Any

import jax
import jax.numpy as jnp

from envs.suites import imported
from jaxrl.errors import require, require_non_negative, require_positive
from jaxrl.types import Array, Key

KINDS = (3, 4, 5, 7, 11, 12)  # ball, square, pyramid, key, hexagon, star: all can be carried
COLOURS = (1, 2, 3, 4, 5, 8, 9, 10, 11)  # all but those of walls and floors
HOLD, NEAR, TOGETHER = 1, 3, 4  # the package's numbers of goals
MERGE = 3  # of the rule by which two objects that are put together become a third


def rulesets(key: Key, number: int, depth: int = 0, distractors: int = 2) -> Any:
    """`number` random tasks, as a `RuleSet` of the package with a leading axis [number].

    The goal of each is, with equal probability, to hold an object, to stand beside it, or to put it
    beside a second one. The object has to be made first, in a number of steps that is uniformly
    0, ..., depth: in each of them the object of the step before becomes another one when it is put
    beside a helper. No two objects of a task are alike, and `distractors` of them are of no use.
    Equal keys give equal tasks. Raises an InputError for sizes that are negative, or need more
    objects than there are.
    """
    require_positive(number=number)
    require_non_negative(depth=depth, distractors=distractors)
    needed, available = 2 * depth + 2 + distractors, len(KINDS) * len(COLOURS)
    require(
        needed <= available,
        f"A task of depth {depth} with {distractors} distractors needs {needed} different objects, "
        f"but there are {available}.",
    )
    library = imported("xminigrid.types")
    tiles = jnp.array([(kind, colour) for kind in KINDS for colour in COLOURS], jnp.uint8)
    nothing = jnp.zeros(2, jnp.uint8)

    def one(key: Key) -> Any:
        goal_key, depth_key, tile_key = jax.random.split(key, 3)
        drawn = jax.random.permutation(tile_key, tiles)[:needed]
        chain, helpers = drawn[: depth + 1], drawn[depth + 1 : 2 * depth + 1]
        second, rest = drawn[2 * depth + 1], drawn[2 * depth + 2 :]
        start = depth - jax.random.randint(depth_key, (), 0, depth + 1)
        used = jnp.arange(depth) >= start  # [depth] steps of the chain that are part of the task
        kind = jnp.array([HOLD, NEAR, TOGETHER])[jax.random.randint(goal_key, (), 0, 3)]
        other = jnp.where(kind == TOGETHER, second, nothing)
        goal = jnp.concatenate([kind[None].astype(jnp.uint8), chain[depth], other])
        kept = jnp.where(used[:, None], helpers, nothing)
        first = jnp.concatenate([chain[start][None], second[None], kept, rest])
        return library.RuleSet(goal=goal, rules=rules(chain, helpers, used), init_tiles=first)

    def rules(chain: Array, helpers: Array, used: Array) -> Array:
        if not depth:
            return jnp.zeros((1, 7), jnp.uint8)  # the package's empty rule
        merge = jnp.full((depth, 1), MERGE, jnp.uint8)
        encoded = jnp.concatenate([merge, chain[:-1], helpers, chain[1:]], -1)
        return jnp.where(used[:, None], encoded, 0)

    return jax.vmap(one)(jax.random.split(key, number))
