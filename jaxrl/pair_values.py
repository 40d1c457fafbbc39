"""Ensembles of values of pairs of an observation and an action, discrete or continuous."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn

from jaxrl import values
from jaxrl.action_values import action_values, ensembled
from jaxrl.errors import require
from jaxrl.networks import critic_ensemble
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Tree
from jaxrl.values import Representation


class PairValues(NamedTuple):
    """An ensemble of functions of observations and actions."""

    init: Callable[[Key], Tree]
    outputs: Callable[[Tree, Tree, Array], Array]
    # outputs: (params, obs [..., *], action [..., *action]) -> theta [..., E * K]


def pair_values(
    spec: Spec,
    representation: Representation,
    members: int,
    layers: Layers = Layers(),
    encoder: nn.Module | None = None,
) -> PairValues:
    """Independent critics of any representation but implicit, by the network that suits a spec.

    Of discrete actions they value all at once, and of continuous ones the one that they are given.
    The outputs are those of `values.ensemble`. A person's own `encoder` of observations and
    continuous actions is that of `critic_ensemble`. Raises an InputError for an implicit
    representation, or for such an encoder if actions are discrete.
    """
    together = values.ensemble(representation, members)
    if not isinstance(spec.action, Discrete):
        critics = critic_ensemble(spec, representation.size, members, layers, encoder)
        return PairValues(critics.init, critics.apply)
    require(
        encoder is None,
        "A critic_encoder needs continuous actions: discrete ones are valued by the encoder of "
        "observations, network.encoder.",
    )
    q = ensembled(action_values(spec, representation, **vars(layers)), together)

    def outputs(params: Tree, obs: Tree, action: Array) -> Array:
        return values.take(q.outputs(params, obs), action)

    return PairValues(q.init, outputs)
