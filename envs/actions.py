"""Transforms `Env -> Env` of one lane that give actions another meaning.

- `decoded`: an action is a latent that a fixed policy makes an action of.
- `chunked`: an action is several actions, to be taken one after another.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.environments import require_box, strong
from jaxrl.errors import InputError, require, require_fraction, require_positive
from jaxrl.types import Array, Box, Discrete, Env, Key, MultiDiscrete, TimeStep, Tree, lanes, select

Decoder = Callable[[Tree, Array], Array]
"""(observation [*], latent [*latents]) -> action [*action], of one lane."""


def decoded(env: Env, decode: Decoder, latents: Box, tell: bool = False) -> Env:
    """Act in the space of latents, of which a fixed `decode` makes the action at an observation.

    The transitions have latents as actions. With `tell` the decoded action is the signal of each
    step, so that learners can value what was done, and zero at a reset. Where `decode` is a
    generator, such as `jaxrl.generators.steered`, an agent of this environment steers it by its
    noise, and never leaves its support. Source: the diffusion steering of Wagenmaker et al. (2025),
    "Steering your diffusion policy with latent space reinforcement learning",
    https://arxiv.org/abs/2506.15799. Raises `InputError` unless the environment's actions are a
    `Box` whose shape `decode` returns, or if there are signals already.
    """
    box = require_box(env, "decoded")
    observation = env.spec.observation
    made = jax.eval_shape(decode, observation, jax.ShapeDtypeStruct(latents.shape, jnp.float32))
    require(
        made.shape == box.shape,
        f"decoded makes actions of shape {made.shape}, but this environment takes {box.shape}.",
    )
    free = not (tell and jax.tree.leaves(env.spec.signals))
    require(free, "decoded cannot tell the action, because this environment has signals already.")

    def told(ts: TimeStep, action: Array) -> TimeStep:
        return ts._replace(signals=action) if tell else ts

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return (state, ts.obs), told(ts, jnp.zeros(box.shape))

    def step(state: Tree, latent: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, obs = state
        action = decode(obs, latent)
        inner, ts = env.step(inner, action, key)
        return (inner, ts.obs), told(ts, action)

    spec = env.spec._replace(action=latents)
    if tell:
        spec = spec._replace(signals=jax.ShapeDtypeStruct(box.shape, jnp.float32))
    return env._replace(init=init, step=step, spec=spec, trial=None)


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
