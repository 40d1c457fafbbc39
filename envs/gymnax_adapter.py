"""Environments of gymnax, entered below its own auto-reset, so that `final` is the successor."""

import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp

from envs.errors import unknown_parameters
from envs.transforms import cast_observation
from jaxrl.errors import InputError
from jaxrl.types import Array, Box, Discrete, Env, Key, Spec, TimeStep, Tree


def names() -> list[str]:
    """The names of all gymnax environments, as gymnax spells them."""
    from gymnax import registration

    return list(registration.registered_envs)


def make(name: str, **params: Any) -> Env:
    """The gymnax environment `name`, with some of its parameters replaced.

    Parameters are the fields of the environment's `EnvParams` (numbers, which may be traced) and
    the arguments of its constructor (such as `num_bits` of MemoryChain-bsuite). Observations are
    as of `from_gymnax`, and those of MinAtar boolean. Raises `InputError` for a parameter that is
    neither.
    """
    from gymnax import registration

    factory = registration._registry[name]
    shape_names = list(inspect.signature(factory).parameters)
    given = {key: value for key, value in params.items() if key in shape_names}
    try:
        env = factory(**given)
    except OSError as error:
        raise InputError(
            f"{name} downloads its data when first made, and that failed ({error}): "
            "make it once with a network."
        ) from error
    env = _walled(env) if name == "MountainCarContinuous-v0" else env
    defaults = env.default_params
    fields = [field.name for field in dataclasses.fields(defaults)]
    unknown_parameters(name, set(params) - set(given), shape_names + fields)
    changed = {key: value for key, value in params.items() if key not in shape_names}
    made = from_gymnax(env, dataclasses.replace(defaults, **_derived(name, defaults, changed)))
    # MinAtar's images are of zeros and ones: a byte each, where experience is stored.
    return cast_observation(made, jnp.bool_) if name.endswith("-MinAtar") else made


def from_gymnax(env: Any, params: Any = None) -> Env:
    """Adapt any `gymnax.environments.environment.Environment`, with its defaults or `params`.

    Observations are float32: those of a `Discrete` space become one-hot vectors, other integers
    are cast. The spec is of what the environment emits, not of what its space declares. The end
    that `params.max_steps_in_episode` brings is a truncation: it leaves `discount` at 1.
    """
    from gymnax.environments import spaces

    params = env.default_params if params is None else params
    space, actions = env.observation_space(params), env.action_space(params)

    def observe(obs: Tree) -> Tree:
        if isinstance(space, spaces.Discrete):
            return jax.nn.one_hot(obs, space.n, dtype=jnp.float32)
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), obs)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        obs, state = env.reset_env(key, params)
        obs, zero = observe(obs), jnp.zeros((), jnp.float32)
        return _strong(state), TimeStep(obs, zero, zero + 1.0, jnp.zeros((), bool), obs, {})

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        obs, terminated = observe(obs), jnp.asarray(terminated, bool)
        discount = 1.0 - terminated.astype(jnp.float32)
        last = terminated | env.is_truncated(state, params)
        reward = jnp.asarray(reward, jnp.float32)
        return _strong(state), TimeStep(obs, reward, discount, last, obs, {})

    # Old-style keys are of no use here; a shape is enough to trace with.
    observation = jax.eval_shape(lambda: init(jax.random.key(0))[1].obs)
    if isinstance(actions, spaces.Discrete):
        return Env(init, step, Spec(observation, Discrete(int(actions.n))))
    if not isinstance(actions, spaces.Box):
        raise InputError(f"from_gymnax takes Discrete or Box actions, not {actions!r}.")
    low = jnp.broadcast_to(jnp.asarray(actions.low, jnp.float32), actions.shape)
    high = jnp.broadcast_to(jnp.asarray(actions.high, jnp.float32), actions.shape)
    return Env(init, step, Spec(observation, Box(low, high)))


def _strong(tree: Tree) -> Tree:
    """Arrays of the same dtypes, none weak: a state keeps its type from `init` on."""

    def strong(x: Any) -> Array:
        x = jnp.asarray(x)
        return x if jnp.issubdtype(x.dtype, jax.dtypes.extended) else jnp.asarray(x, x.dtype)

    return jax.tree.map(strong, tree)


def _derived(name: str, defaults: Any, changed: dict[str, Any]) -> dict[str, Any]:
    """Complete changed parameters by those that follow from them, unless given as well.

    gymnax stores CartPole's total mass and the pole's mass times length beside their factors.
    """
    if name != "CartPole-v1":
        return changed
    masscart = changed.get("masscart", defaults.masscart)
    masspole = changed.get("masspole", defaults.masspole)
    length = changed.get("length", defaults.length)
    derived = {"total_mass": masscart + masspole, "polemass_length": masspole * length}
    return {**derived, **changed}


def _walled(env: Any) -> Any:
    """Stop the car at the left wall, as Gymnasium does.

    gymnax 1.0.1 tests for the goal where it means the wall: the car keeps its speed into it.
    """

    class Walled(type(env)):
        def step_env(self, key: Key, state: Any, action: Array, params: Any) -> tuple:
            _, state, *rest = super().step_env(key, state, action, params)
            stops = (state.position <= params.min_position) & (state.velocity < 0.0)
            state = state.replace(velocity=jnp.where(stops, 0.0, state.velocity))
            return self.get_obs(state), state, *rest

    return Walled()
