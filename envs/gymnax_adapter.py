"""Environments of gymnax, entered below its own auto-reset, so that `final` is the successor."""

import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from envs.errors import unknown_parameters
from envs.transforms import cast_observation
from jaxrl.conformance import blank_of, may_depend
from jaxrl.environments import begun, retyped, strong, time_limit
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
        with jax.ensure_compile_time_eval():  # some look at their own arrays when they are made
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

    Observations are float32, but bytes stay bytes: those of a `Discrete` space become one-hot
    vectors, other integers are cast. The spec is of what the environment emits, not of what its
    space declares. The end that `params.max_steps_in_episode` brings is a truncation, which leaves
    `discount` at 1: also where `step_env` reports it as done, as it did before gymnax 1.0. Raises
    `InputError` for a wrapped environment, or actions that are neither `Discrete` nor a `Box`.
    """
    from gymnax.environments import spaces

    if hasattr(env, "_env"):
        raise InputError(
            f"from_gymnax reads an environment below its wrappers, so {type(env).__name__} would "
            "have no effect: pass the environment itself, env._env, and use transforms of envs."
        )
    params = env.default_params if params is None else params
    space, actions = env.observation_space(params), env.action_space(params)
    limit = getattr(params, "max_steps_in_episode", None)

    def observe(obs: Tree) -> Tree:
        if isinstance(space, spaces.Discrete):
            return jax.nn.one_hot(obs, space.n, dtype=jnp.float32)
        kept = lambda x: x.dtype if x.dtype == jnp.uint8 else jnp.float32
        return jax.tree.map(lambda x: jnp.asarray(x, kept(jnp.asarray(x))), obs)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        obs, state = env.reset_env(key, params)
        return strong(state), begun(observe(obs))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        obs, new, reward, done, _ = env.step_env(key, state, action, params)
        obs, done = observe(obs), jnp.asarray(done, bool)
        terminated = done
        if limited:
            # Would it have ended without the limit? One of more steps than anybody takes.
            endless = params.replace(max_steps_in_episode=_like(limit, 2**30))
            terminated = done & jnp.asarray(env.step_env(key, state, action, endless)[3], bool)
        last = done | env.is_truncated(new, params) if counts else done
        discount = 1.0 - terminated.astype(jnp.float32)
        reward = jnp.asarray(reward, jnp.float32)
        # Some of gymnax's states change their types in double precision.
        new = retyped(new, state)
        return new, TimeStep(obs, reward, discount, last, obs, {})

    # Old-style keys are of no use here; a shape is enough to trace with.
    state, first = jax.eval_shape(init, jax.random.key(0))
    counts = hasattr(state, "time") and limit is not None and hasattr(env, "is_truncated")
    if isinstance(actions, spaces.Discrete):
        action = Discrete(int(actions.n))
    elif isinstance(actions, spaces.Box):
        bound = lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.float32), actions.shape)
        action = Box(bound(actions.low), bound(actions.high))
    else:
        raise InputError(f"from_gymnax takes Discrete or Box actions, not {actions!r}.")
    limited = limit is not None and _done_by(env, params, state, blank_of(action))
    made = Env(init, step, Spec(first.obs, action))
    if limit is None or isinstance(limit, Tracer):
        return made
    # With a state that has no clock, the limit is one of ours; it also tells of short episodes.
    ours = time_limit(made, limit)
    return made._replace(fresh=ours.fresh) if counts or limited else ours


def _like(old: Any, value: int) -> Any:
    """A number of the type of `old`, so that parameters keep theirs."""
    return jnp.asarray(value, jnp.asarray(old).dtype)


def _done_by(env: Any, params: Any, state: Tree, action: Array) -> bool:
    """Whether what `step_env` calls done may depend on `params.max_steps_in_episode`."""

    def done(limit: Array, state: Tree, key: Key) -> Array:
        return env.step_env(key, state, action, params.replace(max_steps_in_episode=limit))[3]

    limit = jnp.asarray(params.max_steps_in_episode)
    return may_depend(done, limit, state, jax.random.key(0))


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
