"""Models: Markov decision processes that can be entered at any observation.

`starting_from` turns a model into an environment, so that a rollout in it is imagination. A model
is always a batch of lanes and never resets itself.

The transforms here are `Model -> Model` and can be composed in any order with the same result. The
time step of the model passes through their four stages: known parts replace predictions
(`known_reward`, `known_termination`), penalties are subtracted from the reward (`penalised`),
rollouts end (`truncated`, `terminating`), and rollouts halt (`halted`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.networks import blank_action
from jaxrl.rollouts import rollout
from jaxrl.types import Actor, Array, Env, Key, Spec, TimeStep, Transition, Tree, lanes


class Model(NamedTuple):
    """A simulator or a learnt model, of a batch of B lanes."""

    enter: Callable[[Tree, Key], Tree]  # observations [B, *] -> states
    step: Callable[[Tree, Array, Key], tuple[Tree, TimeStep]]  # as that of a batched Env
    spec: Spec  # of one lane
    layers: "Layers | None" = None  # the transforms that made it, see `changed`


def true_model(env: Env, locate: Callable[[Tree, Key], Tree]) -> Model:
    """The model whose steps are those of a simulator, for planning and diagnosis.

    `env` is one lane; `locate(obs, key)` returns a state in which the environment shows `obs`.
    """

    def enter(obs: Tree, key: Key) -> Tree:
        return jax.vmap(locate)(obs, jax.random.split(key, lanes(obs)))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        return jax.vmap(env.step)(state, action, jax.random.split(key, lanes(action)))

    return Model(enter, step, env.spec)


def starting_from(model: Model, obs: Tree) -> Env:
    """The environment whose lanes begin at observations [B, *] and follow a model."""

    def init(key: Key) -> tuple[Tree, TimeStep]:
        zero, state = jnp.zeros(lanes(obs)), model.enter(obs, key)
        # Before the first step the reported info is zero.
        reported = jax.eval_shape(model.step, state, blank_action(model.spec, lanes(obs)), key)[1]
        none = lambda tree: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tree)
        info, signals = none(reported.info), none(reported.signals)
        return state, TimeStep(obs, zero, zero + 1.0, zero > 0, obs, info, signals)

    return Env(init, model.step, model.spec)


def lane(model: Model, starts: Tree) -> Env:
    """The environment of one lane whose episodes begin at a random one of observations [N, *].

    It can be transformed, trained in and evaluated in like any other environment.
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


@jax.named_scope("imagine")
def branched(
    model: Model,
    actor: Actor,
    view: Tree,
    obs: Tree,
    key: Key,
    length: int,
    weight: Array | None = None,
) -> tuple[Transition, dict]:
    """Rollouts of `length` steps in a model from replayed observations [B, *].

    Returns transitions [length, B, ...] and the model's info. The weight of a transition is the
    probability that its rollout reaches it, see `reached`, times the `weight` [B] of its start. A
    rollout that is cut by its length has not ended: its last transition bootstraps. Source: the
    branched rollouts of Janner et al. (2019), section 4. Raises an InputError unless the length is
    positive.
    """
    require_positive(length=length)
    k_enter, k_roll = jax.random.split(key)
    env = starting_from(model, obs)
    start = (*env.init(k_enter), actor.init(lanes(obs)))
    _, data, info = rollout(env, actor, view, start, k_roll, length)
    there = reached(data.discount, data.last)
    return data._replace(weight=there if weight is None else there * weight), info


def reached(discount: Array, last: Array) -> Array:
    """The probabilities [T, B] that rollouts with discounts and ends [T, B] reach each step.

    The probability is zero after an end, terminated or truncated. Where a model returns the
    probability of survival as its discount, it is the product of the discounts before the step.
    """
    onward = jnp.cumprod(discount * ~last, 0)
    return jnp.concatenate([jnp.ones_like(onward[:1]), onward[:-1]])


def map_step(model: Model, change: Callable[[TimeStep], TimeStep]) -> Model:
    """A model whose time steps are changed, after all transforms that it has."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, now = model.step(state, action, key)
        return state, change(now)

    return Model(model.enter, step, model.spec)


KNOWN, PENALTY, END, HALT = range(4)
"""The stages of transforms: parts that are known, penalties, ends, and halts."""


class Change(NamedTuple):
    """A transform of time steps, with an optional memory along a rollout."""

    stage: int
    apply: Callable[[Tree, Array, TimeStep], tuple[Tree, TimeStep]]  # (memory, action, now)
    init: Callable[[Tree], Tree] | None = None  # observations [B, *] -> memory, () if there is none


class Layers(NamedTuple):
    """A model without its transforms, the transforms, and the functions that result."""

    source: Model
    changes: tuple[Change, ...]
    enter: Callable
    step: Callable


def changed(model: Model, change: Change) -> Model:
    """A model with one more transform, applied where its stage belongs."""
    layers, source, earlier = model.layers, model, ()
    # If a function was replaced by hand, the model as it is becomes the source.
    if layers and model.enter is layers.enter and model.step is layers.step:
        source, earlier = layers.source, layers.changes
    changes = tuple(sorted((*earlier, change), key=lambda one: one.stage))
    remembers = any(one.init for one in changes)

    def enter(obs: Tree, key: Key) -> Tree:
        state = source.enter(obs, key)
        memories = tuple(one.init(obs) if one.init else () for one in changes)
        return (state, memories) if remembers else state

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, memories = state if remembers else (state, ((),) * len(changes))
        state, now = source.step(state, action, key)
        after = []
        for one, memory in zip(changes, memories):
            memory, now = one.apply(memory, action, now)
            after.append(memory)
        return (state, tuple(after)) if remembers else state, now

    return Model(enter, step, model.spec, Layers(source, changes, enter, step))


Measure = Callable[[TimeStep], Array]
"""A number [B] of each time step, as `lambda now: now.info["disagreement"]`."""


def holds(measure: Measure, now: TimeStep) -> Array:
    """Whether a measure [B] is above zero, or is not a number."""
    return ~(measure(now) <= 0)


def penalised(model: Model, measure: Measure, weight: float | Array) -> Model:
    """Subtract `weight` times an uncertainty from the reward. Source: Yu et al. (2020), eq. 6."""

    def apply(memory: Tree, action: Array, now: TimeStep) -> tuple[Tree, TimeStep]:
        return memory, now._replace(reward=now.reward - weight * measure(now))

    return changed(model, Change(PENALTY, apply))


def truncated(model: Model, stop: Measure) -> Model:
    """Truncate rollouts where `stop` holds: what follows is the value of the state there."""

    def apply(memory: Tree, action: Array, now: TimeStep) -> tuple[Tree, TimeStep]:
        return memory, now._replace(last=now.last | holds(stop, now))

    return changed(model, Change(END, apply))


def ended(now: TimeStep, out: Array) -> TimeStep:
    """Time steps that are terminations also where `out` [B] holds."""
    return now._replace(discount=jnp.where(out, 0.0, now.discount), last=now.last | out)


def halted(model: Model, stop: Measure, penalty: float | Array = 0.0) -> Model:
    """Terminate rollouts where `stop` holds; the reward there is exactly -`penalty`.

    Nothing follows, as in the absorbing state of Kidambi et al. (2020), definition 2. Where a
    model has several such transforms, the reward is that of the last one that holds.
    """

    def apply(memory: Tree, action: Array, now: TimeStep) -> tuple[Tree, TimeStep]:
        out = holds(stop, now)
        return memory, ended(now._replace(reward=jnp.where(out, -penalty, now.reward)), out)

    return changed(model, Change(HALT, apply))


def terminating(model: Model, steps: int) -> Model:
    """Terminate rollouts after `steps` steps, instead of bootstrapping from the last state.

    This is wrong for a limit that belongs to the rollout and not to the task; it exists for
    comparison. Raises an InputError unless the number of steps is positive.
    """
    require_positive(steps=steps)

    def apply(elapsed: Array, action: Array, now: TimeStep) -> tuple[Array, TimeStep]:
        elapsed = elapsed + 1
        return elapsed, ended(now, elapsed >= steps)

    return changed(model, Change(END, apply, lambda obs: jnp.zeros(lanes(obs), jnp.int32)))


def known_termination(model: Model, terminated: Callable[[Tree], Array]) -> Model:
    """Let a function of the successors [B, *] decide where episodes terminate, not the model.

    Truncations, and terminations that other transforms add, remain.
    """

    def apply(memory: Tree, action: Array, now: TimeStep) -> tuple[Tree, TimeStep]:
        out = terminated(now.final)
        cut = (now.last & (now.discount > 0)) | now.info.get("stop", False)
        return memory, now._replace(discount=jnp.where(out, 0.0, 1.0), last=out | cut)

    return changed(model, Change(KNOWN, apply))


def known_reward(model: Model, reward: Callable[[Tree, Array, Tree], Array]) -> Model:
    """Let a function of observations, actions and successors give the reward, not the model."""

    def apply(obs: Tree, action: Array, now: TimeStep) -> tuple[Tree, TimeStep]:
        return now.obs, now._replace(reward=reward(obs, action, now.final))

    return changed(model, Change(KNOWN, apply, lambda obs: obs))
