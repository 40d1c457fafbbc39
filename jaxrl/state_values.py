"""Networks of the values of states, and weights that make them values of better actions.

A state value regresses on what its actions are worth. With `expectile_weight`, whose sign comes
from another value, it is an expectile over actions, from the behaviour's value (level 0.5) to that
of the best action in the data (level 1):

    weight = expectile_weight(advantage, level)
    loss = weight * representation.loss(v.outputs(params, obs), q)

for the return distribution `q` of the action that was taken, and its advantage over the state. The
values of XQL and SQL come from weights of other kinds, `gumbel_weight` and `sparse_weight`.
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


def gumbel_weight(advantage: Array, temperature: float | Array, largest: float = 5.0) -> Array:
    """The weights (exp(A / b) - 1) / (A / b) [...] of advantages [...], of targets over values.

    They make the gradient of a squared error that of b^2 (exp(z) - z - 1) with z = A / b, so that
    the value is b log E exp(Q / b), from the mean of an infinite temperature b to the maximum of
    b = 0. Beyond `largest` z counts as that much in the exponential, so that the gradient is
    bounded and yet does not vanish, as it does where the loss itself is clipped. Source: Garg et
    al. (2023), "Extreme Q-learning: MaxEnt RL without entropy", https://arxiv.org/abs/2301.02328.
    """
    z = advantage / temperature
    near = jnp.abs(z) < 1e-3
    safe = jnp.where(near, 1.0, z)
    return jnp.where(near, 1.0 + z / 2, jnp.expm1(jnp.minimum(safe, largest)) / safe)


def sparse_weight(advantage: Array, temperature: float | Array) -> Array:
    """The weights min(1, 2 a / |A|) of negative advantages A, and 1 of others [...].

    They make the gradient of a squared error that of 2 a^2 (max(1 + A / (2 a), 0)^2 + V / a), so
    that the value V solves E max(0, 1 + (Q - V) / (2 a)) = 1, from the mean of an infinite
    temperature a to the maximum of a = 0. Source: Xu et al. (2023), "Offline RL with no OOD
    actions: in-sample learning via implicit value regularization",
    https://arxiv.org/abs/2303.15810, SQL.
    """
    return jnp.where(
        advantage < 0, jnp.minimum(1.0, 2 * temperature / jnp.maximum(-advantage, 1e-8)), 1.0
    )
