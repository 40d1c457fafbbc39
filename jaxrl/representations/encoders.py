"""Encoders, their self-supervised objectives, and pairs of observations that follow each other."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.networks import blank, inputs, network
from jaxrl.networks.encoders import torso
from jaxrl.networks.layers import Dense, initialise
from jaxrl.rewards.segments import require_segments, within_episode
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Transition, Tree

fixed = jax.lax.stop_gradient


class Encoder(NamedTuple):
    """A parametrised function from observations to features."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> features [..., D]
    size: int  # D


class Projected(nn.Module):
    """A linear layer of `size` outputs on a torso."""

    torso: nn.Module
    size: int

    @nn.compact
    def __call__(self, x: Tree) -> Array:
        """Features [..., size] of what the torso takes."""
        return Dense(self.size, 1.0)(cast(Array, self.torso(x)))


def encoder(spec: Spec, size: int, layers: Layers = Layers()) -> Encoder:
    """The encoder of observations that suits a spec, with `size` features that are linear outputs.

    Without hidden layers, `Layers(())`, the features of a vector are linear in it. Raises an
    InputError for a size that is not positive, or layers that do not fit.
    """
    require_positive(size=size)
    module = torso(spec.observation, **vars(layers))
    whole = Projected(module, size)

    def init(key: Key) -> Tree:
        return initialise(whole, key, inputs(spec, module, blank(spec)))

    def apply(params: Tree, obs: Tree) -> Array:
        return cast(Array, whole.apply(params, inputs(spec, module, obs)))

    return Encoder(init, apply, size)


def torso_encoder(spec: Spec, layers: Layers = Layers()) -> Encoder:
    """The hidden layers of an agent's network as an encoder, for parameters that are the agent's.

    Its features are those of the last hidden layer, and `layers` are the agent's own.
    """
    module = torso(spec.observation, **vars(layers))
    init = lambda key: initialise(module, key, inputs(spec, module, blank(spec)))["params"]

    def apply(params: Tree, obs: Tree) -> Array:
        return cast(Array, module.apply({"params": params}, inputs(spec, module, obs)))

    shape = jax.eval_shape(lambda: apply(init(jax.random.key(0)), blank(spec))).shape
    return Encoder(init, apply, shape[-1])


class Pretext(NamedTuple):
    """A self-supervised objective of an encoder, with heads of its own that are thrown away."""

    steps: int  # it learns from sequences of so many steps
    init: Callable[[Key], Tree]  # of the heads
    loss: Callable[[Tree, Tree, Tree, Transition, Key], Array]
    # loss: (encoder's params, target encoder's, heads, sequences [steps, B, ...], key) -> []


class Pairs(NamedTuple):
    """Observations, and those that follow after 1 to K steps of the same episode."""

    now: Tree  # [B, *observation]
    later: Tree  # [B, *observation]
    action: Array  # [B, *action] that was taken first
    gap: Array  # [B, K] one-hot number of steps
    weight: Array  # [B] 0 where the episode ended before


def pairs(batch: Transition, key: Key) -> Pairs:
    """Pairs from sequences [K, B, ...], a uniformly random number of steps from 1 to K apart.

    What follows the last step of an episode is its own true successor; pairs that would cross the
    end have weight 0. Raises an InputError unless there is a time and a batch axis.
    """
    require_segments(batch)
    steps, lanes = batch.reward.shape
    gap, lane = jax.random.randint(key, (lanes,), 0, steps), jnp.arange(lanes)
    at = lambda tree: jax.tree.map(lambda x: x[gap, lane], tree)
    head = jax.tree.map(lambda x: x[0], (batch.obs, batch.action))
    weight = at(within_episode(batch).weight)
    return Pairs(head[0], at(batch.final), head[1], jax.nn.one_hot(gap, steps), weight)


def averaged(error: Array, weight: Array) -> Array:
    """The mean [] of errors [...] weighted by `weight` [...]; 0 where there is no weight."""
    return (weight * error).sum() / jnp.maximum(weight.sum(), 1e-8)


class Head(NamedTuple):
    """A network of vectors."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Array], Array]  # (params, [..., I]) -> [..., O]


def vector_spec(size: int) -> Spec:
    """The spec of observations that are vectors of features."""
    return Spec(jax.ShapeDtypeStruct((size,), jnp.float32), Discrete(1))


def head(inputs: int, outputs: int, layers: Layers) -> Head:
    """The network from vectors of one size to those of another; linear without hidden layers."""
    dense = replace(layers, encoder="mlp")
    net = network(vector_spec(inputs), (outputs,), (1.0,), **vars(dense))
    return Head(net.init, lambda params, x: net.step(params, (), x)[0][0])


def beside(*parts: Array) -> Array:
    """Vectors [..., I] side by side."""
    return jnp.concatenate(parts, -1)


def first(batch: Transition, steps: int) -> Transition:
    """The first `steps` steps of sequences [K, B, ...]."""
    return jax.tree.map(lambda x: x[:steps], batch)


def weighted_sum(pretexts: Sequence[Pretext], weights: Sequence[float | Array]) -> Pretext:
    """The sum of objectives of one encoder, each on the first steps of the same sequences."""

    def init(key: Key) -> Tree:
        keys = jax.random.split(key, len(pretexts))
        return tuple(one.init(k) for one, k in zip(pretexts, keys))

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        keys, total = jax.random.split(key, len(pretexts)), jnp.zeros(())
        for one, weight, own, k in zip(pretexts, weights, heads, keys, strict=True):
            total = total + weight * one.loss(params, target, own, first(batch, one.steps), k)
        return total

    return Pretext(max(one.steps for one in pretexts), init, loss)
