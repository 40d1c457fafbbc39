"""Networks as records of pure functions, feed-forward or with a memory.

An agent calls `step` when it acts and `unroll` when it learns from sequences; to a feed-forward
network the two are one, so an agent is written once for both.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces
from jaxrl.backbones import BACKBONES, Backbone, backbone
from jaxrl.encoders import Impala, Nature, torso
from jaxrl.errors import require, unknown
from jaxrl.layers import CNN, MLP, Dense, Tower, initialise
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Transition, Tree, select


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


def flat(observation: Tree, obs: Tree) -> Array:
    """Observations [..., *] as one float array [..., D], in the environment's own units."""
    specs, leaves = jax.tree.leaves(observation), jax.tree.leaves(obs)
    lead = leaves[0].shape[: leaves[0].ndim - len(specs[0].shape)]
    return jnp.concatenate(
        [leaf.reshape(*lead, math.prod(s.shape)).astype(float) for s, leaf in zip(specs, leaves)],
        -1,
    )


def scaled(observation: Tree, obs: Tree) -> Tree:
    """Observations [..., *] in the units of networks: bytes 0 to 255 as fractions of 255.

    The spec's dtype says what is a byte, so that imagined bytes, which are floats, are scaled too.
    """

    def one(spec: jax.ShapeDtypeStruct, leaf: Array) -> Array:
        return leaf.astype(float) / 255 if spec.dtype == jnp.uint8 else leaf

    leaves, structure = jax.tree.flatten(obs)
    return structure.unflatten(map(one, jax.tree.leaves(observation), leaves))


def inputs(spec: Spec, torso: nn.Module, obs: Tree) -> Tree:
    """Observations [..., *] as a torso takes them, bytes scaled to [0, 1].

    An MLP takes one flat array of floats and an encoder of images one image of them; others, such
    as a module of one's own, take the tree.
    """
    obs = scaled(spec.observation, obs)
    if isinstance(torso, CNN | Nature | Impala):
        return jax.tree.leaves(obs)[0].astype(float)
    return flat(spec.observation, obs) if isinstance(torso, MLP) else obs


class Heads(nn.Module):
    """Linear heads with outputs [..., size], each on a torso of its own or all on one."""

    torso: Callable[[], nn.Module]
    sizes: Sequence[int]
    scales: Sequence[float]
    shared: bool = False

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """One output [..., size] for each of `sizes`."""
        number = len(self.sizes)
        features = (
            [self.torso()(x)] * number if self.shared else [self.torso()(x) for _ in range(number)]
        )
        heads = zip(self.sizes, self.scales, features)
        return tuple(Dense(size, scale)(cast(Array, y)) for size, scale, y in heads)


def blank(spec: Spec) -> Tree:
    """A zero observation without a batch axis."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), spec.observation)


def blank_action(spec: Spec, *lead: int) -> Any:
    """A zero action with leading axes, none by default."""
    return spaces.blank(spec.action, *lead)


def action_size(spec: Spec) -> int:
    """The length A of a flat action."""
    return spaces.size(spec.action)


def flat_action(spec: Spec, action: Tree) -> Array:
    """Actions [..., *] as vectors [..., A]; discrete ones are one-hot."""
    return spaces.flat(spec.action, action)


def joined(spec: Spec, obs: Tree, action: Array) -> Array:
    """Observations, with bytes scaled to [0, 1], and actions [..., *] as vectors [..., D + A]."""
    seen = flat(spec.observation, scaled(spec.observation, obs))
    return jnp.concatenate([seen, flat_action(spec, action)], -1)


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


class Outputs(nn.Module):
    """Linear heads [..., size] of given features."""

    sizes: Sequence[int]
    scales: Sequence[float]

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """One output [..., size] for each of `sizes`."""
        return tuple(Dense(size, scale)(x) for size, scale in zip(self.sizes, self.scales))


def network(
    spec: Spec,
    sizes: Sequence[int],
    scales: Sequence[float],
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
    encoder: str | nn.Module = "auto",
    memory: str = "none",
    layer_norm: bool = False,
    window: int = 16,
    own: "Own" = None,
) -> Network:
    """The network with linear heads of `sizes` and initial gains `scales` that suits a spec.

    Heads have a torso each on flat observations, and share one on images, behind an encoder of
    one's own, or with a `memory`: "none", or a name of `BACKBONES`, as wide as the torso, which
    looks back over `window` steps if it is a transformer. A person's `own` network takes its place:
    see `owned`. Raises an InputError for an unknown name, or a width that a memory cannot have.
    """
    if own is not None:
        return owned(own, spec, sizes)
    make = lambda: torso(spec.observation, hidden, activation, encoder, layer_norm)
    prepare = partial(inputs, spec, make())
    if memory == "none":
        shared = not isinstance(make(), MLP)
        return feedforward(Heads(make, tuple(sizes), tuple(scales), shared), spec, prepare)
    if memory not in BACKBONES:
        raise unknown("memory", memory, ("none", *BACKBONES))
    carry = partial(backbone, memory, size=hidden[-1], window=window)
    return recurrent(make(), carry, Outputs(tuple(sizes), tuple(scales)), spec, prepare)


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


def dueling(advantages: Array, value: Array) -> Array:
    """Join advantages [..., A, K] and a value [..., K] to action values [..., A, K].

    Source: Wang et al. (2016), equation 9: the mean advantage is subtracted.
    """
    return value[..., None, :] + advantages - advantages.mean(-2, keepdims=True)


class Critics(NamedTuple):
    """An ensemble of functions of observations and actions."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> outputs [..., E * K]
    linear: Callable[[Tree, Tree, Array], tuple[Array, Array]]
    # linear: (params, obs, action) -> features [..., E, H] and weights [E, H, K], of which the
    # outputs are the products; the last feature is 1, so that biases are weights


def critic_ensemble(spec: Spec, size: int, members: int, layers: Layers = Layers()) -> Critics:
    """Independent critics of observations and continuous actions, with layers that are dense.

    Their outputs [..., E * size] are those of `values.ensemble`.
    """
    module = nn.vmap(
        Tower,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,  # pyright: ignore[reportArgumentType]
        out_axes=-2,
        axis_size=members,
        methods=("__call__", "features"),
    )(MLP(tuple(layers.hidden), layers.activation, layers.layer_norm), size)

    def init(key: Key) -> Tree:
        assert isinstance(spec.action, Box), "critics of actions need continuous ones"
        return initialise(module, key, joined(spec, blank(spec), blank_action(spec)))

    def apply(params: Tree, obs: Tree, action: Array) -> Array:
        outputs = cast(Array, module.apply(params, joined(spec, obs, action)))
        return outputs.reshape(*outputs.shape[:-2], -1)

    def linear(params: Tree, obs: Tree, action: Array) -> tuple[Array, Array]:
        features = cast(Array, module.apply(params, joined(spec, obs, action), method="features"))
        head = params["params"]["head"]
        weights = jnp.concatenate([head["kernel"], head["bias"][:, None]], 1)
        return jnp.concatenate([features, jnp.ones_like(features[..., :1])], -1), weights

    return Critics(init, apply, linear)
