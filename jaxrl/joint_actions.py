"""Soft values of joint actions that are chosen one part after the other, coarse to fine.

An action of many parts is a list of digits, each of a few bins: for continuous actions the halves
(or thirds) of each dimension first, then the halves of these, and so on. With V(s) and advantages A
of each digit given those before it, the joint soft value is Q(s, a) = V(s) + sum_i A_i(s, a_<i,
a_i). Every A_i is normalised, alpha log sum exp(A_i / alpha) = 0 over its bins; so exp(A_i / alpha)
is the probability of a digit under the soft policy, which is sampled exactly with no actor. Any
joint Q has this form, unlike a sum of one term for each part. Source: Liu et al. (2025), "Learning
from suboptimal data in continuous control via auto-regressive soft Q-network",
https://arxiv.org/abs/2502.00288.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.networks import blank, flat, scaled
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.types import Array, Key, Spec, Tree


class Digits(NamedTuple):
    """The digits of an action: `length` of them, each one of `bins`."""

    length: int
    bins: int


class JointValues(NamedTuple):
    """Soft values of joint actions, as a function of observations."""

    init: Callable[[Key], Tree]
    outputs: Callable[[Tree, Tree, Array], tuple[Array, Array]]
    # outputs: (params, obs [..., *], digits [..., n]) -> (V [...], advantages [..., n]) of these
    # digits; Q is their sum, and advantages / temperature are logarithms of probabilities
    sample: Callable[[Tree, Tree, Key], Array]
    # sample: (params, obs [..., *], key) -> digits [..., n] of the soft policy
    best: Callable[[Tree, Tree], Array]
    # best: (params, obs [..., *]) -> digits [..., n], each the most likely after those before it


def coarse_to_fine(action: Array, low: Array, high: Array, levels: int, bins: int) -> Array:
    """The digits [..., levels * D] of actions [..., D] between two bounds.

    The first D digits say in which of `bins` equal intervals each dimension is, the next D in which
    part of that, and so on. Actions outside of the bounds count as at them. Raises an InputError
    unless there are levels and at least two bins.
    """
    _check(levels, bins)
    cells = bins**levels
    index = jnp.floor((action - low) / (high - low) * cells).astype(jnp.int32)
    index = jnp.clip(index, 0, cells - 1)
    digits = [index // bins ** (levels - 1 - level) % bins for level in range(levels)]
    return jnp.concatenate(digits, -1)


def from_digits(digits: Array, low: Array, high: Array, levels: int, bins: int) -> Array:
    """The actions [..., D] in the middle of the smallest intervals that digits [..., n] tell.

    Raises an InputError unless there are levels and at least two bins.
    """
    _check(levels, bins)
    parts = jnp.split(digits, levels, -1)
    index = sum(part * bins ** (levels - 1 - level) for level, part in enumerate(parts))
    return low + (high - low) * (index + 0.5) / bins**levels


def factorised(q: Array, digits: Digits, temperature: float | Array) -> tuple[Array, list[Array]]:
    """V [...] and the advantages of joint soft values q [..., bins^length], in the order of digits.

    The i-th advantages are [..., bins^i, bins], of each digit after each list of digits before it.
    With S(prefix) = temperature log sum exp(q / temperature) over the actions that begin with the
    prefix, the advantage of a digit is S(prefix, digit) - S(prefix), and V is S of nothing. Raises
    an InputError if q has another length, or unless the temperature is above zero.
    """
    require_positive(temperature=temperature)
    size = digits.bins**digits.length
    require(
        q.shape[-1] == size,
        f"Joint values of {digits.length} digits of {digits.bins} bins need {size} actions, not "
        f"{q.shape[-1]}.",
    )
    soft = lambda x: temperature * jax.nn.logsumexp(x / temperature, -1)
    advantages = []
    while q.shape[-1] > 1:
        q = q.reshape(*q.shape[:-1], -1, digits.bins)
        total = soft(q)
        advantages.append(q - total[..., None])
        q = total
    return q[..., 0], advantages[::-1]


def joint(value: Array, advantages: list[Array]) -> Array:
    """The joint soft values [..., bins^length] of V [...] and advantages: undoes `factorised`."""
    q = value[..., None]
    for advantage in advantages:
        q = (q[..., None] + advantage).reshape(*q.shape[:-1], -1)
    return q


def all_digits(digits: Digits) -> Array:
    """Every action, as digits [bins^length, length] in the order of joint values."""
    index = jnp.arange(digits.bins**digits.length)[:, None]
    return index // digits.bins ** jnp.arange(digits.length - 1, -1, -1) % digits.bins


def joint_values(
    spec: Spec,
    digits: Digits,
    temperature: float | Array,
    hidden: tuple[int, ...] = (64, 64),
    activation: str = "relu",
    sees_before: bool = True,
) -> JointValues:
    """Soft values of joint actions by one network for V and one for the advantages of all digits.

    The second is told which digit is asked for and the digits before it; if not `sees_before` the
    digits are independent given the observation, which represents fewer joint values. Raises an
    InputError unless the temperature is above zero and there are digits of at least two bins.
    """
    require_positive(temperature=temperature)
    _check(digits.length, digits.bins)
    n, bins = digits
    seen = lambda obs: flat(spec.observation, scaled(spec.observation, obs))
    critic, head = Tower(MLP(hidden, activation), 1), Tower(MLP(hidden, activation), bins, 0.01)
    # Which digits come before each one.
    before = jnp.tril(jnp.ones((n, n)), -1) if sees_before else jnp.zeros((n, n))

    def asked(obs: Tree, chosen: Array) -> Array:
        """The inputs [..., n, D] of the advantages of each digit after those that were chosen."""
        x = seen(obs)
        x = jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], n, x.shape[-1]))
        known = before[..., None] * jax.nn.one_hot(chosen, bins)[..., None, :, :]  # [..., n, n, B]
        known = known.reshape(*known.shape[:-2], n * bins)
        place = jnp.broadcast_to(jnp.eye(n), (*x.shape[:-1], n))
        return jnp.concatenate([x, known, place], -1)

    def normalised(params: Tree, obs: Tree, chosen: Array) -> Array:
        """The advantages [..., n, bins]."""
        logits = head.apply(params["advantage"], asked(obs, chosen))
        return temperature * jax.nn.log_softmax(jnp.asarray(logits) / temperature)

    def init(key: Key) -> Tree:
        k_value, k_advantage = jax.random.split(key)
        obs = blank(spec)
        return {
            "value": initialise(critic, k_value, seen(obs)),
            "advantage": initialise(head, k_advantage, asked(obs, jnp.zeros(n, jnp.int32))),
        }

    def outputs(params: Tree, obs: Tree, chosen: Array) -> tuple[Array, Array]:
        value = jnp.asarray(critic.apply(params["value"], seen(obs)))[..., 0]
        every = normalised(params, obs, chosen)
        return value, jnp.take_along_axis(every, chosen[..., None], -1)[..., 0]

    def one_by_one(choose: Callable[[Array, Array], Array], params: Tree, obs: Tree, noise: Array):
        def step(chosen: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            place, noise = inputs
            logits = normalised(params, obs, chosen)[..., place, :] / temperature
            return chosen.at[..., place].set(choose(logits, noise)), None

        start = jnp.zeros((*seen(obs).shape[:-1], n), jnp.int32)
        return jax.lax.scan(step, start, (jnp.arange(n), noise))[0]

    def sample(params: Tree, obs: Tree, key: Key) -> Array:
        draw = lambda logits, key: jax.random.categorical(key, logits).astype(jnp.int32)
        return one_by_one(draw, params, obs, jax.random.split(key, n))

    def best(params: Tree, obs: Tree) -> Array:
        most = lambda logits, _: logits.argmax(-1).astype(jnp.int32)
        return one_by_one(most, params, obs, jnp.zeros(n))

    return JointValues(init, outputs, sample, best)


def _check(length: int, bins: int) -> None:
    require_positive(length=length)
    require(bins >= 2, f"A digit needs at least two bins, not {bins}.")
