"""Networks of one's own, and networks that see a part of the observation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxrl.errors import require
from jaxrl.networks.inputs import blank, scaled
from jaxrl.networks.network import Network, feedforward
from jaxrl.types import Array, Key, Spec, Tree

Own = Network | nn.Module | None
"""A person's own network: a record of functions, or a module of observations; None for none."""


def owned(own: Network | nn.Module, spec: Spec, sizes: Sequence[int]) -> Network:
    """A person's own network, in place of one with outputs [..., size] for each of `sizes`.

    A module takes observations [..., *], with bytes as fractions of 255, and returns one output for
    each size, in a tuple, or by itself if there is one size. Raises an InputError that names the
    sizes if the outputs are others.
    """
    tuples = lambda out: out if isinstance(out, tuple) else (out,)
    net = own
    if isinstance(own, nn.Module):
        plain = feedforward(own, spec, partial(scaled, spec.observation))
        net = plain._replace(
            step=lambda *x: (tuples(plain.step(*x)[0]), x[1]),
            unroll=lambda *x: (tuples(plain.unroll(*x)[0]), x[1]),
        )
    assert isinstance(net, Network)

    def outputs() -> Tree:
        obs = jax.tree.map(lambda x: x[None], blank(spec))
        return net.step(net.init(jax.random.key(0)), net.memory(1), obs)[0]

    found = tuple(getattr(x, "shape", None) for x in jax.tree.leaves(jax.eval_shape(outputs)))
    wanted = tuple((1, size) for size in sizes)
    require(
        found == wanted,
        f"This network must return outputs of sizes {tuple(sizes)}, in this order, for one batch "
        f"axis: shapes {wanted} for a batch of one, but it returns {found}.",
    )
    return net


See = Callable[[Tree], Tree] | Sequence[int]
"""What an actor sees of observations [..., *]: a function of them, or the indices of some features
of one array; all of it if there are none."""


def partly(see: See, spec: Spec, make: Callable[[Spec], Network]) -> Network:
    """The network that `make` builds for what `see` leaves of the observation.

    Raises an InputError for indices of features that observations do not have.
    """
    if not callable(see) and not len(see):
        return make(spec)
    part = see if callable(see) else partial(features, spec, tuple(see))
    net = make(spec._replace(observation=jax.eval_shape(part, blank(spec)), mask=None))
    step = lambda params, memory, obs: net.step(params, memory, part(obs))
    unroll = lambda params, memory, obs, last: net.unroll(params, memory, part(obs), last)
    return net._replace(step=step, unroll=unroll)


def features(spec: Spec, indices: tuple[int, ...], obs: Array) -> Array:
    """The features at `indices` of the last axis of observations [..., D]."""
    leaves = jax.tree.leaves(spec.observation)
    size = leaves[0].shape[-1] if len(leaves) == 1 and leaves[0].shape else 0
    require(
        size > 0 and all(-size <= i < size for i in indices),
        f"actor_sees names features {indices}, but observations have "
        f"{f'{size} features' if size else 'no axis of features: give a function of them'}.",
    )
    return jax.tree.leaves(obs)[0][..., np.asarray(indices)]


def paired(first: Network, second: Network) -> Network:
    """Two networks, with parameters and memories of their own, as one with the outputs of both."""

    def init(key: Key) -> Tree:
        return tuple(net.init(k) for net, k in zip((first, second), jax.random.split(key)))

    def memory(batch_size: int) -> Tree:
        return first.memory(batch_size), second.memory(batch_size)

    def both(name: str) -> Callable:
        def call(params: Tree, memory: Tree, *inputs: Any) -> tuple[Tree, Tree]:
            calls = zip((first, second), params, memory)
            (one, own), (other, its) = (getattr(net, name)(p, m, *inputs) for net, p, m in calls)
            return (*one, *other), (own, its)

        return call

    return Network(init, memory, both("step"), both("unroll"))
