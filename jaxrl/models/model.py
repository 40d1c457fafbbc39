"""Models: Markov decision processes that can be entered at any observation.

`starting_from` makes an environment of a model, so that a rollout in it is imagination, and the
transforms here are `Model -> Model`. A model is always a batch of lanes, and never resets itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.loop import rollout
from jaxrl.networks import blank_action
from jaxrl.types import Actor, Array, Env, Key, Spec, TimeStep, Transition, Tree, lanes


class Model(NamedTuple):
    """A simulator or a learnt model, of a batch of B lanes."""

    enter: Callable[[Tree, Key], Tree]  # observations [B, *] -> states
    step: Callable[[Tree, Array, Key], tuple[Tree, TimeStep]]  # as that of a batched Env
    spec: Spec  # of one lane


def true_model(env: Env, locate: Callable[[Tree, Key], Tree]) -> Model:
    """One lane of a simulator as a model, for planning and diagnosis.

    `locate(obs, key)` is a state in which the environment shows `obs`.
    """

    def enter(obs: Tree, key: Key) -> Tree:
        return jax.vmap(locate)(obs, jax.random.split(key, lanes(obs)))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        return jax.vmap(env.step)(state, action, jax.random.split(key, lanes(action)))

    return Model(enter, step, env.spec)


def starting_from(model: Model, obs: Tree) -> Env:
    """The environment of a model whose lanes begin at observations [B, *]."""

    def init(key: Key) -> tuple[Tree, TimeStep]:
        zero, state = jnp.zeros(lanes(obs)), model.enter(obs, key)
        # What it reports of a step is blank before the first one.
        reported = jax.eval_shape(model.step, state, blank_action(model.spec, lanes(obs)), key)[1]
        info = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), reported.info)
        return state, TimeStep(obs, zero, zero + 1.0, zero > 0, obs, info)

    return Env(init, model.step, model.spec)


def lane(model: Model, starts: Tree) -> Env:
    """One lane of a model, whose episodes begin at a random one of observations [N, *].

    It is an environment like any other: limit its time, train and evaluate in it.
    """

    def init(key: Key) -> tuple[Tree, TimeStep]:
        k_pick, k_enter = jax.random.split(key)
        index = jax.random.randint(k_pick, (1,), 0, lanes(starts))
        one = starting_from(model, jax.tree.map(lambda x: x[index], starts))
        return jax.tree.map(lambda x: x[0], one.init(k_enter))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        one = jax.tree.map(lambda x: x[None], state)
        return jax.tree.map(lambda x: x[0], model.step(one, action[None], key))

    return Env(init, step, model.spec)


def branched(
    model: Model, actor: Actor, view: Tree, obs: Tree, key: Key, length: int
) -> tuple[Transition, dict]:
    """Rollouts of `length` steps in a model from replayed observations [B, *].

    Returns transitions [length, B, ...] and the model's info. The weight of a transition is the
    probability that its rollout had got that far: 0 after an end, and where a model expects
    terminations rather than sampling them, the product of the discounts before. A rollout that
    is cut by its length has not ended: its last transition bootstraps. Source: the branched
    rollouts of Janner et al. (2019), section 4.
    """
    require_positive(length=length)
    k_enter, k_roll = jax.random.split(key)
    env = starting_from(model, obs)
    start = (*env.init(k_enter), actor.init(lanes(obs)))
    _, data, info = rollout(env, actor, view, start, k_roll, length)
    return data._replace(weight=reached(data.discount, data.last)), info


def reached(discount: Array, last: Array) -> Array:
    """The probabilities [T, B] that rollouts with discounts and ends [T, B] get to each step."""
    onward = jnp.cumprod(discount * ~last, 0)
    return jnp.concatenate([jnp.ones_like(onward[:1]), onward[:-1]])


def map_step(model: Model, change: Callable[[TimeStep], TimeStep]) -> Model:
    """A model whose time steps are changed."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, now = model.step(state, action, key)
        return state, change(now)

    return model._replace(step=step)


Measure = Callable[[TimeStep], Array]
"""A number [B] of each time step, as `lambda now: now.info["disagreement"]`."""


def penalised(model: Model, measure: Measure, weight: float | Array) -> Model:
    """Subtract `weight` times an uncertainty from rewards. Source: Yu et al. (2020), eq. 6."""
    return map_step(model, lambda now: now._replace(reward=now.reward - weight * measure(now)))


def truncated(model: Model, stop: Measure) -> Model:
    """End rollouts where `stop` holds, without a termination: their value there is believed."""
    return map_step(model, lambda now: now._replace(last=now.last | (stop(now) > 0)))


def ended(now: TimeStep, out: Array) -> TimeStep:
    """Time steps that are terminations also where `out` [B] holds."""
    return now._replace(discount=jnp.where(out, 0.0, now.discount), last=now.last | out)


def halted(model: Model, stop: Measure, penalty: float | Array = 0.0) -> Model:
    """Terminate rollouts where `stop` holds, with a reward of -`penalty` in place of the model's.

    Nothing follows, as in the absorbing state of Kidambi et al. (2020), definition 2.
    """

    def change(now: TimeStep) -> TimeStep:
        out = stop(now) > 0
        return ended(now._replace(reward=jnp.where(out, -penalty, now.reward)), out)

    return map_step(model, change)


def terminating(model: Model, steps: int) -> Model:
    """Terminate rollouts after `steps` steps, instead of bootstrapping from where they got.

    The wrong thing to do with a limit that is the rollout's and not the task's; here to compare.
    """
    require_positive(steps=steps)

    def enter(obs: Tree, key: Key) -> Tree:
        return model.enter(obs, key), jnp.zeros(lanes(obs), jnp.int32)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, elapsed = state
        state, now = model.step(state, action, key)
        elapsed = elapsed + 1
        return (state, elapsed), ended(now, elapsed >= steps)

    return Model(enter, step, model.spec)


def known_termination(model: Model, terminated: Callable[[Tree], Array]) -> Model:
    """Let a function of the successors [B, *] say where episodes terminate, not the model."""

    def change(now: TimeStep) -> TimeStep:
        out = terminated(now.final)
        return now._replace(discount=jnp.where(out, 0.0, 1.0), last=out)

    return map_step(model, change)


def known_reward(model: Model, reward: Callable[[Tree, Array, Tree], Array]) -> Model:
    """Let a function of observations, actions and successors give the reward, not the model."""

    def enter(obs: Tree, key: Key) -> Tree:
        return model.enter(obs, key), obs

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, obs = state
        state, now = model.step(state, action, key)
        return (state, now.obs), now._replace(reward=reward(obs, action, now.final))

    return Model(enter, step, model.spec)
