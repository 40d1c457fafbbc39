"""Finite Markov decision processes: exact arrays, and environments that sample from them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep


class TabularMDP(NamedTuple):
    """A Markov decision process of S states and A actions, whole."""

    transition: Array  # [S, A, S] probabilities P(s' | s, a)
    reward: Array  # [S, A, S] expected reward of (s, a, s')
    discount: Array  # [S, A, S] 0 where s' ends the episode, else 1
    initial: Array  # [S] probabilities of the first state


def from_arrays(
    transition: np.ndarray, reward: np.ndarray, discount: np.ndarray, initial: np.ndarray
) -> TabularMDP:
    """Build a `TabularMDP` of float32 arrays, `reward` [S, A] or [S, A, S].

    Raises `ValueError` if shapes disagree, or if probabilities do not sum to one.
    """
    states, actions = transition.shape[:2]
    reward = reward if reward.ndim == 3 else np.repeat(reward[:, :, None], states, axis=2)
    shape = (states, actions, states)
    if {transition.shape, reward.shape, discount.shape} != {shape} or initial.shape != (states,):
        raise ValueError(
            "An MDP needs transition, reward and discount [S, A, S] and initial [S], not "
            f"{transition.shape}, {reward.shape}, {discount.shape} and {initial.shape}."
        )
    for name, p in (("transition", transition), ("initial", initial)):
        if (p < 0).any() or not np.allclose(p.sum(-1), 1.0, atol=1e-5):
            raise ValueError(f"The {name} probabilities of an MDP must be >= 0 and sum to 1.")
    return TabularMDP(
        *(jnp.asarray(x, jnp.float32) for x in (transition, reward, discount, initial))
    )


def from_mdp(mdp: TabularMDP) -> Env:
    """The environment that samples from `mdp`: one-hot observations [S], discrete actions.

    The state is the index of the current state, as int32. Terminations are where the discount
    is 0; add `jaxrl.environments.time_limit` for processes that never end.
    """
    states, actions = mdp.transition.shape[:2]
    # Cumulative sums once, here: a draw is then one uniform number and a count. The division
    # makes the last exactly 1, so that rounding leaves no gap at the top.
    cumulative = jnp.cumsum(mdp.transition, axis=-1)
    cumulative = cumulative / cumulative[..., -1:]
    first = jnp.cumsum(mdp.initial)
    first = first / first[-1]

    def show(state: Array) -> Array:
        return jax.nn.one_hot(state, states, dtype=jnp.float32)

    def draw(cdf: Array, key: Key) -> Array:
        # uniform is in [0, 1): an outcome of probability zero cannot come up.
        return jnp.sum(jax.random.uniform(key) >= cdf).astype(jnp.int32)

    def init(key: Key) -> tuple[Array, TimeStep]:
        state = draw(first, key)
        obs, zero = show(state), jnp.zeros((), jnp.float32)
        return state, TimeStep(obs, zero, zero + 1.0, jnp.zeros((), bool), obs, {})

    def step(state: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        new = draw(cumulative[state, action], key)
        obs, discount = show(new), mdp.discount[state, action, new]
        last = discount == 0.0
        return new, TimeStep(obs, mdp.reward[state, action, new], discount, last, obs, {})

    observation = jax.ShapeDtypeStruct((states,), jnp.float32)
    return Env(init, step, Spec(observation, Discrete(actions)))
