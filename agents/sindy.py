"""PPO in a sparse surrogate of the environment: SINDy-RL's Dyna (Zolman et al. 2024)."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from agents import ppo
from jaxrl import models
from jaxrl.errors import require, require_continuous, require_positive
from jaxrl.models.dynamics import vector_size
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import imagined

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(ppo.Hyperparameters):
    """What SINDy-Dyna can be told, beyond PPO in its dreams."""

    threshold: float = 0.01
    """Coefficients of the surrogate below it are left out."""
    ridge: float = 1e-6
    """Penalty of the surrogate's coefficients, relative to the mean square of a feature."""
    num_envs: int = static(default=4)
    """Environments that run side by side."""
    rollout_length: int = static(default=125)
    """Steps in each environment between two fits of the surrogate."""
    warmup: int = static(default=500)
    """Environment steps of random acting before learning."""
    degree: int = static(default=3)
    """Of the polynomials of observation and action in the surrogate."""
    members: int = static(default=10)
    """Bootstrap fits of the surrogate, of which the median is believed."""
    circles: tuple[int, ...] = static(default=())
    """Places in the observation of cosines that are followed by their sine."""
    dreams: int = static(default=20)
    """Updates of PPO in a surrogate."""
    dream_envs: int = static(default=32)
    """Rollouts side by side in the surrogate."""
    dream_length: int = static(default=64)
    """Steps of a rollout in the surrogate."""


def sindy(spec: Spec, hp: Hyperparameters) -> Agent:
    """PPO that learns in a surrogate only, of which all experience is a few matrices.

    Raises an InputError as `ppo` does, if actions are discrete, or if observations are no vector.
    """
    check(spec, hp)
    library = models.polynomials(hp.degree)
    world = models.sparse_dynamics(spec, library, hp.threshold, hp.ridge, members=hp.members)
    inside = replace(hp, num_envs=hp.dream_envs, rollout_length=hp.dream_length)
    agent = ppo.ppo(spec, inside)

    def project(obs: Array) -> Array:
        for i in hp.circles:
            radius = jnp.linalg.norm(obs[..., i : i + 2], axis=-1, keepdims=True)
            obs = obs.at[..., i : i + 2].divide(jnp.maximum(radius, 1e-6))
        return obs

    def dream(coefficients: Array, view: Tree, batch: Transition, key: Key) -> Transition:
        k_start, k_roll = jax.random.split(key)
        model = models.sparse_model(spec, library, coefficients, project)
        pool = batch.obs.reshape(-1, batch.obs.shape[-1])
        starts = pool[jax.random.randint(k_start, (hp.dream_envs,), 0, pool.shape[0])]
        return models.branched(model, agent.explore, view, starts, k_roll, hp.dream_length)[0]

    def init(key: Key, example: Transition) -> Tree:
        blank = lambda x: jnp.zeros((0, hp.dream_envs, *x.shape[2:]), x.dtype)
        return agent.update.init(key, jax.tree.map(blank, example))

    update = imagined(agent.update._replace(init=init), world, dream, hp.dreams)
    return agent._replace(update=update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "sindy")
    size = vector_size(spec)
    require(
        all(0 <= i < size - 1 for i in hp.circles),
        f"circles {hp.circles} must be places in an observation of {size} numbers, and not the "
        "last.",
    )
    require(hp.memory == "none", "sindy has no memory: try ppo.")
    require_positive(num_envs=hp.num_envs, rollout_length=hp.rollout_length, members=hp.members)
    require_positive(dreams=hp.dreams, dream_envs=hp.dream_envs, dream_length=hp.dream_length)
