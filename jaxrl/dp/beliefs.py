"""Exact planning in small partially observable processes: beliefs as the states of a process."""

from typing import NamedTuple

import numpy as np

from jaxrl.dp.mdp import TabularMDP, dense, from_arrays
from jaxrl.errors import require, require_positive
from jaxrl.types import Array


class Beliefs(NamedTuple):
    """A sparse process whose states are the beliefs that are reached, and what they are."""

    process: TabularMDP  # N states, the first of which is the initial belief
    beliefs: np.ndarray  # [N, S] probabilities of the hidden states
    expanded: np.ndarray  # [N] bool, whether the successors of the belief are in the process


def belief_process(
    mdp: TabularMDP, observation: Array | np.ndarray, depth: int, decimals: int = 9
) -> Beliefs:
    """Return the process of beliefs that `depth` steps can reach from the initial one.

    `observation` [A, S, O] are the probabilities of what is seen after an action in the state that
    it led to. A step from a belief b has the reward E[r | b, a]; it ends with the probability that
    the hidden process ends, and otherwise leads to the belief of Bayes' rule for each observation.
    Beliefs that agree to `decimals` decimals are one. A belief that only the last step reaches is
    worth nothing more: over `depth` steps values are exact, and if the beliefs close under all
    actions (`expanded` everywhere) also for ever. Their number may grow as (A O)^depth. Runs on
    the host; the process must be concrete. Source: Astrom (1965), "Optimal control of Markov
    processes with incomplete state information". Raises `InputError` if shapes disagree or
    observations are not distributions.

    Examples:
        >>> blind = np.ones((2, 2, 1))  # nothing is seen
        >>> found = dp.belief_process(mdp, blind, depth=2)
        >>> print(found.beliefs[:2], dp.value_iteration(found.process, 1.0).theta[0])
        [[1. 0.]
         [0. 1.]] [1. 4.]
    """
    require_positive(depth=depth)
    p, r, d, initial = (np.asarray(x, np.float64) for x in dense(mdp)[:4])
    p, r, d = np.broadcast_arrays(p, r, d)
    states, actions, _ = p.shape
    seen = np.asarray(observation, np.float64)
    require(
        seen.ndim == 3 and seen.shape[:2] == (actions, states),
        f"Observations need probabilities [{actions}, {states}, O] of actions and states, not "
        f"{seen.shape}.",
    )
    require(
        bool((seen >= 0).all()) and np.allclose(seen.sum(-1), 1.0, atol=1e-5),
        "The probabilities of observations must be >= 0 and sum to 1.",
    )
    paid = (p * r).sum(-1)
    known, index = [initial], {tuple(initial.round(decimals)): 0}
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # of beliefs: chances, ends, where
    frontier = [0]
    for _ in range(depth):
        found = []
        for number in frontier:
            chance, where = _successors(known[number], p, d, seen)
            places = np.zeros(chance.shape[:2], int)
            for a, o in zip(*np.nonzero(chance[..., 0] > 0)):
                key = tuple(where[a, o].round(decimals))
                if key not in index:
                    index[key] = len(known)
                    known.append(where[a, o])
                    found.append(index[key])
                places[a, o] = index[key]
            rows.append((chance[..., 0], known[number] @ paid, places))
        frontier = found
    size, slots = len(known), seen.shape[-1] + 1
    transition = np.zeros((size, actions, slots))
    reward, ends = np.zeros((size, actions)), np.zeros((size, actions, slots))
    successors = np.zeros((size, actions, slots), int)
    transition[:, :, -1] = 1  # unless it is expanded it ends
    for number, (chance, mean, places) in enumerate(rows):
        transition[number, :, :-1], successors[number, :, :-1] = chance, places
        transition[number, :, -1] = np.maximum(1 - chance.sum(-1), 0)
        reward[number] = mean
    ends[:, :, :-1] = 1
    process = from_arrays(transition, reward, ends, np.eye(size)[0], successors)
    return Beliefs(process, np.stack(known), np.arange(size) < len(rows))


def _successors(
    belief: np.ndarray, p: np.ndarray, d: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the chances [A, O, 1] of going on with an observation, and the beliefs [A, O, S]."""
    going = np.einsum("s,sat->at", belief, p * d)
    joint = going[:, None] * np.moveaxis(seen, -1, 1)  # [A, O, S]
    chance = joint.sum(-1, keepdims=True)
    return chance, joint / np.where(chance > 0, chance, 1)
