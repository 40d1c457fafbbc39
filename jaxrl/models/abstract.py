"""Models whose states only have to predict rewards, ends and values: value equivalence.

An observation is encoded once; then the model steps in its own states, which are trained through
the predictions made from them. Source: Schrittwieser et al. (2020), "MuZero"; Grimm et al. (2020),
"The value equivalence principle".
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require_positive
from jaxrl.models.model import Model
from jaxrl.networks import action_size, blank, flat_action, inputs
from jaxrl.networks.encoders import torso
from jaxrl.networks.layers import MLP, Dense, initialise
from jaxrl.types import Array, Key, Spec, TimeStep, Tree
from jaxrl.values import Representation, mean


class Step(NamedTuple):
    """The prediction of an abstract model for one step."""

    state: Array  # [..., H]
    reward: Array  # [..., K] of a representation
    survival: Array  # [...] logits of the discount, see `discount_of`


class Abstract(NamedTuple):
    """An abstract model: its encoder and its dynamics."""

    init: Callable[[Key], Tree]
    encode: Callable[[Tree, Tree], Array]  # (params, observations [..., *]) -> states [..., H]
    step: Callable[[Tree, Array, Array], Step]  # (params, states [..., H], actions [...])
    size: int


def bounded(state: Array) -> Array:
    """States [..., H] scaled to [0, 1] by their least and largest element.

    Source: Schrittwieser et al. (2020), appendix G.
    """
    low, high = state.min(-1, keepdims=True), state.max(-1, keepdims=True)
    return (state - low) / jnp.maximum(high - low, 1e-5)


def simplicial(state: Array, group: int = 8) -> Array:
    """States [..., H] as a softmax over each group of H / `group` groups: sparse and bounded.

    Source: Hansen, Su and Wang (2024), "TD-MPC2: scalable, robust world models for continuous
    control", who call it SimNorm.
    """
    groups = state.reshape(*state.shape[:-1], -1, group)
    return jax.nn.softmax(groups).reshape(state.shape)


class Dynamics(nn.Module):
    """The successor [..., H], the reward [..., K] and the survival [...] of states and actions."""

    hidden: Sequence[int]
    size: int
    reward: int
    activation: str

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """Predictions of inputs [..., H + A]."""
        x = MLP(self.hidden, self.activation)(x)
        return Dense(self.size, 1.0)(x), Dense(self.reward, 0.01)(x), Dense(1, 0.01)(x)[..., 0]


def abstract(
    spec: Spec,
    reward: Representation,
    size: int = 32,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    encoder: str = "auto",
    scaled: Callable[[Array], Array] = bounded,
) -> Abstract:
    """An abstract model with states [size], for any actions; rewards of any representation.

    `scaled` keeps states [..., size] in a range: `bounded` or `simplicial`. Raises an InputError if
    the size is not positive.
    """
    require_positive(size=size)
    actions = action_size(spec)
    first = torso(spec.observation, (*hidden, size), activation, encoder)
    then = Dynamics(tuple(hidden), size, reward.size, activation)
    prepare = lambda obs: inputs(spec, first, obs)

    def init(key: Key) -> Tree:
        k_encode, k_step = jax.random.split(key)
        example = jnp.zeros(size + actions)
        return {
            "encoder": initialise(first, k_encode, prepare(blank(spec))),
            "dynamics": initialise(then, k_step, example),
        }

    def encode(params: Tree, obs: Tree) -> Array:
        return scaled(cast(Array, first.apply(params["encoder"], prepare(obs))))

    def step(params: Tree, state: Array, action: Array) -> Step:
        x = jnp.concatenate([state, flat_action(spec, action)], -1)
        change, paid, survival = cast(tuple, then.apply(params["dynamics"], x))
        return Step(scaled(state + change), paid, survival)

    return Abstract(init, encode, step, size)


def abstract_model(abstract: Abstract, params: Tree, reward: Representation, spec: Spec) -> Model:
    """The model for search: it is entered at observations and shows its own states.

    Terminations are not sampled: its discounts are expectations.
    """

    def step(state: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        new = abstract.step(params, state, action)
        paid = mean(reward.decode(new.reward))
        discount = discount_of(spec, new.survival)
        now = TimeStep(new.state, paid, discount, jnp.zeros_like(paid) > 0, new.state, {})
        return new.state, now

    shape = jax.ShapeDtypeStruct((abstract.size,), jnp.float32)
    return Model(
        lambda obs, key: abstract.encode(params, obs), step, spec._replace(observation=shape)
    )


def discount_of(spec: Spec, logits: Array) -> Array:
    """The expected discount [...] of logits [...], in [0, 1], or in [-1, 1] with two players.

    With one player it is the probability that the episode continues.
    """
    least = 1 - spec.players
    return least + (1 - least) * jax.nn.sigmoid(logits)


def discount_loss(spec: Spec, logits: Array, discount: Array) -> Array:
    """The cross-entropy [...] that is least where `discount_of` is the mean of the discounts."""
    least = 1 - spec.players
    return optax.sigmoid_binary_cross_entropy(logits, (discount - least) / (1 - least))


def unrolled(abstract: Abstract, params: Tree, obs: Tree, actions: Array) -> tuple[Array, Step]:
    """The states [L, B, H] before each of the actions [L, B], and the predictions for them.

    The first states encode observations [B, *]. Gradients are halved at each step, so that they do
    not grow with the length. Source: Schrittwieser et al. (2020), appendix G.
    """
    half = lambda x: 0.5 * x + 0.5 * jax.lax.stop_gradient(x)

    def step(state: Array, action: Array) -> tuple[Array, tuple[Array, Step]]:
        new = abstract.step(params, state, action)
        return half(new.state), (state, new)

    return jax.lax.scan(step, abstract.encode(params, obs), actions)[1]
