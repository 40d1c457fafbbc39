"""Densities of what generators make: of samples, and of the steps of sampling."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.generators.generator import Generator, Guide
from jaxrl.types import Array, Key, Tree


class Chain(NamedTuple):
    """The points that sampling passed, from noise to the sample, and how likely its steps were."""

    points: Array  # [steps + 1, ..., *shape]
    log_probs: Array  # [steps, ...] of each point given the one before


def normal_log_prob(x: Array, axes: tuple[int, ...], deviation: float | Array = 1.0) -> Array:
    """The logarithmic density [...] of normal variables x, summed over axes."""
    each = -0.5 * (jnp.square(x / deviation) + math.log(2 * math.pi)) - jnp.log(deviation)
    return each.sum(axes)


def event_axes(generator: Generator) -> tuple[int, ...]:
    """The axes of a sample, counted from the last."""
    return tuple(range(-len(generator.shape), 0))


def log_prob(
    generator: Generator,
    params: Tree,
    x: Array,
    condition: Tree = (),
    key: Key | None = None,
    steps: int = 100,
) -> Array:
    """The logarithmic density [...] of samples x [..., *shape] of the deterministic flow.

    From the sample the flow runs back to noise, by Heun's method in a number of `steps`:

        log p(x) = log N(x_0; 0, 1) - integral of div v(x_u) du,

    where v is the velocity. The divergence is exact, with as many passes as x has elements, or with
    a `key` that of Hutchinson's estimate z . dv/dx z for one z of random signs, in one pass.
    Source: Chen et al. (2018), "Neural ordinary differential equations",
    https://arxiv.org/abs/1806.07366; Grathwohl et al. (2019), "FFJORD",
    https://arxiv.org/abs/1810.01367. Raises an InputError if the network predicts data, for the
    velocity then is not known at the sample itself, or if steps are not positive.

    Examples:
        >>> still = generators.Denoiser(lambda key: (), lambda params, x, time, given: 0 * x)
        >>> print(generators.log_prob(generators.flow_matching(still, (2,)), (), x))
        -4.338
    """
    require_positive(steps=steps)
    require(
        generator.kind != "data",
        "A network that predicts data does not tell the velocity at time 1, which a density "
        "begins with: predict noise or velocity.",
    )
    axes = event_axes(generator)
    probe = None if key is None else jax.random.rademacher(key, x.shape, x.dtype)

    def slope(x: Array, time: Array) -> tuple[Array, Array]:
        at = lambda x: generator.predict(params, x, time, condition).velocity
        value, back = jax.vjp(at, x)
        if probe is not None:
            return value, (back(probe)[0] * probe).sum(axes)
        basis = jnp.eye(math.prod(generator.shape), dtype=x.dtype).reshape(-1, *generator.shape)
        # Samples do not depend on each other, so that one row of all Jacobians is one pass.
        row = lambda e: (back(jnp.broadcast_to(e, x.shape))[0] * e).sum(axes)
        return value, jax.vmap(row)(basis).sum(0)

    def step(carry: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], None]:
        x, total = carry
        now, then = 1 - index / steps, 1 - (index + 1) / steps
        length = generator.path(then).position - generator.path(now).position
        first, first_change = slope(x, now)
        second, second_change = slope(x + length * first, then)
        total = total + length / 2 * (first_change + second_change)
        return (x + length / 2 * (first + second), total), None

    lead = x.shape[: x.ndim - len(generator.shape)]
    (noise, total), _ = jax.lax.scan(step, (x, jnp.zeros(lead, x.dtype)), jnp.arange(steps))
    return normal_log_prob(noise, axes) + total


def chain(
    generator: Generator,
    params: Tree,
    noise: Array,
    condition: Tree,
    key: Key,
    guide: Guide | None = None,
) -> Chain:
    """Sample as a Markov decision process: all points and the log-probabilities of the steps.

    Each step is normal around the mean of `Generator.transition`; their sum is the logarithmic
    density of the chain given the noise [..., *shape]. Source: Black et al. (2024), "Training
    diffusion models with reinforcement learning", https://arxiv.org/abs/2305.13301. Raises an
    InputError if the last step has no noise.

    Examples:
        >>> exact = generators.Denoiser(lambda key: (), lambda params, x, time, given: given)
        >>> noisy = generators.diffusion(exact, (2,), generators.cosine(), "data", least_noise=1.0)
        >>> print(generators.chain(noisy, (), x, x, key).points.shape)
        (6, 2)
    """
    require_noise(generator)

    def step(x: Array, now: tuple[Array, Key]) -> tuple[Array, tuple[Array, Array]]:
        mean, deviation = generator.transition(params, x, now[0], condition, guide)
        change = deviation * jax.random.normal(now[1], x.shape, x.dtype)
        return mean + change, (mean + change, normal_log_prob(change, axes, deviation))

    axes, index = event_axes(generator), jnp.arange(generator.steps)
    keys = jax.random.split(key, generator.steps)
    _, (points, log_probs) = jax.lax.scan(step, noise, (index, keys))
    return Chain(jnp.concatenate([noise[None], points]), log_probs)


def chain_log_probs(
    generator: Generator, params: Tree, points: Array, condition: Tree, guide: Guide | None = None
) -> Array:
    """The log-probabilities [steps, ...] of the steps between points [steps + 1, ..., *shape].

    Those of `chain`, as a function of the parameters: for gradients of policies and ratios of
    them. Raises an InputError if the last step has no noise.

    Examples:
        >>> exact = generators.Denoiser(lambda key: (), lambda params, x, time, given: given)
        >>> noisy = generators.diffusion(
        ...     exact, (2,), generators.cosine(), "data", steps=1, least_noise=1.0)
        >>> print(generators.chain_log_probs(noisy, (), jnp.stack([x, x]), x))
        [-1.838]
    """
    require_noise(generator)

    def step(x: Array, after: Array, index: Array) -> Array:
        mean, deviation = generator.transition(params, x, index, condition, guide)
        return normal_log_prob(after - mean, event_axes(generator), deviation)

    return jax.vmap(step)(points[:-1], points[1:], jnp.arange(generator.steps))


def require_noise(generator: Generator) -> None:
    """Raise an InputError if the last step of sampling has no noise."""
    require(
        generator.least_deviation > 0,
        "The last step of this generator has no noise, and so no density: set least_noise, such as "
        "to 0.1.",
    )
