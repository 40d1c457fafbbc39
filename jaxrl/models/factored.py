"""Networks that predict observations made of independent parts: bits and classes.

p(s' | s, a) is the product of p(s'_i | s, a) over the parts i, so that observations of one part are
evidence about it for any values of the others. The reward is a mean and the end a probability.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl.drawing import one_hot_draw
from jaxrl.errors import require
from jaxrl.models.dynamics import vector_size
from jaxrl.models.model import Model
from jaxrl.networks import action_size, flat, joined
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.types import Array, Key, Spec, TimeStep, Transition, Tree, Update
from jaxrl.updates.gradient import descend


class Forecast(NamedTuple):
    """The predicted outcome of a state and an action."""

    logits: Array  # [..., D] of bits, and of classes
    reward: Array  # [...]
    survival: Array  # [...] logits of the probability that the episode continues


class Factored(NamedTuple):
    """A factored dynamics: the sizes of the parts of an observation, and a network."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Tree, Array], Forecast]  # (params, obs [..., D], action [...])
    sizes: tuple[int, ...]  # of the parts of an observation: 1 is a bit, more are one-hot classes
    spec: Spec


def factored_mlp(
    spec: Spec,
    sizes: Sequence[int] | None = None,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
) -> Factored:
    """Predictions of parts of the given `sizes`: 1 is a bit, and all are if none are given.

    Raises an InputError if observations are not one vector of the parts' size together.
    """
    width = vector_size(spec)
    sizes = (1,) * width if sizes is None else tuple(sizes)
    require(
        sum(sizes) == width,
        f"Parts of sizes {sizes} make observations of {sum(sizes)} numbers, not of {width}.",
    )
    net = Tower(MLP(tuple(hidden), activation), width + 2)

    def init(key: Key) -> Tree:
        return initialise(net, key, jnp.zeros(width + action_size(spec)))

    def apply(params: Tree, obs: Tree, action: Array) -> Forecast:
        out = cast(Array, net.apply(params, joined(spec, obs, action)))
        return Forecast(out[..., :-2], out[..., -2], out[..., -1])

    return Factored(init, apply, sizes, spec)


def by_part(sizes: Sequence[int], *arrays: Array) -> list[tuple[int, tuple[Array, ...]]]:
    """Arrays [..., D] as parts [..., P, size]; neighbouring parts of one size form one array."""
    out, start = [], 0
    for size, run in groupby(sizes):
        count = len(list(run))
        end = start + count * size
        cut = lambda x: x[..., start:end].reshape(*x.shape[:-1], count, size)  # noqa: B023
        out.append((size, tuple(cut(x) for x in arrays)))
        start = end
    return out


def forecast_loss(model: Factored, out: Forecast, batch: Transition) -> Array:
    """The negative log-likelihood [...] of transitions, without the constant term of rewards."""
    target = flat(model.spec.observation, batch.final)
    error = 0.5 * jnp.square(out.reward - batch.reward)
    error = error + optax.sigmoid_binary_cross_entropy(out.survival, batch.discount)
    for size, (logits, label) in by_part(model.sizes, out.logits, target):
        bits = lambda: optax.sigmoid_binary_cross_entropy(logits, label).sum((-2, -1))  # noqa: B023
        classes = lambda: optax.softmax_cross_entropy(logits, label).sum(-1)  # noqa: B023
        error = error + (bits() if size == 1 else classes())
    return error


def factored_update(model: Factored, optimiser: optax.GradientTransformation) -> Update:
    """Fit a factored dynamics to batches `(transitions [..., *], context)`."""

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        data = batch[0]
        error = forecast_loss(model, model.apply(params, data.obs, data.action), data)
        return (data.weight * error).mean(), {"model_loss": error.mean()}

    update = descend(model.init, loss, optimiser)
    return update._replace(read=lambda state: state.params)


def factored_model(model: Factored, params: Tree) -> Model:
    """The model that samples each part independently; discounts are survival probabilities."""
    dtype = jax.tree.leaves(model.spec.observation)[0].dtype

    def draw(size: int, logits: Array, key: Key) -> Array:
        if size == 1:  # a logit is not a probability
            return jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(float)
        return one_hot_draw(jax.nn.softmax(logits), key)

    def step(obs: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        out = model.apply(params, obs, action)
        groups = by_part(model.sizes, out.logits)
        keys = jax.random.split(key, len(groups))
        drawn = [
            draw(size, logits, k).reshape(*obs.shape[:-1], -1)
            for k, (size, (logits,)) in zip(keys, groups)
        ]
        final = jnp.concatenate(drawn, -1).astype(dtype)
        alive = jax.nn.sigmoid(out.survival)
        now = TimeStep(final, out.reward, alive, jnp.zeros_like(alive) > 0, final, {})
        return final, now

    return Model(lambda obs, key: obs, step, model.spec)
