"""Environments that sample from finite Markov decision processes."""

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, from_arrays
from jaxrl.environments import begun
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep

__all__ = ["TabularMDP", "from_arrays", "from_mdp"]


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
    successors = mdp.successors
    reward, discount = (jnp.broadcast_to(x, cumulative.shape).astype(jnp.float32) for x in mdp[1:3])

    def show(state: Array) -> Array:
        return jax.nn.one_hot(state, states, dtype=jnp.float32)

    def draw(cdf: Array, key: Key) -> Array:
        # uniform is in [0, 1): an outcome of probability zero cannot come up.
        return jnp.sum(jax.random.uniform(key) >= cdf).astype(jnp.int32)

    def init(key: Key) -> tuple[Array, TimeStep]:
        state = draw(first, key)
        return state, begun(show(state))

    def step(state: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        slot = draw(cumulative[state, action], key)
        new = slot if isinstance(successors, tuple) else successors[state, action, slot]
        obs, kept = show(new), discount[state, action, slot]
        return new, TimeStep(obs, reward[state, action, slot], kept, kept == 0.0, obs, {})

    observation = jax.ShapeDtypeStruct((states,), jnp.float32)
    return Env(init, step, Spec(observation, Discrete(actions)), fresh=1.0)
