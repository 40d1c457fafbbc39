"""Shallow Q-iteration from random play: the effective horizon's method on sampled episodes.

For each time of an episode: come there by what was learnt, act at random from there on, regress
the return of that on the first action, back up a few times, and fix the greedy action.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array, Discrete, Env, Key, TimeStep, Tree


class Regression(NamedTuple):
    """A way to learn action values from examples."""

    fit: Callable[[Tree, Array, Array, Array], Tree]
    # (obs [N, ...], action [N], target [N], weight [N]) -> parameters
    predict: Callable[[Tree, Tree], Array]  # (parameters, obs [..., *observation]) -> [..., A]


class Suffixes(NamedTuple):
    """Steps of random play, one episode a column."""

    obs: Tree  # [T, B, *observation]
    action: Array  # [T, B]
    reward: Array  # [T, B]
    discount: Array  # [T, B] 0 at termination, else 1
    final: Tree  # [T, B, *observation]
    weight: Array  # [T, B] 1 from the switch to random play to the end of the episode, else 0


def table(states: int, actions: int) -> Regression:
    """Averages of one-hot observations [..., states]; pairs never seen are worth 0."""

    def fit(obs: Array, action: Array, target: Array, weight: Array) -> Array:
        pair = obs.argmax(-1) * actions + action
        total = lambda x: jnp.zeros(states * actions).at[pair].add(x)
        return (total(weight * target) / jnp.maximum(total(weight), 1)).reshape(states, actions)

    return Regression(fit, lambda table, obs: table[obs.argmax(-1)])


def random_suffixes(
    env: Env,
    act: Callable[[Array, Tree], Array],
    switch: int | Array,
    horizon: int,
    episodes: int,
    key: Key,
) -> Suffixes:
    """Episodes of at most `horizon` steps, by `act(time, obs)` before `switch`, then at random.

    `env` is one lane, without auto-reset; its actions are discrete.
    """
    assert isinstance(env.spec.action, Discrete)
    actions = env.spec.action.num

    def step(carry: tuple[Tree, TimeStep, Array], inputs: tuple[Array, Key]) -> tuple:
        state, obs, alive = carry
        time, key = inputs
        k_step, k_act = jax.random.split(key)
        uniform = jax.random.randint(k_act, (), 0, actions)
        action = jnp.where(time < switch, act(time, obs), uniform)
        state, ts = env.step(state, action, k_step)
        weight = (alive & (time >= switch)).astype(ts.reward.dtype)
        taken = Suffixes(obs, action, ts.reward, ts.discount, ts.final, weight)
        return (state, ts.final, alive & ~ts.last), taken

    def episode(key: Key) -> Suffixes:
        k_init, k_steps = jax.random.split(key)
        state, first = env.init(k_init)
        times = jnp.arange(horizon), jax.random.split(k_steps, horizon)
        return jax.lax.scan(step, (state, first.obs, jnp.asarray(True)), times)[1]

    return jax.vmap(episode, out_axes=1)(jax.random.split(key, episodes))


def fitted_backups(
    regression: Regression, suffixes: Suffixes, depth: int, gamma: float | Array = 1.0
) -> Tree:
    """The parameters of Q_1, ..., Q_depth, stacked [depth, ...], from random play.

    Q_1 regresses the return to go of random play, and Q_{k+1} the optimal backup of Q_k. Source:
    Laidlaw et al. (2024), "The effective horizon explains deep RL performance in stochastic
    environments", algorithm SQIRL.
    """
    require_positive(depth=depth)
    flat = lambda x: jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), x)

    def kept(x: Array, weight: Array) -> Array:
        # What comes after the end of an episode may be anything, and not a number too.
        return jnp.where(weight > 0, x, 0.0)

    fit = lambda target: regression.fit(
        flat(suffixes.obs),
        flat(suffixes.action),
        flat(kept(target, suffixes.weight)),
        flat(suffixes.weight),
    )

    def backwards(following: Array, step: Suffixes) -> tuple[Array, Array]:
        total = kept(step.reward + gamma * step.discount * following, step.weight)
        return total, total

    nothing = jnp.zeros_like(suffixes.reward[0])
    _, returns = jax.lax.scan(backwards, nothing, suffixes, reverse=True)

    def deeper(parameters: Tree, _: None) -> tuple[Tree, Tree]:
        best = regression.predict(parameters, suffixes.final).max(-1)
        return fit(suffixes.reward + gamma * suffixes.discount * best), parameters

    # The last fit is of no use, and the compiler sees that only where it is not asked for.
    first = fit(returns)
    if depth == 1:
        return jax.tree.map(lambda x: x[None], first)
    last, before = jax.lax.scan(deeper, first, None, depth - 1)
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), before, last)


def sqirl(
    env: Env,
    regression: Regression,
    horizon: int,
    depth: int,
    episodes: int,
    key: Key,
    gamma: float | Array = 1.0,
) -> Tree:
    """The parameters [horizon, ...] of Q_depth at each time, whose greedy actions are the policy.

    Each time takes `episodes` new episodes. Source: as `fitted_backups`.
    """

    def learn(known: Tree, inputs: tuple[Array, Key]) -> tuple[Tree, None]:
        time, key = inputs

        def act(at: Array, obs: Tree) -> Array:
            now = jax.tree.map(lambda x: x[at], known)
            return regression.predict(now, obs).argmax(-1)

        suffixes = random_suffixes(env, act, time, horizon, episodes, key)
        learnt = jax.tree.map(lambda x: x[-1], fitted_backups(regression, suffixes, depth, gamma))
        return jax.tree.map(lambda x, y: x.at[time].set(y), known, learnt), None

    still = lambda time, obs: jnp.int32(0)
    suffixes = lambda key: random_suffixes(env, still, 0, horizon, episodes, key)
    like = jax.eval_shape(lambda key: fitted_backups(regression, suffixes(key), 1), key)
    known = jax.tree.map(lambda x: jnp.zeros((horizon, *x.shape[1:]), x.dtype), like)
    times = jnp.arange(horizon), jax.random.split(key, horizon)
    return jax.lax.scan(learn, known, times)[0]
