"""Tasks as vectors z: how they are drawn for learning, and how they are inferred from a reward.

For a reward r of successors, z is what maximises the return by the successors F(s, a, z) of
features B: F'z is its value. The weights and the samples of the expectations below must be those
of the distribution under which B was learnt. Source: Touati, Rapin and Ollivier (2023), "Does
zero-shot reinforcement learning exist?", https://arxiv.org/abs/2209.14935.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.fields import FRACTION, POSITIVE, group, number, static
from jaxrl.types import Array, Key, Transition, Tree, Update


@group
class Tasks:
    """The tasks that an agent learns to solve without a reward."""

    size: int = static(32, POSITIVE)
    """Dimensions of tasks and of the features that are paid."""
    goal_share: float = number(0.5, FRACTION)
    """Share of tasks that are to visit a state of the data; the others are random directions."""
    moment_rate: float = number(0.01, FRACTION)
    """Step size of the running moments of features and rewards, from which the task of the
    environment's own reward is inferred."""


def on_sphere(z: Array) -> Array:
    """Vectors [..., d] with the length sqrt(d), which changes no greedy policy; 0 stays 0."""
    length = jnp.linalg.norm(z, axis=-1, keepdims=True)
    return z * jnp.sqrt(z.shape[-1]) / jnp.maximum(length, 1e-8)


def random_tasks(key: Key, number: int, size: int) -> Array:
    """Uniform directions [number, size] of the length sqrt(size)."""
    return on_sphere(jax.random.normal(key, (number, size)))


def drawn_tasks(key: Key, features: Array, share: float | Array) -> Array:
    """Tasks [N, d]: with the probability `share` features [N, d] of another step, else directions.

    Both have the length sqrt(d).
    """
    k_goal, k_direction, k_kind = jax.random.split(key, 3)
    number, size = features.shape
    goals = on_sphere(jax.random.permutation(k_goal, features))
    kind = jax.random.uniform(k_kind, (number, 1)) < share
    return jnp.where(kind, goals, random_tasks(k_direction, number, size))


def projected_task(features: Array, reward: Array, weight: Array | None = None) -> Array:
    """The task E[r B] [d] of rewards [N] of states with features B [N, d], as FB infers it.

    If F'B is the exact measure, F'z with this z is the exact value, whether or not E BB' = I. The
    states are successors, drawn from the data, or all states with the data's distribution as
    `weight` [N].
    """
    return mean_of(reward[:, None] * features, weight)


def regressed_task(
    features: Array, reward: Array, weight: Array | None = None, ridge: float | Array = 1e-3
) -> Array:
    """The task (E BB')^-1 E[r B] [d], for which B'z is nearest to the reward: successor features.

    `ridge` times the mean of its diagonal is added to E BB', so that what features hardly tell
    apart does not outweigh the rest. It is `projected_task` where E BB' = I.
    Source: Barreto et al. (2017), "Successor features for transfer in reinforcement learning",
    https://arxiv.org/abs/1606.05312.
    """
    gram = mean_of(features[:, :, None] * features[:, None], weight)
    return solved(gram, mean_of(reward[:, None] * features, weight), ridge)


def imitated_task(features: Array, data: Array | None = None) -> Array:
    """The task [d] of imitating states with features [N, d]: their mean, E_E[B].

    It is the task of the reward rho_E / rho, of the imitated distribution over the data's, which
    need not be known. For successor features, which need the inverse of E BB', `data` are features
    [M, d] of the data. Source: Sikchi et al. (2025), "RLZero: direct policy inference from language
    without in-domain supervision", https://arxiv.org/abs/2412.05718.
    """
    mean = features.mean(0)
    return mean if data is None else solved(data.T @ data / len(data), mean)


def mean_of(x: Array, weight: Array | None) -> Array:
    """The mean of x [N, ...] over N steps, with weights [N] that need not sum to one."""
    if weight is None:
        return x.mean(0)
    share = weight / jnp.maximum(weight.sum(), 1e-12)
    return jnp.tensordot(share, x, 1)


def solved(gram: Array, moment: Array, ridge: float | Array = 1e-3) -> Array:
    """The solution [d] or [d, K] of (gram + ridge * its mean diagonal * I) z = moment."""
    level = ridge * jnp.diagonal(gram).mean() + 1e-12
    return jnp.linalg.solve(gram + level * jnp.eye(len(gram)), moment)


def goal_tasks(features: Array) -> Array:
    """The tasks [N, d] of visiting each of the states with features [N, d], which are a sample.

    They are those of `regressed_task` for the rewards of being there: (E BB')^-1 B.
    """
    return solved(features.T @ features / len(features), features.T).T


class Moments(NamedTuple):
    """Running means over what was replayed, all times the same factor."""

    paid: Array  # [d] of r B
    gram: Array  # [d, d] of B B'


class Informed(NamedTuple):
    """The state of a learner that also keeps the moments of its steps; its view has the task."""

    inner: Tree
    moments: Moments
    task: Array  # [d] of the environment's own reward


def informed(
    update: Update,
    features: Callable[[Tree, Transition], Array],
    settings: Tasks,
    inverse: bool,
) -> Update:
    """Learn without rewards, and infer the task of the rewards of the same steps beside it.

    Nothing that is learnt depends on rewards: they only choose among the policies that there are.
    `features(view, batch)` are those [B, d] of the successors, and z is E[r B], after the inverse
    of E BB' if `inverse`, of running means over the replayed batches [B, ...], whose distribution
    is that of the losses. It has the length sqrt(d).
    """
    size, rate = settings.size, settings.moment_rate

    def init(key: Key, example: Transition) -> Informed:
        none = Moments(jnp.zeros(size), jnp.zeros((size, size)))
        return Informed(update.init(key, example), none, jnp.zeros(size))

    def apply(state: Informed, batch: Transition, key: Key) -> tuple[Informed, dict]:
        inner, metrics = update.apply(state.inner, batch, key)
        seen = features(update.read(inner), batch)
        weighted = batch.weight[:, None] * seen / len(seen)
        now = Moments(batch.reward @ weighted, weighted.T @ seen)
        moments = jax.tree.map(lambda old, new: old + rate * (new - old), state.moments, now)
        task = solved(moments.gram, moments.paid) if inverse else moments.paid
        return Informed(inner, moments, on_sphere(task)), metrics

    return Update(init, apply, lambda state: state._replace(inner=update.read(state.inner)))
