"""Ensembles of critics of observations and continuous actions."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.networks.encoders import VECTORS
from jaxrl.networks.inputs import blank, blank_action, flat_action, joined, scaled
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Tree


class Critics(NamedTuple):
    """An ensemble of functions of observations and actions."""

    init: Callable[[Key], Tree]
    apply: Callable[..., Array]
    # apply: (params, obs, action, key=None) -> outputs [..., E * K]; the key draws what is dropped
    linear: Callable[[Tree, Tree, Array], tuple[Array, Array]]
    # linear: (params, obs, action) -> features [..., E, H] and weights [E, H, K], of which the
    # outputs are the products; the last feature is 1, so that biases are weights


def critic_ensemble(
    spec: Spec,
    size: int,
    members: int,
    layers: Layers = Layers(),
    encoder: nn.Module | None = None,
    dropout: float = 0.0,
) -> Critics:
    """Independent critics of observations and continuous actions, with layers for vectors.

    Their outputs [..., E * size] are those of `values.ensemble`. A person's own `encoder`, a module
    of observations, with bytes as fractions of 255, and actions [..., A], takes the place of the
    layers: its features [..., H] are those that the outputs are linear in. In passes with a key, a
    share `dropout` of the hidden units of each critic is dropped. Raises an InputError if an
    encoder returns anything else, or if there are no hidden units to drop.
    """
    plain = encoder is None and VECTORS.get(layers.encoder, MLP) is MLP
    require(
        plain or not dropout,
        "Dropout drops hidden units of a multilayer perceptron: choose the mlp encoder, or set "
        "dropout to 0.",
    )

    def given(obs: Tree, action: Array) -> tuple[Any, ...]:
        if encoder is None:
            return (joined(spec, obs, action),)
        return scaled(spec.observation, obs), flat_action(spec, action)

    if encoder is None:
        flat = partial(MLP, dropout=dropout) if plain else VECTORS[layers.encoder]
        torso = flat(tuple(layers.hidden), layers.activation, layers.layer_norm)
    else:
        torso = encoder.copy()
        require_features(torso, spec, given)
    module = nn.vmap(
        Tower,
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=None,  # pyright: ignore[reportArgumentType]
        out_axes=-2,
        axis_size=members,
        methods=("__call__", "features"),
    )(torso, size)

    def init(key: Key) -> Tree:
        assert isinstance(spec.action, Box), "critics of actions need continuous ones"
        return initialise(module, key, *given(blank(spec), blank_action(spec)))

    def apply(params: Tree, obs: Tree, action: Array, key: Key | None = None) -> Array:
        drawn = None if key is None else {"dropout": key}
        outputs = cast(Array, module.apply(params, *given(obs, action), rngs=drawn))
        return outputs.reshape(*outputs.shape[:-2], -1)

    def linear(params: Tree, obs: Tree, action: Array) -> tuple[Array, Array]:
        features = cast(Array, module.apply(params, *given(obs, action), method="features"))
        head = params["params"]["head"]
        weights = jnp.concatenate([head["kernel"], head["bias"][:, None]], 1)
        return jnp.concatenate([features, jnp.ones_like(features[..., :1])], -1), weights

    return Critics(init, apply, linear)


def require_features(
    encoder: nn.Module, spec: Spec, given: Callable[[Tree, Array], tuple[Any, ...]]
) -> None:
    """Raise an InputError unless an encoder makes one vector of an observation and an action."""

    def outputs() -> Tree:
        first = jax.tree.map(lambda x: x[None], blank(spec))
        inputs = given(first, blank_action(spec, 1))
        return encoder.init_with_output(jax.random.key(0), *inputs)[0]

    found = tuple(tuple(x.shape) for x in jax.tree.leaves(jax.eval_shape(outputs)))
    require(
        len(found) == 1 and len(found[0]) == 2 and found[0][0] == 1,
        "An encoder of critics must return features [..., H] of observations and actions: of shape "
        f"(1, H) for a batch of one, but it returns {found}.",
    )
