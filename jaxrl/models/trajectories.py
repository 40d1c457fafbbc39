"""Trajectories that a generator makes as a whole, led by a policy: branched rollouts of a kind.

A model that predicts one step after another is asked about its own predictions, and its errors add
up. A generator of trajectories makes all steps together, in the distribution of the data, and a
policy leads their actions towards its own.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_continuous, require_positive
from jaxrl.generators import Denoiser, denoiser, diffusion, led, path_named
from jaxrl.models.model import reached
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree

LEAST = 1e-3  # deviations of what hardly varies count as that

LogProb = Callable[[Tree, Array, Array], Array]
"""(view of the learner, obs [..., *], action [..., *action]) -> log pi(a | s) [...]."""


class Scale(NamedTuple):
    """Means and deviations of the observations [O] and of the rows [D] of trajectories."""

    obs: tuple[Array, Array]
    rows: tuple[Array, Array]


class Trajectories(NamedTuple):
    """A generator of trajectories of a fixed length L, given their first observation."""

    init: Callable[[Key], Tree]
    loss: Callable[[Tree, Transition, Key], Array]  # (params, sequences [L, B, ...], key) -> [B]
    branched: Callable[..., Transition]
    # branched: (params, view, weight [], obs [B, *], key) -> transitions [L, B, ...]


def rows_of(batch: Transition) -> Array:
    """Sequences [L, B, ...] as rows [B, L, D]: action, reward, discount and successor."""
    lead = batch.reward.shape
    parts = (batch.action, batch.reward, batch.discount, batch.final)
    flat = [jnp.asarray(x, jnp.float32).reshape(*lead, -1) for x in parts]
    return jnp.moveaxis(jnp.concatenate(flat, -1), 0, 1)


def scale_of(data: Transition) -> Scale:
    """The means and deviations in a data set [T, B, ...], where steps of weight 0 do not count."""
    real = (data.weight > 0).reshape(-1, 1)

    def both(x: Array) -> tuple[Array, Array]:
        x = x.reshape(real.shape[0], -1)
        mean = jnp.where(real, x, 0.0).sum(0) / jnp.maximum(real.sum(), 1)
        spread = jnp.where(real, jnp.square(x - mean), 0.0).sum(0) / jnp.maximum(real.sum(), 1)
        return mean, jnp.maximum(jnp.sqrt(spread), LEAST)

    rows = jnp.moveaxis(rows_of(data), 1, 0)  # in the order of the weights
    return Scale(both(jnp.asarray(data.obs, jnp.float32)), both(rows))


def trajectories(
    spec: Spec,
    length: int,
    scale: Scale,
    log_prob: LogProb,
    layers: Layers = Layers(hidden=(256, 256)),
    steps: int = 20,
    noise_schedule: str = "cosine",
    network: Denoiser | None = None,
) -> Trajectories:
    """A diffusion model of trajectories of `length` steps that a policy leads.

    Rows of actions, rewards, discounts and successors, standardised by `scale`, are generated
    together, given the first observation. Among the samples of the data's distribution p,

        p(trajectory) product over t of pi(a_t | s_t)^weight

    is approached: at each of the `steps` of sampling the expected actions are moved along the
    gradient of weight log pi(a_t | s_t), as `jaxrl.generators.led` does, and the observations
    follow as far as the generator knows. The behaviour's probability is not divided out, so that a
    large weight leaves the data. `branched` returns transitions as `jaxrl.models.branched` does:
    their weight is the probability that the rollout reaches them, and the last one bootstraps.
    Sequences with an end before their last step are not learnt from. A `network` that predicts
    velocities takes the place of that of `layers`. Source: Jackson et al. (2024), "Policy-guided
    diffusion", https://arxiv.org/abs/2404.06356, with another path of noise.

    Raises:
        InputError: For actions that are not continuous, observations that are not a vector, numbers
            that are not positive, or a schedule that does not exist.
    """
    box = require_continuous(spec, "A generator of trajectories")
    require_positive(length=length, steps=steps)
    observation = spec.observation
    require(
        isinstance(observation, jax.ShapeDtypeStruct) and len(observation.shape) == 1,
        "A generator of trajectories needs observations of one vector: envs.flatten_observation "
        "makes them.",
    )
    acts, size = math.prod(box.shape), observation.shape[0]
    shape = (length, acts + 2 + size)
    path = path_named(noise_schedule)
    given = jax.ShapeDtypeStruct((size,), jnp.float32)
    network = denoiser(shape, given, layers) if network is None else network
    wide = lambda x, by: x * by[1] + by[0]  # in the units of the environment
    narrow = lambda x, by: (x - by[0]) / by[1]

    def before(rows: Array, first: Array) -> Array:
        """The observations [..., L, O] at which the actions of rows [..., L, D] are taken."""
        return jnp.concatenate([first[..., None, :], rows[..., :-1, acts + 2 :]], -2)

    def lead(leader: tuple[Tree, Array], data: Array, condition: Array) -> Array:
        view, weight = leader
        obs = before(wide(data, scale.rows), wide(condition, scale.obs))

        def likely(actions: Array) -> Array:
            mean, deviation = (x[:acts] for x in scale.rows)
            action = (actions * deviation + mean).reshape(*actions.shape[:-1], *box.shape)
            return log_prob(view, obs, action).sum()

        slope = jax.grad(likely)(data[..., :acts])
        rest = jnp.zeros_like(data[..., acts:])
        return weight * jnp.concatenate([slope, rest], -1)

    # Velocities are bounded at both ends of the path; noise says little of data near its beginning.
    free = diffusion(network, shape, path, "velocity", steps)
    guided = diffusion(led(network, path, "velocity", lead), shape, path, "velocity", steps)

    def loss(params: Tree, batch: Transition, key: Key) -> Array:
        whole = ~batch.last[:-1].any(0) & (batch.weight > 0).all(0)
        x = narrow(rows_of(batch), scale.rows)
        return whole * free.loss(params, x, narrow(batch.obs[0], scale.obs), key)

    def branched(params: Tree, view: Tree, weight: Array, obs: Array, key: Key) -> Transition:
        k_noise, k_sample = jax.random.split(key)
        noise, first = guided.noise(k_noise, len(obs)), narrow(obs, scale.obs)
        made = guided.sample((params, (view, weight)), noise, first, k_sample)
        rows = wide(made, scale.rows)
        seen = before(rows, obs)
        time = lambda x: jnp.moveaxis(x, 1, 0)
        discount = time(jnp.clip(rows[..., acts + 1], 0.0, 1.0))
        ends = discount < 0.5
        alive = jnp.where(ends, 0.0, 1.0)
        action = time(rows[..., :acts].reshape(*rows.shape[:-1], *box.shape))
        return Transition(
            obs=time(seen),
            action=jnp.clip(action, box.low, box.high),
            reward=time(rows[..., acts]),
            discount=alive,
            last=ends,
            final=time(rows[..., acts + 2 :]),
            extras=(),
            weight=reached(alive, ends),
        )

    return Trajectories(network.init, loss, branched)
