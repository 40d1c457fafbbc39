"""Games of several players who move once, at the same time: what deviations gain, and equilibria.

Payoffs are arrays [N, A, ..., A] of what each of N players gets for each joint action, and policies
are probabilities [N, A]. A game of fewer players is padded by players whose actions change nothing.
"""

import functools

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.types import Array


def congestion_payoffs(weights: Array, base: Array, slope: Array) -> Array:
    """The payoffs [N, A, ..., A] of a game in which resources are the worse, the more use them.

    u_i(a) = -w_i (base[a_i] + slope[a_i] sum of the weights w_j of all players with a_j = a_i), for
    weights [N] of players and costs [A] of A resources. A player of weight 0 is absent: it gets 0
    and nobody notices it. Since costs are affine, there is a pure equilibrium. Source: Rosenthal
    (1973), "A class of games possessing pure-strategy Nash equilibria"; with weights, Fotakis,
    Kontogiannis and Spirakis (2005), "Selfish unsplittable flows".

    Examples:
        >>> print(congestion_payoffs(jnp.ones(2), jnp.zeros(2), jnp.ones(2))[0])
        [[-2. -1.]
         [-1. -2.]]
    """
    players, actions = len(weights), len(base)
    joint = jnp.stack(jnp.meshgrid(*[jnp.arange(actions)] * players, indexing="ij"))  # [N, A, ...]
    chosen = jax.nn.one_hot(joint, actions)  # [N, A, ..., A, A]
    load = jnp.tensordot(weights, chosen, 1)
    cost = (chosen * (base + slope * load)).sum(-1)
    return -weights.reshape(-1, *[1] * players) * cost


def deviation_values(payoffs: Array, policies: Array) -> Array:
    """What each action pays each player [N, A] in the mean, if the others keep their policies.

    Q_i(a) = E[u_i(a, a_-i)], where the others' actions are drawn from their rows of `policies`
    [N, A]. All joint actions are counted, so that it takes N A^N operations. Raises an InputError
    unless payoffs have an axis for each player.

    Examples:
        >>> match = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
        >>> print(deviation_values(jnp.stack([match, -match]), jnp.array([[1.0, 0.0], [0.5, 0.5]])))
        [[ 0.  0.]
         [-1.  1.]]
    """
    players = len(policies)
    require(
        payoffs.ndim == players + 1 and payoffs.shape[0] == players,
        f"{players} players need payoffs [N, A, ..., A] with {players} axes of actions, not of "
        f"shape {payoffs.shape}.",
    )

    def of(player: int) -> Array:
        own_first = jnp.moveaxis(payoffs[player], player, 0)
        others = [policies[j] for j in reversed(range(players)) if j != player]
        return functools.reduce(lambda x, p: x @ p, others, own_first)

    return jnp.stack([of(player) for player in range(players)])


def deviation_gains(payoffs: Array, policies: Array, values: Array | None = None) -> Array:
    """What each player [N] gains by its best reply: max_a Q_i(a) - sum_a pi_i(a) Q_i(a).

    `values` [N, A] are those of `deviation_values`, if they are known. With fixed ones the gradient
    is that of each player's own policy alone: minus its policy gradient.

    Examples:
        >>> match = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
        >>> print(deviation_gains(jnp.stack([match, -match]), jnp.array([[1.0, 0.0], [0.5, 0.5]])))
        [0. 1.]
    """
    q = deviation_values(payoffs, policies) if values is None else values
    return q.max(-1) - (policies * q).sum(-1)


def exploitability(payoffs: Array, policies: Array) -> Array:
    """The largest gain [] of any player by a deviation; it is 0 in a Nash equilibrium only.

    Policies of exploitability e are an e-equilibrium.

    Examples:
        >>> match = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
        >>> print(exploitability(jnp.stack([match, -match]), jnp.full((2, 2), 0.5)))
        0.0
    """
    return deviation_gains(payoffs, policies).max()


def pure_equilibria(payoffs: Array, tolerance: float = 1e-6) -> Array:
    """Whether each joint action [A, ..., A] is a Nash equilibrium, by trying all deviations.

    Examples:
        >>> print(pure_equilibria(congestion_payoffs(jnp.ones(2), jnp.zeros(2), jnp.ones(2))))
        [[False  True]
         [ True False]]
    """
    best = [x.max(axis, keepdims=True) <= x + tolerance for axis, x in enumerate(payoffs)]
    return functools.reduce(jnp.logical_and, best)
