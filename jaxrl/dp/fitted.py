"""Shallow Q-iteration from random rollouts: the effective horizon's method on sampled episodes.

At each time of an episode, in order: follow the policy learnt so far up to that time, act at random
afterwards, regress the return on the first random action, back up a few times, and keep the greedy
action.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import InputError, require, require_positive
from jaxrl.types import Array, Discrete, Env, Key, TimeStep, Tree


class Regression(NamedTuple):
    """A method of regression for action values."""

    fit: Callable[[Tree, Array, Array, Array], Tree]
    # (obs [N, ...], action [N], target [N], weight [N]) -> parameters
    predict: Callable[[Tree, Tree], Array]  # (parameters, obs [..., *observation]) -> [..., A]


class Suffixes(NamedTuple):
    """Steps of episodes that end in random actions, one episode per column."""

    obs: Tree  # [T, B, *observation]
    action: Array  # [T, B]
    reward: Array  # [T, B]
    discount: Array  # [T, B] 0 at termination, else 1
    final: Tree  # [T, B, *observation]
    weight: Array  # [T, B] 1 from the first random action to the end of the episode, else 0


def table(states: int, actions: int) -> Regression:
    """Average targets of one-hot observations [..., states]; pairs without data have value 0.

    Examples:
        >>> rows = jnp.eye(2), jnp.array([0, 0]), jnp.array([3.0, 5.0]), jnp.ones(2)
        >>> print(dp.table(states=2, actions=1).fit(*rows))
        [[3.]
         [5.]]
    """

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
    """Sample episodes that act by `act(time, obs)` before the time `switch`, then at random.

    They have at most `horizon` steps. `env` is one lane, without auto-reset. Raises `InputError`
    unless its actions are discrete.

    Examples:
        >>> act = lambda time, obs: jnp.int32(0)
        >>> steps = dp.random_suffixes(envs.from_mdp(mdp), act, 0, 1, 64, jax.random.key(0))
        >>> print(steps.weight.sum(), steps.reward.max())
        64.0 1.0
    """
    if not isinstance(env.spec.action, Discrete):
        raise InputError(
            "Random suffixes need discrete actions, but this environment's are others: choose "
            "an environment such as chain, gridworld or FrozenLake."
        )
    require(
        env.spec.mask is None,
        "Random suffixes take any action, but spec.mask forbids some: drop the mask, and let the "
        "environment itself say what a forbidden action does.",
    )
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
    """Return the parameters of Q_1, ..., Q_depth, stacked [depth, ...], from random rollouts.

    Q_1 regresses the return of random actions, and Q_{k+1} the optimal backup of Q_k. Raises
    `InputError` unless `depth` is above zero. Source:
    Laidlaw et al. (2024), "The effective horizon explains deep RL performance in stochastic
    environments", algorithm SQIRL.

    Examples:
        >>> act = lambda time, obs: jnp.int32(0)
        >>> steps = dp.random_suffixes(envs.from_mdp(mdp), act, 0, 1, 64, jax.random.key(0))
        >>> print(dp.fitted_backups(dp.table(2, 2), steps, depth=1)[0])  # state 1 is not reached
        [[1. 0.]
         [0. 0.]]
    """
    require_positive(depth=depth)
    flat = lambda x: jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), x)

    def kept(x: Array, weight: Array) -> Array:
        # Steps after the end of an episode may hold any value, including NaN.
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

    # Without this case the compiler would keep the last fit of the loop, which is not used.
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
    """Return the parameters [horizon, ...] of Q_depth at each time; the policy is greedy in them.

    Each time samples `episodes` new episodes. Source: as `fitted_backups`.

    Examples:
        >>> key = jax.random.key(0)
        >>> print(dp.sqirl(envs.from_mdp(mdp), dp.table(2, 2), 1, 1, 64, key)[0])
        [[1. 0.]
         [0. 0.]]
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
