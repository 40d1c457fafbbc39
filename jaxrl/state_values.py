"""Networks of the values of states, and weights that make them values of better actions.

A state value regresses on what its actions are worth. With `expectile_weight`, whose sign comes
from another value, it is an expectile over actions, from the behaviour's value (level 0.5) to that
of the best action in the data (level 1):

    weight = expectile_weight(advantage, level)
    loss = weight * representation.loss(v.outputs(params, obs), q)

for the return distribution `q` of the action that was taken, and its advantage over the state.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from jaxrl import networks, values
from jaxrl.types import Array, Key, Spec, Tree
from jaxrl.values import Representation


class StateValues(NamedTuple):
    """The distribution of the return from a state."""

    init: Callable[[Key], Tree]
    outputs: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> theta [..., K]
    representation: Representation

    def distribution(self, params: Tree, obs: Tree) -> values.ReturnDistribution:
        """The distributions [..., N] of the return from obs [..., *]."""
        return self.representation.decode(self.outputs(params, obs))

    def value(self, params: Tree, obs: Tree) -> Array:
        """The values [...] of obs [..., *]: the means of the distributions."""
        return values.mean(self.distribution(params, obs))


def state_values(
    spec: Spec,
    representation: Representation,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    encoder: str = "auto",
    layer_norm: bool = False,
) -> StateValues:
    """State values of any representation but implicit, by the network that suits a spec.

    Raises an InputError for a name that `network` does not know, or for an implicit representation.
    """
    values.require_explicit(representation, "A state value")
    net = networks.network(
        spec, (representation.size,), (1.0,), hidden, activation, encoder, layer_norm=layer_norm
    )
    return StateValues(
        net.init, lambda params, obs: net.step(params, (), obs)[0][0], representation
    )


def expectile_weight(advantage: Array, level: float | Array) -> Array:
    """The weights |level - 1{advantage < 0}| [...] of advantages [...], of targets over values.

    The value that minimises the weighted squared error is the expectile of the targets at the
    level, a number in [0, 1]: their mean at 0.5, and their maximum in the limit of 1. For other
    representations that keep means, the mean is that expectile, and the distribution is the
    mixture of the targets under these weights. Source: Kostrikov et al. (2022), "Offline
    reinforcement learning with implicit Q-learning", equation 5, https://arxiv.org/abs/2110.06169.
    """
    return jnp.where(advantage < 0, 1.0 - level, level)
