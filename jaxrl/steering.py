"""Environments in which a trained policy steers beside the agent, and does not learn.

- `intervened`: a corrector may replace an action; learners are told what was executed.
- `disagreeing`: a corrector that follows a trained policy, for where the agent differs from it.
- `residual`: a trained policy acts, and the agent edits its actions within bounds.
- `decoded`: the agent acts by latents, of which a trained policy makes actions.
- `frozen`: a trained policy as a function, for all of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.conditioned import Conditioned
from jaxrl.environments import composed, require_box, scale_actions, strong, trial_of
from jaxrl.errors import require
from jaxrl.types import (
    Actor,
    Agent,
    Array,
    Box,
    Env,
    Key,
    Spec,
    TimeStep,
    Transition,
    Tree,
    Trial,
    select,
)


class Corrector(NamedTuple):
    """A rule that watches an agent in one lane, and may act in its place."""

    init: Callable[[], Tree]  # the memory at the start of an episode
    step: Callable[[Tree, Tree, Array, Key], tuple[Tree, Array, Array]]
    # step: (memory, obs, the agent's action, key) -> (memory, its own action, [] whether it acts)


class Executed(NamedTuple):
    """What the learners of an environment with a corrector are told of a step."""

    action: Any  # [..., *action] that was executed
    corrected: Any  # [...] bool, whether it was the corrector's
    signals: Tree  # of the environment itself


def intervened(env: Env, corrector: Corrector) -> Env:
    """An environment of one lane in which a corrector may replace the agent's action.

    Continuous actions are in [-1, 1] for both of them. Learners are told what was `Executed`, and
    `executed` lets them store that. Agents are evaluated without the corrector. Source: Luo et al.
    (2024), https://arxiv.org/abs/2410.21845.
    """
    env = scale_actions(env) if isinstance(env.spec.action, Box) else env
    spec = env.spec
    action = _action_of(spec)
    flag = jax.ShapeDtypeStruct((), jnp.bool_)

    def told(ts: TimeStep, action: Tree, corrected: Array) -> TimeStep:
        return ts._replace(signals=Executed(action, corrected, ts.signals))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), action)
        return (state, ts.obs, strong(corrector.init())), told(ts, blank, jnp.asarray(False))

    def step(state: tuple, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, obs, memory = state
        k_correct, k_env = jax.random.split(key)
        memory, other, acts = corrector.step(memory, obs, action, k_correct)
        acts = jnp.asarray(acts, bool)
        done = jax.tree.map(lambda x, y: x.astype(y.dtype), select(acts, other, action), action)
        inner, ts = env.step(inner, done, k_env)
        return (inner, ts.obs, strong(memory)), told(ts, done, acts)

    wider = spec._replace(signals=Executed(action, flag, spec.signals))
    trial = trial_of(env)
    within = trial.within
    trial = trial._replace(within=lambda state: within(state[0]))
    return env._replace(init=init, step=step, spec=wider, trial=trial)


def _action_of(spec: Spec) -> Any:
    """The shape and type of an action."""
    if isinstance(spec.action, Box):
        return jax.ShapeDtypeStruct(spec.action.shape, jnp.float32)
    return jax.ShapeDtypeStruct((), jnp.int32)


def executed(agent: Agent) -> Agent:
    """An agent that learns from the actions that were executed, and tells the rate of corrections.

    The metric `intervention_rate` is the share of the steps of a rollout at which the corrector
    acted. It goes outside of everything that stores steps.
    """

    def swapped(batch: Transition) -> Transition:
        return batch._replace(action=batch.signals.action)

    def init(key: Key, example: Transition) -> Tree:
        return agent.update.init(key, swapped(example))

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        state, metrics = agent.update.apply(state, swapped(batch), key)
        rate = batch.signals.corrected.astype(jnp.float32)
        return state, metrics | ({"intervention_rate": rate.mean()} if rate.size else {})

    return agent._replace(update=agent.update._replace(init=init, apply=apply))


Policy = Callable[[Tree, Key], Array]
"""(observations [..., *], key) -> actions [..., *action] of a trained policy.

`jaxrl.load` returns one, for one observation or for a batch of them.
"""

Decoder = Callable[[Tree, Array], Array]
"""(observations [..., *], latents [..., *latents]) -> actions [..., *action]."""


class Frozen(NamedTuple):
    """A trained policy that stays as it is, for observations of any leading axes."""

    act: Policy  # its actions are in [-1, 1]
    of_noise: Decoder | None = None  # its actions by the noise that they are made of, if they are


def frozen(actor: Actor, view: Tree, spec: Spec, of_noise: Decoder | None = None) -> Frozen:
    """The policy of an actor that sees `view` of its learner.

    `spec` is that of the environment, and `of_noise` says how the policy makes its actions of noise
    if it does. Raises an InputError for an actor with a memory.
    """
    require(
        not jax.tree.leaves(jax.eval_shape(lambda: actor.init(1))),
        "A policy that acts beside an agent must have no memory: train one without.",
    )

    def act(obs: Tree, key: Key) -> Array:
        one, like = jax.tree.leaves(obs)[0], jax.tree.leaves(spec.observation)[0]
        lead = one.shape[: one.ndim - len(like.shape)]
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(lead) :]), obs)
        action = actor.step(view, (), flat, key)[0]
        return jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), action)

    return Frozen(act, of_noise)


def disagreeing(
    policy: Policy, tolerance: float | Array, attention: float | Array, spell: int
) -> Corrector:
    """A corrector that acts as a trained policy for a while, where the agent is far from it.

    At each step at which it does not act, it begins with the probability `attention` if the root
    mean squared difference of both actions is above `tolerance`, and then acts for `spell` steps.
    So it acts less and less while the agent becomes like it. Source of the rule: Zhang and Cho
    (2017), "Query-efficient imitation learning for end-to-end simulated driving",
    https://arxiv.org/abs/1605.06450, where the difference is predicted.
    """

    def step(left: Array, obs: Tree, action: Array, key: Key) -> tuple[Array, Array, Array]:
        k_act, k_notice = jax.random.split(key)
        own = policy(obs, k_act)
        far = jnp.sqrt(jnp.square(own - action).mean()) > tolerance
        noticed = jax.random.uniform(k_notice) < attention
        left = jnp.where((left == 0) & far & noticed, spell, left)
        return jnp.maximum(left - 1, 0), own, left > 0

    return Corrector(lambda: jnp.int32(0), step)


def residual(env: Env, base: Policy, scale: float | Array) -> Env:
    """An environment of one lane in which the agent edits the actions of a trained policy.

    What is executed is clip(a + scale (high - low) / 2 e) for edits e in [-1, 1], where a is the
    action of `base`, in the units of the environment. The observation is `Conditioned`: its context
    is a, which is drawn once at each observation. Raises an InputError unless actions are
    continuous. Source: Ankile et al. (2025), https://arxiv.org/abs/2509.19301.
    """
    low, high = require_box(env, "residual")
    proposed = lambda obs, key: jnp.asarray(base(obs, key), jnp.float32)

    def show(state: Tree, ts: TimeStep, now: Array, after: Array) -> tuple[Tree, TimeStep]:
        obs, final = Conditioned(ts.obs, now), Conditioned(ts.final, after)
        return (state, now), ts._replace(obs=obs, final=final)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        k_env, k_base = jax.random.split(key)
        state, ts = env.init(k_env)
        now = proposed(ts.obs, k_base)
        return show(state, ts, now, now)

    def step(state: tuple, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_env, k_now, k_after = jax.random.split(key, 3)
        inner, mine = state
        edit = scale * (high - low) / 2 * jnp.clip(action, -1.0, 1.0)
        inner, ts = env.step(inner, jnp.clip(mine + edit, low, high), k_env)
        now = proposed(ts.obs, k_now)
        # Where a lane goes on elsewhere by itself, the true successor is another observation.
        same = jax.tree.map(lambda x, y: jnp.all(x == y), ts.obs, ts.final)
        same = jnp.stack(jax.tree.leaves(same)).all()
        return show(inner, ts, now, select(same, now, proposed(ts.final, k_after)))

    spec, seen = env.spec, jax.ShapeDtypeStruct(low.shape, jnp.float32)
    one = jnp.ones_like(low)
    wider = spec._replace(
        observation=Conditioned(spec.observation, seen),
        action=Box(-one, one),
        mask=composed(spec.mask, lambda obs: obs.obs),
    )
    trial = env.trial and Trial(residual(env.trial.env, base, scale), _first(env.trial.within))
    return env._replace(init=init, step=step, spec=wider, trial=trial)


def _first(within: Callable[[Tree], Tree]) -> Callable[[Tree], Tree]:
    return lambda state: (within(state[0]), state[1])


def edits(data: Transition, base: Policy, scale: float | Array, key: Key) -> Transition:
    """A data set [T, B, ...] of an environment with actions in [-1, 1], as `residual` shows it.

    An edit is (a - b) / scale, where b is what `base` does at the observation, and not the data's
    own action a, whose edits would all be zero. Edits are outside of [-1, 1] where no edit of the
    agent makes the action.
    """
    rows = 256  # of the data are judged at once

    def proposed(obs: Tree, key: Key) -> Array:
        keys = jax.random.split(key, len(data.reward))
        made = jax.lax.map(lambda now: base(*now), (obs, keys), batch_size=rows)
        return jnp.asarray(made, jnp.float32)

    k_now, k_after = jax.random.split(key)
    now, after = proposed(data.obs, k_now), proposed(data.final, k_after)
    return data._replace(
        obs=Conditioned(data.obs, now),
        final=Conditioned(data.final, after),
        action=(data.action - now) / scale,
    )


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
