"""Products of processes with automata: objectives that depend on what happened before.

A reward machine pays for sequences of events, which no reward of states and actions can. In the
product with it the state also holds how far the machine is, and every solver applies.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.dp.mdp import TabularMDP, arrive
from jaxrl.errors import require
from jaxrl.types import Array


class Automaton(NamedTuple):
    """A deterministic machine of U states that reads a label in each step and pays for it.

    It begins in state 0.
    """

    transition: Array  # [U, L] int32, the next state
    reward: Array  # [U, L]
    discount: Array  # [U, L] 0 where the episode ends, else 1


def automaton_product(
    mdp: TabularMDP, automaton: Automaton, labels: Array, own: float | Array = 0.0
) -> TabularMDP:
    """Return the sparse process of states s * U + u of a process that a machine watches.

    `labels` are the events 0 to L - 1 of steps, [S, A, B], or of the states that are entered, [S].
    Rewards are those of the machine plus `own` times those of the process; an episode ends where
    either says so. Policies of the product are policies with the machine's state as memory.
    Source: Toro Icarte et al. (2018), "Using reward machines for high-level task specification and
    decomposition in reinforcement learning". Raises `InputError` for labels that the machine does
    not know.

    Examples:
        >>> once = jnp.array([[0, 1], [1, 1]])  # to state 1 of the machine with event 1
        >>> machine = dp.Automaton(once, jnp.array([[0.0, 5.0], [0.0, 0.0]]), jnp.ones((2, 2)))
        >>> product = dp.automaton_product(mdp, machine, jnp.array([0, 1]))  # 5 for reaching 1
        >>> print(dp.value_iteration(product, 0.5).theta[:2, 1])  # not yet there, or been there
        [2.5 0. ]
    """
    states, actions, slots = mdp.transition.shape
    size, events = automaton.transition.shape
    shape = states, actions, slots
    fits = labels.shape in ((states,), shape)
    require(
        fits,
        f"Labels are of states, ({states},), or of steps, {shape}, but they are {labels.shape}.",
    )
    if not isinstance(labels, Tracer):
        known = bool((np.asarray(labels) >= 0).all() and (np.asarray(labels) < events).all())
        require(known, f"This automaton reads the labels 0 to {events - 1}, but others are given.")
    event = arrive(mdp, labels) if labels.ndim == 1 else labels
    event = jnp.broadcast_to(event, shape)[:, None]  # [S, 1, A, B]
    here = jnp.arange(size)[:, None, None]
    each = lambda x: jnp.broadcast_to(
        jnp.broadcast_to(x, shape)[:, None], (states, size, actions, slots)
    )
    place = each(arrive(mdp, jnp.arange(states)))
    lined = lambda x: x.reshape(states * size, actions, slots)
    first = jnp.zeros((states, size), mdp.initial.dtype).at[:, 0].set(mdp.initial)
    return TabularMDP(
        lined(each(mdp.transition)),
        lined(automaton.reward[here, event] + own * each(mdp.reward)),
        lined(automaton.discount[here, event] * each(mdp.discount)),
        first.reshape(-1),
        lined(place * size + automaton.transition[here, event]).astype(jnp.int32),
    )
