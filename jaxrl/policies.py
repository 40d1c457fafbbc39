"""Policies as distrax distributions, and the family that suits an action space."""

import math
from collections.abc import Callable
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp

from jaxrl.types import Array, Box, Discrete, Key, Tree


class Family(NamedTuple):
    """A family of policies: what a network puts out, and what that means."""

    size: int  # network outputs for one observation
    free: Array | tuple  # initial parameters that do not depend on the observation, () if none
    distribution: Callable[[Array, Tree], distrax.Distribution]  # (outputs [..., size], free)


def policy_family(space: Discrete | Box) -> Family:
    """Categorical policies for discrete actions, Gaussian ones for continuous actions.

    The Gaussian's logarithmic standard deviation is a free parameter.
    """
    if isinstance(space, Discrete):
        return Family(space.num, (), lambda outputs, free: categorical(outputs))
    shape, size = space.shape, math.prod(space.shape)
    unflatten = lambda x: x.reshape(*x.shape[:-1], *shape)

    def distribution(outputs: Array, free: Tree) -> distrax.Distribution:
        mean = unflatten(outputs)
        return gaussian(mean, jnp.broadcast_to(unflatten(free), mean.shape), len(shape))

    return Family(size, jnp.zeros(size), distribution)


def tanh_family(space: Box, low: float = -5.0, high: float = 2.0) -> Family:
    """Squashed Gaussian policies on [-1, 1] whose log-deviation is kept in [low, high]."""
    shape, size = space.shape, math.prod(space.shape)

    def distribution(outputs: Array, free: Tree) -> distrax.Distribution:
        mean, raw = (x.reshape(*x.shape[:-1], *shape) for x in jnp.split(outputs, 2, -1))
        return tanh_gaussian(mean, jnp.clip(raw, low, high), len(shape))

    return Family(2 * size, (), distribution)


class Categorical(distrax.Distribution):
    """A distribution over 0, ..., n - 1 from unnormalised logits [..., n].

    The methods are those of `distrax.Categorical` with less arithmetic: one log-softmax, and no
    probabilities where logarithms do.
    """

    equal_shapes = True

    def __init__(self, logits: Array):
        self.log_probabilities = jax.nn.log_softmax(logits)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """An action is a scalar."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes of the logits."""
        return self.log_probabilities.shape[:-1]

    @property
    def probabilities(self) -> Array:
        """Of each action [..., n]."""
        return jnp.exp(self.log_probabilities)

    def _sample_n(self, key: Key, n: int) -> Array:
        noise = jax.random.gumbel(key, (n, *self.log_probabilities.shape))
        return jnp.argmax(self.log_probabilities + noise, -1).astype(jnp.int32)

    def _sample_n_and_log_prob(self, key: Key, n: int) -> tuple[Array, Array]:
        action = self._sample_n(key, n)
        return action, self.log_prob(action)

    def log_prob(self, value: Array) -> Array:
        """The logarithmic probability [...] of actions [...]."""
        chosen = value[..., None] == jnp.arange(self.log_probabilities.shape[-1])
        return jnp.where(chosen, self.log_probabilities, 0.0).sum(-1)

    def entropy(self) -> Array:
        """In nats [...]; actions of probability zero count nothing."""
        p = self.probabilities
        return -jnp.where(p > 0, p * self.log_probabilities, 0.0).sum(-1)

    def mode(self) -> Array:
        """The likeliest action [...]."""
        return jnp.argmax(self.log_probabilities, -1).astype(jnp.int32)


def categorical(logits: Array, mask: Array | None = None) -> Categorical:
    """A distribution over actions with logits [..., n], without those whose mask is False."""
    # A finite floor: minus infinity would make gradients of the masked logits NaN.
    floor = jnp.finfo(logits.dtype).min
    return Categorical(logits if mask is None else jnp.where(mask, logits, floor))


def epsilon_greedy(preferences: Array, epsilon: float | Array) -> Categorical:
    """The best of preferences [..., n], or with probability `epsilon` any; ties share alike."""
    best = preferences == preferences.max(-1, keepdims=True)
    probabilities = (1 - epsilon) * best / best.sum(-1, keepdims=True)
    return categorical(jnp.log(probabilities + epsilon / preferences.shape[-1]))


def gaussian(mean: Array, log_std: Array, event_axes: int = 1) -> distrax.Distribution:
    """Independent normal distributions over the last `event_axes` axes of mean [..., d]."""
    return distrax.Independent(distrax.Normal(mean, jnp.exp(log_std)), event_axes)


class TanhGaussian(distrax.Distribution):
    """The hyperbolic tangent of independent normal variables: actions in [-1, 1]."""

    equal_shapes = True

    def __init__(self, mean: Array, log_std: Array, event_axes: int = 1):
        self.base = distrax.Normal(mean, jnp.exp(log_std))
        self.axes = tuple(range(-event_axes, 0))
        self.location = mean

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one action."""
        return self.location.shape[self.axes[0] :]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes of the mean."""
        return self.location.shape[: self.axes[0]]

    def _of_normal(self, x: Array) -> Array:
        # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which cannot overflow.
        slope = 2 * (math.log(2) - x - jax.nn.softplus(-2 * x))
        return (self.base.log_prob(x) - slope).sum(self.axes)

    def _sample_n(self, key: Key, n: int) -> Array:
        return jnp.tanh(self.base.sample(seed=key, sample_shape=(n,)))

    def _sample_n_and_log_prob(self, key: Key, n: int) -> tuple[Array, Array]:
        x = self.base.sample(seed=key, sample_shape=(n,))
        return jnp.tanh(x), self._of_normal(x)

    def log_prob(self, value: Array) -> Array:
        """The logarithmic density [...] of actions [..., d]; at the bounds, that beside them."""
        bound = 1 - jnp.finfo(self.location.dtype).eps
        return self._of_normal(jnp.arctanh(jnp.clip(value, -bound, bound)))

    def mode(self) -> Array:
        """The image of the normal variables' mode, which is what one evaluates."""
        return jnp.tanh(self.location)


def tanh_gaussian(mean: Array, log_std: Array, event_axes: int = 1) -> TanhGaussian:
    """Squashed normal distributions (Haarnoja et al. 2018, appendix C), exact at all actions.

    `mean` and `log_std` are [..., d], of which the last `event_axes` axes are one action.
    """
    return TanhGaussian(mean, log_std, event_axes)


