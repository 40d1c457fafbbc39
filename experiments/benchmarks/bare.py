"""Parts of a round of acting and learning that an agent cannot do without, each by itself.

A round is a rollout and the learning from it. Each part is a function from a small state to the
next one, so that rounds in a loop depend on each other and the compiler leaves none of them out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import ppo
from jaxrl.environments import episode_statistics
from jaxrl.loop import Setup, self_resetting
from jaxrl.rollouts import random_actions, rollout
from jaxrl.types import Array, Env, Key, Run, Transition, Tree, Update
from jaxrl.updates import Learner, in_passes, optimiser_for, replayed, replayed_by_priority


class Pass(NamedTuple):
    """Passes through a network, each of the same batch."""

    name: str
    apply: Callable[[Tree, Tree], Tree]  # (params, inputs) -> outputs
    params: Tree
    inputs: Tree
    times: int  # in a round
    learns: bool = False  # whether the gradient of the parameters is needed too


class Part(NamedTuple):
    """A part of a round: a function of what it carries from one round to the next."""

    step: Callable[[Tree], Tree]
    start: Tree


def passed(item: Pass) -> Part:
    """The passes of a round, each of which depends on the one before.

    A forward pass hands on a number on which the next inputs depend, also those that are no
    numbers. A pass with a gradient is of the mean square of the outputs, and hands on the
    parameters, moved by it.
    """

    def forward(carry: tuple[Tree, Array], _: None) -> tuple[tuple[Tree, Array], None]:
        params, by = carry
        inputs = jax.tree.map(lambda x: jnp.where(by < jnp.inf, x, jnp.zeros_like(x)), item.inputs)
        return (params, 1e-9 * read(item.apply(params, inputs))), None

    def backward(carry: tuple[Tree, Array], _: None) -> tuple[tuple[Tree, Array], None]:
        slope = jax.grad(error)(carry[0])
        return (jax.tree.map(lambda x, g: x - 1e-6 * g, carry[0], slope), carry[1]), None

    def error(params: Tree) -> Array:
        return read(jax.tree.map(jnp.square, item.apply(params, item.inputs)))

    one = backward if item.learns else forward
    step = lambda carry: jax.lax.scan(one, carry, None, item.times)[0]
    return Part(step, (item.params, jnp.zeros(())))


def read(tree: Tree) -> Array:
    """The sum [] of the means of all arrays: it is not known before all of them are."""
    return jnp.asarray(sum(x.astype(jnp.float32).mean() for x in jax.tree.leaves(tree)))


def together(parts: list[Part]) -> Part:
    """Several parts, one after another in each round."""

    def step(carry: tuple) -> tuple:
        return tuple(part.step(x) for part, x in zip(parts, carry))

    return Part(step, tuple(part.start for part in parts))


def rounds(part: Part) -> Callable[[Tree, Array], Tree]:
    """A function from the state of a part to that after a number of rounds."""
    return lambda carry, number: jax.lax.fori_loop(0, number, lambda _, x: part.step(x), carry)


def repeated(part: Part) -> Callable[[int], Any]:
    """A compiled function that does a number of rounds of a part."""

    run = jax.jit(rounds(part)).lower(part.start, jnp.int32(1)).compile()
    return lambda number: jax.block_until_ready(run(part.start, jnp.int32(number)))


def continued(part: Part) -> Callable[[int], Any]:
    """As `repeated`, but each call goes on where the last one ended, and copies nothing.

    It is for parts whose state is large, such as a replay buffer; `part.start` is used up.
    """

    run = jax.jit(rounds(part), donate_argnums=0).lower(part.start, jnp.int32(1)).compile()
    now = [part.start]

    def go(number: int) -> Tree:
        now[0] = jax.block_until_ready(run(now[0], jnp.int32(number)))
        return now[0]

    return go


def lanes_of(setup: Setup, hp: Any) -> Env:
    """The lanes of a setup, which begin new episodes by themselves."""
    return self_resetting(episode_statistics(setup.env), hp.collection.num_envs)


def environment(setup: Setup, hp: Any) -> Part:
    """The environment steps of a round, with actions that were drawn before."""
    many = lanes_of(setup, hp)
    state, now = many.init(jax.random.key(0))
    actions = random_actions(many.spec, hp.collection.num_envs, jax.random.key(1), now.obs)

    def step(carry: tuple) -> tuple:
        keys = jax.random.split(carry[2], hp.collection.rollout_length + 1)

        def one(carry: tuple, key: Key) -> tuple:
            state, new = many.step(carry[0], actions, key)
            # Where episodes end, the observation is another one than the final one.
            return (state, carry[1] + 1e-9 * (new.reward + read((new.obs, new.final)))), None

        (state, total), _ = jax.lax.scan(one, carry[:2], keys[1:])
        return state, total, keys[0]

    return Part(step, (state, now.reward, jax.random.key(2)))


def optimiser(params: list[tuple[Tree, int]], hp: Any) -> Part:
    """The optimiser's steps of a round, for trees of parameters and how often each is moved."""
    rule = optimiser_for(hp)

    def moved(times: int) -> Callable[[Tree], Tree]:
        def one(carry: tuple, _: None) -> tuple[tuple, None]:
            params, state = carry
            slope = jax.tree.map(lambda x: 1e-3 * x, params)
            change, state = rule.update(slope, state, params)
            return (jax.tree.map(jnp.add, params, change), state), None

        return lambda carry: jax.lax.scan(one, carry, None, times)[0]

    return together([Part(moved(times), (tree, rule.init(tree))) for tree, times in params])


def reading() -> Update:
    """An update that reads each batch and learns nothing from it."""

    def apply(state: Array, batch: Tree, key: Key) -> tuple[Array, dict]:
        lead = batch.reward.shape[-1:] if isinstance(batch, Transition) else ()
        return state + 1e-9 * read(batch), {"priority": jnp.ones(lead)}

    return Update(lambda key, example: jnp.zeros(()), apply, lambda state: state)


def traffic(agent: str, setup: Setup, hp: Any, run: Run) -> Part:
    """What a round of a run writes into the agent's own buffer, and reads from it.

    Agents without a replay shuffle the rollout and read it in minibatches.
    """
    view, length = setup.agent.update.read(run.learner), hp.collection.rollout_length
    many = lanes_of(setup, hp)
    rows = lambda steps: jax.eval_shape(
        lambda: rollout(many, setup.agent.explore, view, run.world, jax.random.key(0), steps)[1]
    )
    zeros = lambda tree: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tree)
    batch: Any = rows(length)
    if agent == "ppo":
        prepare = ppo.parts(setup.env.spec, hp).prepare
        batch = jax.eval_shape(prepare, Learner(view.params, (), (), view.taken), batch)
    if agent == "pqn":
        batch = (batch.obs, batch.action, batch.reward, batch.weight)
    if hasattr(hp, "passes"):
        update, start = in_passes(reading(), hp), jnp.zeros(())
    else:
        prioritised = agent == "r2d2" or getattr(hp, "prioritised", False)
        sequence = getattr(hp, "sequence_length", 0) + getattr(hp, "burn_in", 0)
        if prioritised:
            update = replayed_by_priority(reading(), hp, sequence or hp.n_step)
        else:
            update = replayed(reading(), hp, sequence or None)
        warmup = -(-hp.collection.warmup // (hp.collection.num_envs * length)) * length
        start = update.init(jax.random.key(0), zeros(rows(warmup)))
    new = zeros(batch)

    def step(carry: tuple) -> tuple:
        key, now = jax.random.split(carry[1])
        return update.apply(carry[0], new, now)[0], key

    return Part(step, (start, jax.random.key(1)))
