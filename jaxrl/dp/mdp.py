"""Finite Markov decision processes as arrays, dense or sparse, and maps between them.

Both kinds have one type: the successors of a pair (s, a) are B slots, each with a probability, a
reward and a discount. In a dense process B = S and slot b leads to state b; in a sparse one
`successors` holds the state of each slot, and no function makes an array [S, A, S] of it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import InputError, require, require_fraction
from jaxrl.types import Array


class TabularMDP(NamedTuple):
    """A Markov decision process of S states, A actions and B successors of each pair.

    A random reward is expressed by a successor that appears twice with different rewards.
    `reward` and `discount` may be [S, A, 1] where they depend on the pair alone.
    """

    transition: Array  # [S, A, B] probabilities of the successors
    reward: Array  # [S, A, B] of going from s by a to the successor
    discount: Array  # [S, A, B] 0 where the successor ends the episode, else 1
    initial: Array  # [S] probabilities of the first state
    successors: Array | tuple = ()  # [S, A, B] int32, or () where B = S and slot b is state b


def from_arrays(
    transition: np.ndarray,
    reward: np.ndarray,
    discount: np.ndarray,
    initial: np.ndarray,
    successors: np.ndarray | tuple = (),
) -> TabularMDP:
    """Build a `TabularMDP` from numpy arrays, `reward` [S, A] or [S, A, B].

    Without `successors` it is dense. The arrays become float32, or float64 under `jax_enable_x64`.
    Raises `InputError` if shapes disagree or are empty, if probabilities do not sum to one, if a
    reward is not finite, if a discount is outside [0, 1], or if a successor is not a state.

    Examples:
        >>> print(dp.from_arrays(p, r, d, np.array([0.5, 0.5])).initial)
        [0.5 0.5]
    """
    dense = isinstance(successors, tuple)
    require(
        transition.ndim == 3 and transition.size > 0,
        "An MDP needs transition probabilities [S, A, S], or [S, A, B] with successors, of at "
        f"least one state and one action, not {transition.shape}.",
    )
    states, actions, slots = transition.shape
    reward = np.repeat(reward[:, :, None], slots, axis=2) if reward.ndim == 2 else reward
    shapes = {transition.shape, reward.shape, discount.shape}
    shapes |= {(states, actions, states)} if dense else {successors.shape}
    if len(shapes) > 1 or initial.shape != (states,):
        axes = "[S, A, S]" if dense else "and successors [S, A, B]"
        raise InputError(
            f"An MDP needs transition, reward and discount {axes} and initial [S], not "
            f"{transition.shape}, {reward.shape}, {discount.shape} and {initial.shape}."
        )
    for name, p in (("transition", transition), ("initial", initial)):
        if (p < 0).any() or not np.allclose(p.sum(-1), 1.0, atol=1e-5):
            raise InputError(f"The {name} probabilities of an MDP must be >= 0 and sum to 1.")
    require(bool(np.isfinite(reward).all()), "The rewards of an MDP must be finite.")
    require(
        bool(((discount >= 0) & (discount <= 1)).all()),
        "The discounts of an MDP must lie between 0, where an episode ends, and 1.",
    )
    if not dense:
        inside = bool((successors >= 0).all() and (successors < states).all())
        require(inside, f"The successors of an MDP must be states, 0 to {states - 1}.")
    floats = TabularMDP(*(jnp.asarray(x, float) for x in (transition, reward, discount, initial)))
    return floats if dense else floats._replace(successors=jnp.asarray(successors, jnp.int32))


def arrive(mdp: TabularMDP, x: Array) -> Array:
    """Gather an array of states, x [S, ...], at the successors of each pair: [S, A, B, ...].

    In a dense process the successors are the states themselves: [1, 1, S, ...], to be broadcast.

    Examples:
        >>> print(dp.arrive(dp.sparse(mdp), jnp.array([2.0, 8.0]))[0, 1])
        [2. 8.]
    """
    if isinstance(mdp.successors, tuple):
        return x[None, None]
    # Successors are states: neither negative nor too high, so the gather need not check.
    return x.at[mdp.successors].get(mode="promise_in_bounds")


def expect(mdp: TabularMDP, x: Array) -> Array:
    """Return the expectation [S, A, ...] of x [S, ...] over the successors of each pair.

    Examples:
        >>> print(dp.expect(mdp, jnp.array([2.0, 8.0])))
        [[2. 5.]
         [8. 2.]]
    """
    return contract(mdp.transition, arrive(mdp, x))


def contract(weights: Array, x: Array) -> Array:
    """Return the sum over slots [S, A, ...] of weights [S, A, B] times x [S, A, B, ...].

    With x [1, 1, B, ...], as `arrive` returns for a dense process, it is one matrix product.

    Examples:
        >>> print(dp.contract(mdp.transition, jnp.array([[[2.0, 8.0]]])))
        [[2. 5.]
         [8. 2.]]
    """
    if x.shape[:2] != (1, 1):
        return (weights.reshape(weights.shape + (1,) * (x.ndim - 3)) * x).sum(2)
    states, actions, slots = weights.shape
    # Two axes: XLA then calls a library for the product, several times as fast as its own loops.
    columns = x.reshape(slots, -1) if x.ndim > 3 else x.reshape(slots)
    flat = weights.reshape(-1, slots) @ columns
    return flat.reshape(states, actions, *x.shape[3:])


def discounted(mdp: TabularMDP, gamma: float | Array) -> TabularMDP:
    """Return the process whose discounts are multiplied by `gamma` [] or [S, A, B].

    Raises `InputError` if gamma is outside [0, 1].

    Examples:
        >>> print(dp.discounted(mdp, 0.5).discount[0, 1])
        [0.  0.5]
    """
    require_fraction(gamma=gamma)
    return mdp._replace(discount=gamma * mdp.discount)


def averaged(mdp: TabularMDP) -> TabularMDP:
    """Return a process with the same expected backups and with rewards and discounts of pairs.

    The mean commutes with mixing, so E[r + d V(s')] needs only the mean reward [S, A, 1], the
    mean discount [S, A, 1] and successors weighted by P d / E[d]. Expected values are the same;
    return distributions are not.

    Examples:
        >>> print(dp.averaged(mdp).discount[..., 0])
        [[0.  0.5]
         [0.  1. ]]
    """
    reward = (mdp.transition * mdp.reward).sum(-1, keepdims=True)
    return _normalised(mdp, mdp.transition * mdp.discount, mdp.transition, reward)


def _normalised(mdp: TabularMDP, kept: Array, transition: Array, reward: Array) -> TabularMDP:
    """Split weights `kept` into probabilities and a discount; if all end, keep `transition`."""
    discount = kept.sum(-1, keepdims=True)
    goes_on = discount > 0
    transition = jnp.where(goes_on, kept / jnp.where(goes_on, discount, 1), transition)
    return mdp._replace(transition=transition, reward=reward, discount=discount)


def chosen(mdp: TabularMDP, action: Array) -> TabularMDP:
    """Return the process with one action, [S, 1, B], under a deterministic policy [S].

    Examples:
        >>> print(dp.chosen(mdp, jnp.array([0, 1])).reward[:, 0])
        [[1. 1.]
         [0. 0.]]
    """

    def pick(x: Array) -> Array:
        return jnp.take_along_axis(x, action[:, None, None], 1)

    picked = jax.tree.map(pick, mdp._replace(initial=()))
    return picked._replace(initial=mdp.initial)


def under(mdp: TabularMDP, policy: Array) -> TabularMDP:
    """Return the sparse process with one action, [S, 1, A * B], under a policy [S, A].

    Examples:
        >>> print(dp.under(mdp, policy).transition[0])
        [[0.  0.  0.5 0.5]]
    """
    states, actions, slots = mdp.transition.shape
    successors = mdp.successors
    if isinstance(successors, tuple):
        successors = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32), mdp.transition.shape)
    lined = lambda x: jnp.broadcast_to(x, (states, actions, slots)).reshape(states, 1, -1)
    return TabularMDP(
        lined(policy[..., None] * mdp.transition),
        lined(mdp.reward),
        lined(mdp.discount),
        mdp.initial,
        lined(successors),
    )


def averaged_under(mdp: TabularMDP, policy: Array) -> TabularMDP:
    """Return the Markov reward process of a policy [S, A]: `averaged`, with one action.

    It is dense, [S, 1, S], if `mdp` is, and otherwise sparse, [S, 1, A * B].

    Examples:
        >>> print(dp.averaged_under(mdp, policy).reward[:, 0, 0])
        [0. 8.]
    """
    if not isinstance(mdp.successors, tuple):
        return averaged(under(mdp, policy))
    over = lambda x: (policy[..., None] * x).sum(1, keepdims=True)
    kept, transition = over(mdp.transition * mdp.discount), over(mdp.transition)
    reward = over(mdp.transition * mdp.reward).sum(-1, keepdims=True)
    return _normalised(mdp, kept, transition, reward)


def paired(mdp: TabularMDP) -> bool:
    """Return whether rewards and discounts are stored by pair, [S, A, 1].

    Examples:
        >>> dp.paired(mdp), dp.paired(dp.averaged(mdp))
        (False, True)
    """
    return mdp.reward.shape[-1] == 1 and mdp.discount.shape[-1] == 1


def sparse(mdp: TabularMDP) -> TabularMDP:
    """Return the sparse form of a dense process, with the largest number of successors as slots.

    The arrays must be concrete. Unused slots have probability 0 and lead to state 0. Raises
    `InputError` if the process is sparse.

    Examples:
        >>> print(dp.sparse(mdp).successors[0, 1])
        [0 1]
    """
    require(isinstance(mdp.successors, tuple), "This process is sparse already.")
    p, r, d = np.broadcast_arrays(*(np.asarray(x) for x in mdp[:3]))
    slots = int((p > 0).sum(-1).max())
    order = np.argsort(p == 0, axis=-1, kind="stable")[..., :slots]
    p, r, d = (np.take_along_axis(x, order, -1) for x in (p, r, d))
    return from_arrays(p, r, d, np.asarray(mdp.initial), np.where(p > 0, order, 0))


def stacked(mdps: Iterable[TabularMDP]) -> TabularMDP:
    """Stack processes of the same shapes into one, whose arrays have a first axis to vmap over.

    Examples:
        >>> dp.stacked([mdp, mdp]).reward.shape
        (2, 2, 2, 2)
    """
    return jax.tree.map(lambda *x: jnp.stack(x), *mdps)


def dense(mdp: TabularMDP) -> TabularMDP:
    """Return the dense form of a small sparse process; repeated successors get their mean reward.

    Expected values are the same; return distributions of random rewards are lost.

    Examples:
        >>> print(dp.dense(dp.sparse(mdp)).transition[0, 1])
        [0.5 0.5]
    """
    if isinstance(mdp.successors, tuple):
        return mdp
    states = mdp.transition.shape[0]
    share = mdp.transition[..., None] * jax.nn.one_hot(mdp.successors, states)  # [S, A, B, S]
    p = share.sum(2)
    kept = jnp.where(p > 0, p, 1)
    reward, discount = ((share * x[..., None]).sum(2) / kept for x in (mdp.reward, mdp.discount))
    return TabularMDP(p, reward, discount, mdp.initial)
