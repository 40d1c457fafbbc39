"""Generators of anything with a shape: diffusion and flow matching as one record of functions."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import (
    require,
    require_fraction,
    require_known,
    require_non_negative,
    require_positive,
)
from jaxrl.generators.networks import Denoiser
from jaxrl.generators.paths import (
    PREDICTIONS,
    TINY,
    Path,
    Prediction,
    completed,
    noised,
    straight,
    velocity,
    wide,
)
from jaxrl.types import Array, Key, Tree

SOLVERS = ("euler", "heun")

Guide = Callable[[Array, Array], Array]
"""(points [..., *shape], times [...]) -> what is added to the score of the points [..., *shape],
such as the gradient of a logarithmic likelihood of something that samples should have."""


class Generator(NamedTuple):
    """A distribution of samples [*shape], given a condition, that is learnt from samples.

    Noise is an argument of `sample`, so that the same noise gives the same sample unless it is
    `noisy`: noise may then be an action, or be shared with a student.
    """

    shape: tuple[int, ...]
    path: Path
    steps: int  # of sampling
    least_deviation: float  # the smallest deviation of a step, 0 if the last one is deterministic
    kind: str  # of the network's prediction
    init: Callable[[Key], Tree]
    loss: Callable[[Tree, Array, Tree, Key], Array]
    # loss: (params, x [..., *shape], condition [..., *], key) -> [...]
    sample: Callable[..., Array]
    # sample: (params, noise [..., *shape], condition, key, guide=None) -> [..., *shape]
    predict: Callable[..., Prediction]
    # predict: (params, x [..., *shape], time [...], condition, guide=None) -> Prediction
    transition: Callable[..., tuple[Array, Array]]
    # transition: (params, x [..., *shape], index [] of the step, condition, guide=None) ->
    # (mean [..., *shape], deviation []) of the next point, without a solver of second order
    noisy: bool = False  # whether steps have noise, so that the same noise gives other samples

    def noise(self, key: Key, *lead: int) -> Array:
        """Standard normal noise [*lead, *shape]."""
        return jax.random.normal(key, (*lead, *self.shape))


def generator(
    network: Denoiser,
    shape: tuple[int, ...],
    path: Path,
    prediction: str = "velocity",
    steps: int = 10,
    *,
    levels: int = 0,
    solver: str = "euler",
    eta: float = 0.0,
    least_noise: float = 0.0,
    bound: float = math.inf,
) -> Generator:
    """The generator on a path, whose network predicts data, noise or velocity.

    The loss is the mean over elements of the squared error of the prediction at x_t = a x + b e,
    for a uniform time t in [0, 1], or in {0, 1/levels, ...} if there are `levels`. The least loss
    is that of conditional expectations, from which samples follow. With those of x and e at time t,
    a step of sampling to the place a', b' goes to

        a' E[x | x_t] + sqrt(b'^2 - s^2) E[e | x_t] + max(s, least_noise) z,
        s = eta b' sqrt(1 - (a b' / (a' b))^2),

    with normal z: ancestral sampling of DDPM with the posterior's variance if `eta` is 1, and if it
    is 0 DDIM, which is Euler's method on a straight path. Heun's method averages velocities at both
    ends of each step but the last. A `guide` is added to the score -E[e | x_t] / b. While sampling,
    expected samples are then clipped to [-bound, bound].

    Args:
        network: The network that predicts.
        shape: The shape of a sample.
        path: How noise becomes data.
        prediction: What the network predicts: data, noise or velocity.
        steps: The number of steps of sampling.
        levels: The number of times that are learnt; 0 is all of [0, 1].
        solver: The method of sampling: euler or heun.
        eta: The share of the posterior's deviation that steps have, in [0, 1].
        least_noise: The least deviation of a step, also of the last.
        bound: The largest absolute value of an expected sample.

    Raises:
        InputError: For names that do not exist, numbers out of range, noise predicted on a path
            that begins without signal, or Heun's method with noise.

    Source: Ho et al. (2020), "Denoising diffusion probabilistic models",
    https://arxiv.org/abs/2006.11239; Song et al. (2021), "Denoising diffusion implicit models",
    https://arxiv.org/abs/2010.02502; Lipman et al. (2023), https://arxiv.org/abs/2210.02747; Heun's
    method without the last correction: Karras et al. (2022), https://arxiv.org/abs/2206.00364; the
    guide: Dhariwal and Nichol (2021), https://arxiv.org/abs/2105.05233.

    Examples:
        >>> exact = generators.Denoiser(lambda key: (), lambda params, x, time, given: given)
        >>> one = generators.generator(exact, (2,), generators.straight(), "data", steps=1)
        >>> print(one.sample((), jnp.ones(2), x, key))
        [ 1. -2.]
    """
    check(path, prediction, steps, levels, solver, eta, least_noise, bound)
    axes = tuple(range(-len(shape), 0))
    stochastic = eta > 0 or least_noise > 0

    def predict(
        params: Tree, x: Array, time: Array, condition: Tree, guide: Guide | None = None
    ) -> Prediction:
        lead = x.shape[: x.ndim - len(shape)]
        time = jnp.broadcast_to(jnp.asarray(time, x.dtype), lead)
        place = path(time)
        found = completed(prediction, network.apply(params, x, time, condition), x, place)
        if guide is None:
            return found
        a, b = wide(place.signal, x), wide(place.noise, x)
        data = found.data + jnp.square(b) / jnp.maximum(a, TINY) * guide(x, time)
        return completed("data", data, x, place)

    def bounded(
        params: Tree, x: Array, time: Array, condition: Tree, guide: Guide | None
    ) -> Prediction:
        found = predict(params, x, time, condition, guide)
        if bound == math.inf:
            return found
        return completed("data", jnp.clip(found.data, -bound, bound), x, path(time))

    def loss(params: Tree, x: Array, condition: Tree, key: Key) -> Array:
        k_time, k_noise = jax.random.split(key)
        lead = x.shape[: x.ndim - len(shape)]
        if levels:
            time = jax.random.randint(k_time, lead, 0, levels) / levels
        else:
            time = jax.random.uniform(k_time, lead, x.dtype)
        noise, place = jax.random.normal(k_noise, x.shape, x.dtype), path(time)
        target = {"data": x, "noise": noise, "velocity": velocity(place, x, noise)}[prediction]
        output = network.apply(params, noised(place, x, noise), time, condition)
        return jnp.square(output - target).mean(axes)

    def move(found: Prediction, now: Array, then: Array) -> tuple[Array, Array]:
        here, there = path(now), path(then)
        ratio = here.signal * there.noise / (there.signal * here.noise)
        s = eta * there.noise * jnp.sqrt(jnp.maximum(1.0 - jnp.square(ratio), 0.0))
        rest = jnp.sqrt(jnp.maximum(jnp.square(there.noise) - jnp.square(s), 0.0))
        return there.signal * found.data + rest * found.noise, jnp.maximum(s, least_noise)

    def transition(
        params: Tree, x: Array, index: Array, condition: Tree, guide: Guide | None = None
    ) -> tuple[Array, Array]:
        now, then = index / steps, (index + 1) / steps
        return move(bounded(params, x, now, condition, guide), now, then)

    def sample(
        params: Tree, noise: Array, condition: Tree, key: Key | None, guide: Guide | None = None
    ) -> Array:
        def draw(x: Array, now: tuple[Array, Key]) -> tuple[Array, None]:
            mean, deviation = transition(params, x, now[0], condition, guide)
            return mean + deviation * jax.random.normal(now[1], x.shape, x.dtype), None

        def flow(x: Array, index: Array) -> tuple[Array, None]:
            return transition(params, x, index, condition, guide)[0], None

        def corrected(x: Array, index: Array) -> tuple[Array, None]:
            now, then = index / steps, (index + 1) / steps
            first = bounded(params, x, now, condition, guide)
            second = bounded(params, move(first, now, then)[0], then, condition, guide)
            length = path(then).position - path(now).position
            return x + length / 2 * (first.velocity + second.velocity), None

        index = jnp.arange(steps)
        if stochastic:
            assert key is not None
            return jax.lax.scan(draw, noise, (index, jax.random.split(key, steps)))[0]
        if solver == "euler":
            return jax.lax.scan(flow, noise, index)[0]
        x = jax.lax.scan(corrected, noise, index[:-1])[0] if steps > 1 else noise
        return flow(x, index[-1])[0]

    return Generator(
        shape, path, steps, least_noise, prediction, network.init, loss, sample, predict,
        transition, stochastic,
    )  # fmt: skip


def diffusion(
    network: Denoiser,
    shape: tuple[int, ...],
    path: Path,
    prediction: str = "noise",
    steps: int = 5,
    eta: float = 1.0,
    least_noise: float = 0.0,
    bound: float = math.inf,
) -> Generator:
    """Denoising diffusion: a `generator` that learns the times at which it samples.

    Source: Ho et al. (2020), https://arxiv.org/abs/2006.11239. Raises an InputError as it does.

    Examples:
        >>> exact = generators.Denoiser(lambda key: (), lambda params, x, time, given: given)
        >>> path = generators.cosine()
        >>> print(generators.diffusion(exact, (2,), path, "data").sample((), 3 * x, x, key))
        [ 1. -2.]
    """
    return generator(
        network, shape, path, prediction, steps, levels=steps, eta=eta, least_noise=least_noise,
        bound=bound,
    )  # fmt: skip


def flow_matching(
    network: Denoiser, shape: tuple[int, ...], steps: int = 10, solver: str = "euler"
) -> Generator:
    """Flow matching on straight paths, by Euler's or Heun's method.

    The loss is the mean over elements of (v(x_t, t) - (x - e))^2. Source: Lipman et al. (2023),
    https://arxiv.org/abs/2210.02747. Raises an InputError for another method.

    Examples:
        >>> ahead = generators.Denoiser(lambda key: (), lambda params, x, time, given: given)
        >>> print(generators.flow_matching(ahead, (2,)).sample((), jnp.ones(2), x, None))
        [ 2. -1.]
    """
    return generator(network, shape, straight(), "velocity", steps, solver=solver)


def check(
    path: Path, prediction: str, steps: int, levels: int, solver: str, eta: float,
    least_noise: float, bound: float,
) -> None:  # fmt: skip
    """Raise an InputError if the arguments of a generator do not fit each other."""
    require_known("prediction", prediction, PREDICTIONS)
    require_known("solver", solver, SOLVERS)
    require_positive(steps=steps, bound=bound)
    require_non_negative(levels=levels, least_noise=least_noise)
    require_fraction(eta=eta)
    with jax.ensure_compile_time_eval():
        first = float(path(jnp.zeros(())).signal)
    require(
        prediction != "noise" or first > 0,
        "This path begins without signal, where noise says nothing of data: predict velocity or "
        "data, or take another path.",
    )
    require(
        solver == "euler" or (eta == 0 and least_noise == 0),
        "Heun's method has no noise: set eta and least_noise to 0, or solver to euler.",
    )
