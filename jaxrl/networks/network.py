"""Networks as records of pure functions, feed-forward or with a memory.

An agent calls `step` when it acts and `unroll` when it learns from sequences; to a feed-forward
network the two are one, so an agent is written once for both.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.networks.backbones import Backbone
from jaxrl.networks.inputs import blank
from jaxrl.networks.layers import initialise
from jaxrl.types import Array, Key, Spec, Transition, Tree, select


class Network(NamedTuple):
    """A parametrised function of observations, with an optional memory.

    `step` takes leading axes of any number, so long as memory and observations share them.
    """

    init: Callable[[Key], Tree]
    memory: Callable[[int], Tree]  # of B new episodes, () if there is none
    step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]
    # step: (params, memory [..., *], obs [..., *]) -> (outputs [..., *], memory)
    unroll: Callable[[Tree, Tree, Tree, Array], tuple[Tree, Tree]]
    # unroll: (params, memory [B, *], obs [L, B, *], last [L, B]) -> (outputs [L, B, *],
    # memories [L, B, *] after each step, of the old episode also where it is the last)


def feedforward(module: nn.Module, spec: Spec, prepare: Callable[[Tree], Array]) -> Network:
    """A module of `prepare(obs)` [..., D] as a network without a memory."""

    def init(key: Key) -> Tree:
        return initialise(module, key, prepare(blank(spec)))

    def step(params: Tree, memory: Tree, obs: Tree) -> tuple[Tree, Tree]:
        return module.apply(params, prepare(obs)), memory

    def unroll(params: Tree, memory: Tree, obs: Tree, last: Array) -> tuple[Tree, Tree]:
        return module.apply(params, prepare(obs)), memory

    return Network(init, lambda batch_size: (), step, unroll)


def recurrent(
    encoder: nn.Module,
    carry: Callable[[int], Backbone],
    heads: nn.Module,
    spec: Spec,
    prepare: Callable[[Tree], Array],
) -> Network:
    """A network `heads(carry(encoder(prepare(obs))))` whose memory is cleared at each `last`.

    `carry(inputs)` makes the backbone that reads features [..., inputs].
    """
    first = lambda: encoder.init_with_output(jax.random.key(0), prepare(blank(spec)))[0]
    features = jax.eval_shape(first)
    backbone = carry(features.shape[-1])

    def init(key: Key) -> Tree:
        k_encoder, k_cell, k_heads = jax.random.split(key, 3)
        y = jnp.zeros(backbone.size)
        return {
            "encoder": initialise(encoder, k_encoder, prepare(blank(spec))),
            "cell": backbone.init(k_cell),
            "heads": initialise(heads, k_heads, y),
        }

    def step(params: Tree, memory: Tree, obs: Tree) -> tuple[Tree, Tree]:
        x = cast(Array, encoder.apply(params["encoder"], prepare(obs)))
        memory, y = backbone.step(params["cell"], memory, x)
        return heads.apply(params["heads"], y), memory

    def unroll(params: Tree, memory: Tree, obs: Tree, last: Array) -> tuple[Tree, Tree]:
        x = cast(Array, encoder.apply(params["encoder"], prepare(obs)))
        first = jnp.concatenate([jnp.zeros_like(last[:1]), last[:-1]])
        memories, y = backbone.unroll(params["cell"], memory, x, first)
        return heads.apply(params["heads"], y), memories

    return Network(init, backbone.memory, step, unroll)


def reread(
    net: Network, params: Tree, batch: Transition, burn_in: int
) -> tuple[Transition, tuple[Tree, Tree]]:
    """What a network says of replayed sequences [L, B, ...], from the memories that were stored.

    `batch.extras` are the memories before each step, of which the first is where it starts. The
    first `burn_in` steps only bring it up to date, without a gradient. Returns the other steps, and
    the outputs at their observations and at their successors. Source: Kapturowski et al. (2019),
    section 3.
    """
    memory = jax.tree.map(lambda x: x[0], batch.extras)
    early = jax.tree.map(lambda x: x[:burn_in], batch)
    late = jax.tree.map(lambda x: x[burn_in:], batch)
    if burn_in:
        _, memories = net.unroll(params, memory, early.obs, early.last)
        after = jax.tree.map(lambda x: x[-1], memories)
        after = select(early.last[-1], net.memory(early.last.shape[1]), after)
        memory = jax.lax.stop_gradient(after)
    now, memories = net.unroll(params, memory, late.obs, late.last)
    return late, (now, net.step(params, memories, late.final)[0])
