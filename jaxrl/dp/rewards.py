"""Rewards of a process: shaping, canonical forms, distances, and rewards with a memory.

Discounts of the process are 0 at terminations and 1 elsewhere, and `gamma` is separate.
"""

import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, arrive
from jaxrl.dp.scalar import policy_evaluation
from jaxrl.errors import require
from jaxrl.types import Array


def shaped(mdp: TabularMDP, potential: Array, gamma: float | Array) -> TabularMDP:
    """Return the process with the rewards r + gamma d Phi(s') - Phi(s) for a potential [S].

    All policies have the same order as before: the action values of each are Q(s, a) - Phi(s).
    Where an episode terminates, d is 0, and the potential of the successor does not count. Source:
    Ng, Harada and Russell (1999), "Policy invariance under reward transformations".

    Examples:
        >>> print(dp.shaped(mdp, jnp.array([0.0, 2.0]), 0.5).reward[0, 1])
        [0. 1.]
    """
    future = gamma * mdp.discount * arrive(mdp, potential)
    return mdp._replace(reward=mdp.reward + future - potential[:, None, None])


def redistributed(mdp: TabularMDP, change: Array) -> TabularMDP:
    """Return the process with `change` [S, A, B] minus its mean over successors added to rewards.

    Expected rewards of pairs, and so all values, stay what they are.

    Examples:
        >>> print(dp.redistributed(mdp, jnp.array([0.0, 2.0]) + 0 * mdp.reward).reward[0, 1])
        [-1.  1.]
    """
    mean = (mdp.transition * change).sum(-1, keepdims=True)
    return mdp._replace(reward=mdp.reward + change - mean)


def canonical_reward(
    mdp: TabularMDP, policy: Array, gamma: float | Array, max_iterations: int | Array = 10_000
) -> Array:
    """Return the value-adjusted levelling [S, A] of the rewards: advantages of a fixed policy.

    C(s, a) = E[r + gamma d V(s')] - V(s) for the values V of the policy [S, A]. Rewards that differ
    by a potential, or only in how they depend on the successor, have the same one, and it orders
    all policies as the rewards do. Source: Skalse et al. (2024), "STARC: a general framework for
    quantifying differences between reward functions", https://arxiv.org/abs/2309.15257.

    Examples:
        >>> print(dp.canonical_reward(mdp, policy, 0.5))
        [[-1.  0.]
         [ 0. -7.]]
    """
    options = {"tolerance": 1e-7, "max_iterations": max_iterations}
    q = policy_evaluation(mdp, policy, gamma, **options).theta
    return q - (policy * q).sum(-1, keepdims=True)


def epic_canonical(mdp: TabularMDP, actions: Array, states: Array, gamma: float | Array) -> Array:
    """Return the canonical rewards [S, A, S] of EPIC, for a dense process that does not terminate.

    C(s, a, s') = r(s, a, s') + E[gamma r(s', A, S') - r(s, A, S') - gamma r(S, A, S')], where S, S'
    and A are drawn independently from `states` [S] and `actions` [A], whatever the dynamics.
    Raises `InputError` if the process is sparse. Source: Gleave et al. (2021), "Quantifying
    differences in reward functions", https://arxiv.org/abs/2006.13900.

    Examples:
        >>> even = jnp.array([0.5, 0.5])
        >>> print(dp.epic_canonical(mdp, even, even, 0.5)[0, 0])
        [-0.375  1.375]
    """
    reward = _dense_reward(mdp)
    mean = jnp.einsum("a,t,sat->s", actions, states, reward)
    shift = gamma * mean[None, None] - mean[:, None, None]
    return reward + shift - gamma * (states @ mean)


def dard_canonical(mdp: TabularMDP, actions: Array, gamma: float | Array) -> Array:
    """Return the canonical rewards [S, A, S] of DARD, for a dense process that does not terminate.

    C(s, a, s') = r(s, a, s') + E[gamma r(s', A, S'') - r(s, A, S') - gamma r(S', A, S'')], where
    A is drawn from `actions` [A], S' follows on s, and S'' follows on s', as the dynamics say. The
    last term pairs successors of s with successors of s'. Raises `InputError` if the process is
    sparse. Source: Wulfe et al. (2022), "Dynamics-aware comparison of learned reward functions",
    https://arxiv.org/abs/2201.10081.

    Examples:
        >>> print(dp.dard_canonical(mdp, jnp.array([0.5, 0.5]), 0.5)[0, 0])
        [0.5  2.25]
    """
    reward = _dense_reward(mdp)
    mean = jnp.einsum("a,sat,sat->s", actions, mdp.transition, reward)
    # S' and S'' share the action A with the reward, and are independent given it.
    after = jnp.einsum("a,sau,tav,uav->st", actions, mdp.transition, mdp.transition, reward)
    return reward + gamma * mean[None, None] - mean[:, None, None] - gamma * after[:, None]


def starc_distance(mdp: TabularMDP, reward: Array, policy: Array, gamma: float | Array) -> Array:
    """Return the distance [], in [0, 2], of the rewards of a process to others [S, A, B].

    It is the Euclidean one of canonical rewards (see `canonical_reward`) that are divided by their
    norms, or are zero where the rewards are trivial. A multiple of it bounds the worst regret from
    above, and another one from below. Source: as `canonical_reward`.

    Examples:
        >>> print(dp.starc_distance(mdp, -mdp.reward, policy, 0.5))
        2.0
    """
    one = _normalised(canonical_reward(mdp, policy, gamma), mdp.reward)
    other = _normalised(canonical_reward(mdp._replace(reward=reward), policy, gamma), reward)
    return jnp.sqrt(jnp.square(one - other).sum())


def epic_distance(
    mdp: TabularMDP, reward: Array, actions: Array, states: Array, gamma: float | Array
) -> Array:
    """Return the Pearson distance [] of the canonical rewards of EPIC: see `epic_canonical`.

    Transitions are weighted by states x actions x states, the impossible ones included.

    Examples:
        >>> even = jnp.array([0.5, 0.5])
        >>> print(dp.epic_distance(mdp, 2 * mdp.reward + 3, even, even, 0.5))
        0.0
    """
    one = epic_canonical(mdp, actions, states, gamma)
    other = epic_canonical(mdp._replace(reward=reward), actions, states, gamma)
    return pearson_distance(one, other, states[:, None, None] * actions[:, None] * states)


def dard_distance(
    mdp: TabularMDP, reward: Array, actions: Array, states: Array, gamma: float | Array
) -> Array:
    """Return the Pearson distance [] of the canonical rewards of DARD: see `dard_canonical`.

    Transitions are weighted by states x actions x dynamics, so that only possible ones count.

    Examples:
        >>> even = jnp.array([0.5, 0.5])
        >>> print(dp.dard_distance(mdp, 2 * mdp.reward + 3, even, even, 0.5))
        0.0
    """
    one = dard_canonical(mdp, actions, gamma)
    other = dard_canonical(mdp._replace(reward=reward), actions, gamma)
    weights = states[:, None, None] * actions[:, None] * mdp.transition
    return pearson_distance(one, other, weights)


def pearson_distance(x: Array, y: Array, weights: Array) -> Array:
    """Return sqrt((1 - correlation) / 2) [], in [0, 1], of arrays under weights of any sum.

    An array that is constant, up to rounding, has the correlation 0 with any other, and 1 with
    another constant.

    Examples:
        >>> x = jnp.array([1.0, 2.0, 3.0])
        >>> print(dp.pearson_distance(x, -x, jnp.ones(3)), dp.pearson_distance(x, x, jnp.ones(3)))
        1.0 0.0
    """
    weights = weights / weights.sum()
    a, b = (_normalised(jnp.sqrt(weights) * (z - (weights * z).sum()), z) for z in (x, y))
    # By the distance of unit vectors, which rounding does not make negative.
    constant = (jnp.square(a).sum() == 0) & (jnp.square(b).sum() == 0)
    either = (jnp.square(a).sum() == 0) | (jnp.square(b).sum() == 0)
    distance = jnp.sqrt(jnp.square(a - b).sum()) / 2
    return jnp.where(constant, 0.0, jnp.where(either, jnp.sqrt(0.5), distance))


def collecting(mdp: TabularMDP, item: Array, value: Array) -> TabularMDP:
    """Return the process with marginal gains of a set function, which remembers the set.

    A transition with `item` [S, A, B] k >= 0 adds k to the set of the episode and pays value(set
    with k) - value(set before) more than it did; with -1 it adds nothing. `value` [2^n] is of sets
    as bits, so that item k is the bit 2^k. With value(set) = c |set| each item pays c once an
    episode, which is a bonus at the first end of each of n options. The state s with the set m is
    m S + s, and episodes begin with none. The result is sparse. Raises `InputError` unless the
    number of values is a power of two. Source of the gains: Prajapat et al. (2024), "Submodular
    reinforcement learning", https://arxiv.org/abs/2307.13372.

    Examples:
        >>> arrives = jnp.broadcast_to(jnp.array([-1, 0]), (2, 2, 2))  # state 1 is item 0
        >>> again = dp.collecting(mdp, arrives, jnp.array([0.0, 5.0]))
        >>> print(again.reward[0, 1], again.successors[0, 1], again.reward[2, 1])
        [0. 5.] [0 3] [0. 0.]
    """
    sets = value.shape[0]
    require(
        value.ndim == 1 and sets > 0 and sets & (sets - 1) == 0,
        f"The value of sets of n items needs 2^n entries, not {value.shape}.",
    )
    states, actions, slots = mdp.transition.shape
    shape = (sets, states, actions, slots)
    before = jnp.arange(sets, dtype=jnp.int32)[:, None, None, None]
    after = jnp.where(item >= 0, before | (1 << jnp.maximum(item, 0)), before)
    successors = mdp.successors
    if isinstance(successors, tuple):
        successors = jnp.arange(states, dtype=jnp.int32)
    lined = lambda x: jnp.broadcast_to(x, shape).reshape(sets * states, actions, slots)
    return TabularMDP(
        lined(mdp.transition),
        lined(mdp.reward + value[after] - value[before]),
        lined(mdp.discount),
        jnp.concatenate([mdp.initial, jnp.zeros((sets - 1) * states, mdp.initial.dtype)]),
        lined(after * states + successors),
    )


def _normalised(form: Array, like: Array) -> Array:
    """A form over its norm, or zero where it is no larger than the rounding of `like`."""
    norm = jnp.sqrt(jnp.square(form).sum())
    least = 1e-5 * jnp.sqrt(jnp.asarray(float(form.size))) * jnp.abs(like).max()
    some = norm > least
    return jnp.where(some, form / jnp.where(some, norm, 1.0), 0.0)


def _dense_reward(mdp: TabularMDP) -> Array:
    require(
        isinstance(mdp.successors, tuple),
        "These canonical rewards are of dense processes: convert this one by jaxrl.dp.dense.",
    )
    return jnp.broadcast_to(mdp.reward, mdp.transition.shape)
