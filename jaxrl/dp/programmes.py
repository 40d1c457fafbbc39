"""Linear programmes over occupancies: optimal, and optimal under constraints on other costs.

They run on the host, by scipy. Occupancies are discounted visits to pairs, as in
`jaxrl.dp.occupancy`: they sum to 1 / (1 - gamma) where no episode ends.
"""

from typing import NamedTuple

import jax
import numpy as np

from jaxrl.dp.mdp import TabularMDP, averaged, discounted
from jaxrl.errors import InputError, require


class Programme(NamedTuple):
    """The solution of a linear programme over occupancies, as numpy arrays."""

    occupancy: np.ndarray  # [S, A] discounted visits to pairs
    policy: np.ndarray  # [S, A] probabilities, uniform in states that are not visited
    value: float  # the return from the initial states
    state_values: np.ndarray  # [S] dual variables, of rewards less multipliers times costs
    multipliers: np.ndarray  # [K] dual variables of the constraints, zero or more
    costs: np.ndarray  # [K] discounted sums of the costs


def linear_programme(
    mdp: TabularMDP,
    gamma: float,
    costs: np.ndarray | None = None,
    limits: np.ndarray | None = None,
) -> Programme:
    """Return the best occupancy whose discounted costs [K] are at most `limits` [K].

    It maximises sum d(s, a) r(s, a) over d >= 0 whose flow into each state is that out of it,
    sum_a d(s', a) = initial(s') + gamma sum P(s' | s, a) d(s, a), and whose `costs` [K, S, A]
    sum d c_k keep their limits. Without constraints it is the optimal policy. With K of them an
    optimal policy may have to randomise in K states. The arrays must be concrete, and are solved
    in float64, sparsely; `constrained_occupancy` approximates it in compiled code. Raises
    `InputError` if no policy keeps the limits. Source: Altman (1999), "Constrained Markov decision
    processes".

    Examples:
        >>> cost = np.array([[[0.0, 1.0], [0.0, 0.0]]])  # of trying
        >>> found = dp.linear_programme(mdp, 0.5, cost, np.array([0.5]))
        >>> print(found.value, found.policy[0], found.multipliers)
        1.5 [0.5 0.5] [1.]
    """
    from scipy import sparse  # here, because every command would wait for it
    from scipy.optimize import linprog

    model = jax.tree.map(np.asarray, discounted(averaged(mdp), gamma))
    states, actions, slots = model.transition.shape
    none = np.zeros((0, states, actions)), np.zeros(0)
    costs, limits = none if costs is None or limits is None else (costs, limits)
    require(
        costs.shape == (len(limits), states, actions),
        f"Constraints need costs [K, {states}, {actions}] and limits [K], not {costs.shape} and "
        f"{np.shape(limits)}.",
    )
    pair = np.arange(states * actions)
    to = np.broadcast_to(np.arange(states), model.transition.shape)
    to = to if isinstance(mdp.successors, tuple) else np.asarray(mdp.successors)
    flow = (model.discount * model.transition).ravel().astype(np.float64)
    arriving = sparse.csr_matrix(
        (flow, (to.ravel(), np.repeat(pair, slots))), (states, states * actions)
    )
    leaving = sparse.csr_matrix(
        (np.ones(pair.size), (pair // actions, pair)), (states, states * actions)
    )
    reward = model.reward[..., 0].ravel().astype(np.float64)
    found = linprog(
        -reward,
        A_ub=costs.reshape(len(limits), -1) if len(limits) else None,
        b_ub=limits if len(limits) else None,
        A_eq=leaving - arriving,
        b_eq=np.asarray(mdp.initial, np.float64),
        method="highs",
    )
    if found.x is None:
        raise InputError(f"No policy keeps the limits {limits}: raise them, or check the costs.")
    visits = found.x.reshape(states, actions)
    total = visits.sum(1, keepdims=True)
    policy = np.where(total > 1e-12, visits / np.where(total > 1e-12, total, 1), 1 / actions)
    multipliers = -found.ineqlin.marginals if len(limits) else np.zeros(0)
    paid = (costs * visits).sum((1, 2))
    return Programme(visits, policy, -found.fun, -found.eqlin.marginals, multipliers, paid)
