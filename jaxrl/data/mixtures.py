"""Several data sets at once: compared, put one after another, and sampled in given shares."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.buffers import Buffer, sample_sequences
from jaxrl.errors import require, require_values, typed_key
from jaxrl.types import Box, Discrete, Key, MultiDiscrete, Product, Space, Spec, Transition, Tree


def require_same_spaces(a: Spec, b: Spec, names: tuple[str, str]) -> None:
    """Raise an InputError that says what differs, unless two specs have the same spaces.

    Compared are the structure, shapes and types of all leaves of the observations, and the kind,
    shapes and bounds of the actions. `names` are the subjects of the sentence.

    Examples:
      >>> from jaxrl.types import Discrete, Spec
      >>> require_same_spaces(Spec((), Discrete(2)), Spec((), Discrete(3)), ("A", "B"))
      Traceback (most recent call last):
      jaxrl.errors.InputError: A has actions numbering 2, but B has 3.
    """
    for what, x, y in _facts(a, b):
        require(x == y, f"{names[0]} has {what} {x}, but {names[1]} has {y}.")


def _facts(a: Spec, b: Spec) -> list[tuple[str, Any, Any]]:
    """What two specs say of the same things, the first difference first."""
    lists = [jax.tree_util.tree_flatten_with_path(spec.observation)[0] for spec in (a, b)]
    paths, others = ([jax.tree_util.keystr(path) or "one array" for path, _ in x] for x in lists)
    found: list[tuple[str, Any, Any]] = [("observations", " ".join(paths), " ".join(others))]
    if paths != others:
        return found
    for (path, x), (_, y) in zip(*lists):
        of = f"observations{jax.tree_util.keystr(path)} of"
        found.append((f"{of} shape", x.shape, y.shape))
        found.append((f"{of} type", str(np.dtype(x.dtype)), str(np.dtype(y.dtype))))
    return found + _actions(a.action, b.action)


def _actions(a: Space, b: Space) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = [("actions of kind", type(a).__name__, type(b).__name__)]
    if type(a) is not type(b):
        return found
    if isinstance(a, Product) and isinstance(b, Product):
        found.append(("actions with parts", len(a.parts), len(b.parts)))
        return found + [row for pair in zip(a.parts, b.parts) for row in _actions(*pair)]
    if isinstance(a, Box) and isinstance(b, Box):
        found.append(("actions of shape", a.shape, b.shape))
        if a.shape == b.shape:
            bounds = [[np.asarray(x, np.float32).tolist() for x in box] for box in (a, b)]
            names = ("actions not below", "actions not above")
            found += [(name, *pair) for name, pair in zip(names, zip(*bounds))]
        return found
    assert isinstance(a, Discrete | MultiDiscrete) and isinstance(b, Discrete | MultiDiscrete)
    x, y = (x.num if isinstance(x, Discrete) else tuple(x.nums) for x in (a, b))
    return [*found, ("actions numbering", x, y)]


def concatenated(sets: Sequence[Transition], shares: Sequence[float] | None = None) -> Transition:
    """Data sets [T_i, B, ...] one after another, as [T_1 + T_2 + ..., B, ...].

    Each ends with a boundary. With shares p_i, which are divided by their sum, the weights of the
    i-th set are multiplied by p_i N / N_i, where N_i is the number of its steps and N that of all:
    then the mean loss of uniform samples is that of the sets in these shares.

    Raises:
      InputError: if there is no data set, if they differ in lanes or in the structure, shapes or
        types of their leaves, or if shares are not positive numbers, one for each.

    Examples:
      >>> concatenated([data, data], [1.0, 3.0]).weight[::4, 0]
      Array([0.5, 1.5], dtype=float32)
    """
    require(len(sets) > 0, "There is no data set to concatenate.")
    first = _described(sets[0])
    for i, other in enumerate(sets[1:], 2):
        require(
            jax.tree.structure(other) == jax.tree.structure(sets[0]),
            f"Data set {i} has arrays {_names(other)}, but data set 1 has {_names(sets[0])}.",
        )
        for x, y in zip(_described(other), first):
            require(
                x == y,
                f"In data set {i} the array {x[0]} has lanes and shape {x[1]} and type {x[2]}, but "
                f"in data set 1 {y[1]} and {y[2]}.",
            )
    parts = _shares(shares, len(sets))
    sizes = [x.reward.size for x in sets]
    factors = [p * sum(sizes) / n for p, n in zip(parts, sizes)] if shares is not None else None
    ended = [x._replace(last=jnp.asarray(x.last).at[-1].set(True)) for x in sets]
    if factors is not None:
        ended = [x._replace(weight=x.weight * float(c)) for x, c in zip(ended, factors)]
    return jax.tree.map(lambda *x: jnp.concatenate(x), *ended)


def sample_mixture(
    buffers: Sequence[Buffer], shares: Sequence[float], key: Key, batch_size: int, length: int = 1
) -> Tree:
    """Uniform sequences [length, batch_size, ...] with a given share of them from each buffer.

    The numbers are those nearest to the shares, exact in every sample, and the sequences alternate,
    so that contiguous parts of a batch have the shares too. Raises an InputError unless shares are
    positive numbers, one for each buffer, and each buffer has a sequence in the batch.

    Examples:
      >>> from jaxrl import buffers
      >>> stored = [buffers.init({"of": jnp.full((4, 1), i)}, rows=4) for i in (0, 1)]
      >>> sample_mixture(stored, [1.0, 2.0], jax.random.key(0), batch_size=6)["of"]
      Array([[1, 0, 1, 1, 0, 1]], dtype=int32)

    Source: symmetric sampling is two buffers in equal shares, Ball et al. (2023), Efficient online
    reinforcement learning with offline data, https://arxiv.org/abs/2302.02948.
    """
    parts = _shares(shares, len(buffers))
    ends = np.round(np.cumsum(parts) * batch_size).astype(int)
    numbers = np.diff(ends, prepend=0)
    require(
        bool((numbers > 0).all()),
        f"A batch of {batch_size} is too small for these shares: a data set would have no part in "
        "it.",
    )
    keys = jax.random.split(typed_key(key), len(buffers))
    drawn = [
        sample_sequences(buffer, k, int(n), length) for buffer, k, n in zip(buffers, keys, numbers)
    ]
    # Each sequence stands where its place among those of its buffer, as a share, says.
    place = np.concatenate([(np.arange(n) + 0.5) / n for n in numbers])
    order = np.argsort(place, kind="stable")
    return jax.tree.map(lambda *x: jnp.concatenate(x, 1)[:, order], *drawn)


def _shares(shares: Sequence[float] | None, number: int) -> np.ndarray:
    """Shares that sum to 1; equal ones by default."""
    given = np.ones(number) if shares is None else np.asarray(shares, float)
    require(
        given.shape == (number,),
        f"There must be one share for each of {number} data sets, but there are {given.size}.",
    )
    require_values(lambda x: np.isfinite(x) & (x > 0), "be positive numbers", shares=given)
    return given / given.sum()


def _named(data: Transition) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(data)[0]
    return [(jax.tree_util.keystr(path).lstrip("."), x) for path, x in leaves]


def _names(data: Transition) -> str:
    return ", ".join(name for name, _ in _named(data))


def _described(data: Transition) -> list[tuple[str, tuple, str]]:
    return [(name, x.shape[1:], str(x.dtype)) for name, x in _named(data)]
