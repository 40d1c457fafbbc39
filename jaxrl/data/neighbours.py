"""The nearest points of a data set, by comparing with all of them a block at a time."""

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.types import Array, Transition, listed


def nearest(
    points: Array, queries: Array, number: int = 1, block: int = 1024
) -> tuple[Array, Array]:
    """The indices and squared distances [M, number] of the points nearest to each query.

    The distance is the Euclidean one, and of equally near points the first is taken. Differences
    are squared and summed as they stand, without the identity that subtracts large products, so
    that near points are told apart. It takes N M D operations and the memory of M `block` D
    numbers. Concatenate `scale * observations` and actions to weigh them against each other.

    Args:
      points: [N, D], such as observations or pairs of a data set.
      queries: [M, D].
      number: how many points, at most N.
      block: points that are compared at once.

    Raises:
      InputError: if the shapes do not fit, or there are fewer points than `number`.

    Examples:
      >>> nearest(jnp.array([[0.0], [1.0], [3.0]]), jnp.array([[1.2]]), number=2)[0]
      Array([[1, 0]], dtype=int32)

    Source: the exact search of Ran et al. (2023), Policy regularization with dataset constraint,
    https://arxiv.org/abs/2306.06569.
    """
    require(
        points.ndim == queries.ndim == 2 and points.shape[1] == queries.shape[1],
        f"Points [N, D] and queries [M, D] must be vectors of one length, but their shapes are "
        f"{points.shape} and {queries.shape}.",
    )
    require_positive(number=number, block=block)
    size = points.shape[0]
    require(size >= number, f"There are {size} points, which is fewer than the {number} asked for.")
    block = min(block, size)
    blocks = -(-size // block)
    padded = jnp.pad(points, [(0, blocks * block - size), (0, 0)])
    index = jnp.arange(blocks * block, dtype=jnp.int32).reshape(blocks, block)

    def compare(best: tuple[Array, Array], part: tuple[Array, Array]) -> tuple[tuple, None]:
        values, indices = part
        away = jnp.square(queries[:, None] - values).sum(-1)
        away = jnp.where(indices < size, away, jnp.inf)
        if number == 1:  # the least of a row takes a pass over it, and a partial order a sort
            place = away.argmin(1, keepdims=True)
            low = jnp.take_along_axis(away, place, 1)
            nearer = low < best[0]  # of equals the first
            return (
                jnp.where(nearer, low, best[0]),
                jnp.where(nearer, indices[place], best[1]),
            ), None
        both = jnp.concatenate([best[0], away], 1)
        names = jnp.concatenate([best[1], jnp.broadcast_to(indices, away.shape)], 1)
        low, place = jax.lax.top_k(-both, number)  # of equals the first, and those are earlier
        return (-low, jnp.take_along_axis(names, place, 1)), None

    none = jnp.full((len(queries), number), jnp.inf, jnp.result_type(points, queries))
    start = (none, jnp.zeros(none.shape, jnp.int32))
    parts = (padded.reshape(blocks, block, -1), index)
    (distance, found), _ = jax.lax.scan(compare, start, parts)
    return found, distance


def nearest_steps(data: Transition, observations: Array) -> Transition:
    """The steps [M, ...] of a data set [T, B, ...] that begin nearest to some observations [M, D].

    Observations are one vector. With those of rollouts of a policy in a model this chooses what a
    learner should remember of a task. Raises an InputError if the shapes do not fit.

    Examples:
      >>> nearest_steps(data, jnp.array([[1.2], [0.9]])).reward
      Array([2., 2.], dtype=float32)

    Source: the selection of Gai et al. (2023), "OER: offline experience replay for continual
    offline reinforcement learning", https://arxiv.org/abs/2305.13804.
    """
    steps = listed(data)
    index, _ = nearest(steps.obs, observations)
    return jax.tree.map(lambda x: x[index[:, 0]], steps)
