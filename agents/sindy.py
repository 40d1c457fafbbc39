"""PPO in a sparse surrogate of the environment: SINDy-RL's Dyna (Zolman et al. 2024).

Beyond the paper, predictions are restricted to the region of the data, because polynomials diverge
outside of it, and terminations are learnt, by logistic regression on polynomials of the successor.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents import ppo
from jaxrl import models
from jaxrl.errors import require, require_continuous
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.models.dynamics import vector_size
from jaxrl.settings import Collection
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import imagined, prolonged, together


@record
class Hyperparameters(ppo.Hyperparameters):
    """Hyperparameters of SINDy-Dyna; those of PPO are for its updates in the surrogate."""

    threshold: float = number(0.01, NOT_NEGATIVE)
    """Coefficients of the surrogate below this size are set to zero."""
    ridge: float = number(1e-6, NOT_NEGATIVE)
    """Ridge penalty of the surrogate, relative to the mean square of a feature."""
    degree: int = static(3, POSITIVE)
    """Degree of the polynomials of observation and action in the surrogate."""
    members: int = static(10, POSITIVE)
    """Number of bootstrap fits; the surrogate is the median of their coefficients."""
    circles: tuple[int, ...] = static((), NOT_NEGATIVE)
    """Indices of cosines in the observation that are followed by the sine of the same angle. The
    surrogate keeps such pairs on the unit circle; exact ones are also found in the data."""
    dreams: int = static(20, POSITIVE)
    """Updates of PPO after each fit of the surrogate."""
    dream_envs: int = static(32, POSITIVE)
    """Number of parallel rollouts in the surrogate for one update."""
    dream_length: int = static(64, POSITIVE)
    """Steps of a rollout in the surrogate."""
    wide_share: float = number(0.5, FRACTION)
    """Share of rollouts in the surrogate that start anywhere in the region of all data; the others
    start where the last rollouts of the environment have been."""
    collection: Collection = Collection(num_envs=4, rollout_length=125, warmup=500)
    """How experience is collected."""


def sindy(
    spec: Spec, hp: Hyperparameters, terminated: Callable[[Array], Array] | None = None
) -> Agent:
    """PPO that learns in a surrogate only; all experience is stored as a few matrices.

    Terminations are learnt, unless a function `terminated` of successors [B, D] is given.
    Raises an InputError as `ppo` does, if actions are discrete, or if observations are no vector.
    """
    check(spec, hp)
    library = models.polynomials(hp.degree)
    fit = models.sparse_dynamics(spec, library, hp.threshold, hp.ridge, members=hp.members)
    ends = models.logistic_survival(spec, library)
    world = together(fit, ends, models.observed_bounds(spec))
    agent = ppo.ppo(spec, inside(hp))

    def project(obs: Array) -> Array:
        for i in hp.circles:
            radius = optax.safe_norm(obs[..., i : i + 2], 1e-6, axis=-1, keepdims=True)
            obs = obs.at[..., i : i + 2].divide(radius)
        return obs

    def dream(surrogate: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        k_start, k_roll = jax.random.split(key)
        coefficients, survival, bounds = surrogate
        alive = partial(models.survival_probability, survival, library)
        model = models.sparse_model(
            spec, library, coefficients, project, survival=alive, bounds=bounds
        )
        model = model if terminated is None else models.known_termination(model, terminated)
        starts = project(drawn_starts(batch, bounds, hp.wide_share, hp.dream_envs, k_start))
        return models.branched(model, agent.explore, view, starts, k_roll, hp.dream_length)[0]

    def init(key: Key, example: Transition) -> Tree:
        blank = lambda x: jnp.zeros((0, hp.dream_envs, *x.shape[2:]), x.dtype)
        return agent.update.init(key, jax.tree.map(blank, example))

    update = imagined(agent.update._replace(init=init), world, dream, hp.dreams)
    return agent._replace(update=update)


def drawn_starts(
    batch: Transition, bounds: models.Bounds, share: float | Array, number: int, key: Key
) -> Array:
    """Observations [number, D] of a batch of vectors, and for a `share` of them anywhere in bounds.

    A policy that does well stays where it aims, so that its own rollouts alone would let it forget
    the way there.
    """
    k_pool, k_wide, k_which = jax.random.split(key, 3)
    pool: Array = batch.obs.reshape(-1, batch.obs.shape[-1])
    # Starts of no weight are never drawn.
    likely = jnp.where(batch.weight.reshape(-1) > 0, 0.0, -jnp.inf)
    starts = pool[jax.random.categorical(k_pool, likely, shape=(number,))]
    anywhere = models.drawn_within(bounds, number, k_wide)
    return jnp.where(jax.random.bernoulli(k_which, share, (number, 1)), anywhere, starts)


def inside(hp: Hyperparameters) -> Hyperparameters:
    """The hyperparameters of PPO in the surrogate, whose learning rate falls over all its updates.

    Those are `dreams` in the time of each rollout of the environment.
    """
    own, size = hp.collection, hp.dream_envs * hp.dream_length
    longer = prolonged(hp, hp.dreams * size / (own.num_envs * own.rollout_length))
    return replace(longer, num_envs=hp.dream_envs, rollout_length=hp.dream_length)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "sindy")
    check_fields(hp)
    size = vector_size(spec)
    require(
        all(0 <= i < size - 1 for i in hp.circles),
        f"circles {hp.circles} must be places in an observation of {size} numbers, and not the "
        "last.",
    )
    require(hp.network.memory == "none", "sindy has no memory: try ppo.")
