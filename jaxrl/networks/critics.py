"""Ensembles of critics of observations and continuous actions."""

from collections.abc import Callable
from typing import NamedTuple, cast

import flax.linen as nn
import jax.numpy as jnp

from jaxrl.networks.inputs import blank, blank_action, joined
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Tree


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
