"""A transform `Env -> Env` of one lane that gives actions another meaning.

- `chunked`: an action is several actions, to be taken one after another.
"""

import jax
import jax.numpy as jnp

from jaxrl.environments import strong
from jaxrl.errors import InputError, require, require_fraction, require_positive
from jaxrl.types import Array, Box, Discrete, Env, Key, MultiDiscrete, TimeStep, Tree, lanes, select


def chunked(env: Env, length: int, discount: float | Array = 1.0) -> Env:
    """Act by chunks of `length` actions that are taken one after another, without looking.

    After m steps, as many as there are unless the episode ends before, the reward and the discount
    of a chunk are

        R = sum over i < m of discount^i d_1 ... d_i R_{i+1},  D = discount^(m-1) d_1 ... d_m,

    so that an agent with the same discount per step bootstraps with exactly discount^m. With the
    default 1, rewards are added up, and the agent's discount is that of a whole chunk. Nothing is
    done after the end of an episode; one that is truncated within a chunk is truncated. One step of
    this environment is up to `length` steps of the other. Actions of a `Box` [*action] become those
    of a `Box` [length, *action], and discrete ones a `MultiDiscrete`. Raises `InputError` for other
    actions, for a mask, or for numbers out of range.
    """
    require_positive(length=length)
    require_fraction(discount=discount)
    space = env.spec.action
    if not isinstance(space, Box | Discrete):
        raise InputError(f"chunked needs actions of one kind, continuous or discrete, not {space}.")
    require(
        env.spec.mask is None,
        "chunked does not work where spec.mask forbids actions, because it cannot know what is "
        "allowed later.",
    )
    if isinstance(space, Box):
        wide = lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.float32), (length, *space.shape))
        action = Box(wide(space.low), wide(space.high))
    else:
        action = MultiDiscrete((space.num,) * length)

    step = lambda state, actions, key: in_a_row(env, state, actions, key, discount)
    return env._replace(step=step, spec=env.spec._replace(action=action), trial=None)


def in_a_row(
    env: Env, state: Tree, actions: Array, key: Key, discount: float | Array
) -> tuple[Tree, TimeStep]:
    """Take actions [K, *action] in one lane until its episode ends: see `chunked`."""
    number = lanes(actions)
    keys = jax.random.split(key, number)
    first = strong(env.step(state, actions[0], keys[0]))
    if number == 1:  # a scan of no steps does not run without compilation
        return first

    def again(carry: tuple[Tree, TimeStep], now: tuple[Array, Key]) -> tuple[tuple, None]:
        state, ts = carry
        new_state, new = strong(env.step(state, *now))
        so_far = discount * ts.discount
        reward, left = ts.reward + so_far * new.reward, so_far * new.discount
        longer = new._replace(
            reward=jnp.asarray(reward, ts.reward.dtype), discount=jnp.asarray(left, left.dtype)
        )
        # An episode that has ended stays as it is: what follows its end is undefined.
        return select(ts.last, carry, (new_state, longer)), None

    return jax.lax.scan(again, first, (actions[1:], keys[1:]))[0]
