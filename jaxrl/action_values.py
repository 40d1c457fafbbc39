"""Networks of the values of discrete actions, and what their outputs mean."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl import networks, values
from jaxrl.implicit import ImplicitHead, with_fractions
from jaxrl.layers import initialise
from jaxrl.policies import epsilon_greedy
from jaxrl.stock import Stocked, with_stock
from jaxrl.types import Actor, Array, Discrete, Key, Spec, Tree, memoryless
from jaxrl.updates import Learner
from jaxrl.values import Representation, Statistic


class ActionValues(NamedTuple):
    """The distribution of the return of each action, and what is wanted of it.

    `outputs` are theta [..., A, K] of the representation. With a key, those of an implicit one are
    at fractions drawn uniformly, which learning wants; without, at midpoints, so that a choice by
    them is deterministic. The others ignore the key.
    """

    init: Callable[[Key], Tree]
    outputs: Callable[..., Array]  # (params, obs [..., *], key=None) -> theta [..., A, K]
    representation: Representation
    statistic: Statistic

    def objective(self, obs: Tree) -> Statistic:
        """What to maximise at obs [..., *]: the statistic, of stock and return if there is one."""
        stocked = isinstance(obs, Stocked)
        return with_stock(self.statistic, cast(Array, obs.stock)) if stocked else self.statistic

    def scores(self, params: Tree, obs: Tree) -> Array:
        """How good each action is [..., A] at obs [..., *]."""
        return self.objective(obs)(self.representation.decode(self.outputs(params, obs)))


class Implicit(nn.Module):
    """Quantiles [..., A, N] of inputs [..., D] at fractions [..., N]."""

    torso: nn.Module
    actions: int
    dueling: bool

    @nn.compact
    def __call__(self, x: Array, fractions: Array) -> Array:
        """The quantiles: one implicit head, or two of a dueling network, on one torso."""
        features = self.torso(x)
        quantiles = ImplicitHead(self.actions)(features, fractions)
        if not self.dueling:
            return quantiles
        return networks.dueling(quantiles, ImplicitHead(1)(features, fractions)[..., 0, :])


def action_values(
    spec: Spec,
    representation: Representation,
    statistic: Statistic = values.mean,
    hidden: Sequence[int] = (64, 64),
    activation: str = "relu",
    encoder: str = "auto",
    dueling: bool = False,
    layer_norm: bool = False,
) -> ActionValues:
    """Action values of any representation, by the network that suits a spec of discrete actions.

    Raises an InputError for a name that `network` does not know.
    """
    assert isinstance(spec.action, Discrete), "action values need discrete actions"
    actions, size = spec.action.num, representation.size
    if representation.fractions:
        torso = networks.torso(spec.observation, hidden, activation, encoder, layer_norm)
        module = Implicit(torso, actions, dueling)
        return implicit(spec, module, representation, statistic)
    sizes, theta = value_heads(actions, size, dueling)
    scales = (1.0,) * len(sizes)
    net = networks.network(spec, sizes, scales, hidden, activation, encoder, layer_norm=layer_norm)

    def outputs(params: Tree, obs: Tree, key: Key | None = None) -> Array:
        return theta(net.step(params, (), obs)[0])

    return ActionValues(net.init, outputs, representation, statistic)


def value_heads(
    actions: int, size: int, dueling: bool
) -> tuple[tuple[int, ...], Callable[[Sequence[Array]], Array]]:
    """The sizes of a network's heads, and how they make theta [..., actions, size]."""
    sizes = (actions * size, size) if dueling else (actions * size,)

    def theta(heads: Sequence[Array]) -> Array:
        advantages = heads[0].reshape(*heads[0].shape[:-1], actions, size)
        return networks.dueling(advantages, heads[1]) if dueling else advantages

    return sizes, theta


def implicit(
    spec: Spec, module: Implicit, representation: Representation, statistic: Statistic
) -> ActionValues:
    """Action values of an implicit representation."""
    middle = values.midpoints(representation.fractions)

    def init(key: Key) -> Tree:
        first = networks.inputs(spec, module.torso, networks.blank(spec))
        return initialise(module, key, first, middle)

    def outputs(params: Tree, obs: Tree, key: Key | None = None) -> Array:
        x, fractions = networks.inputs(spec, module.torso, obs), middle
        if key is not None:
            one = networks.inputs(spec, module.torso, networks.blank(spec))
            lead = x.shape[: x.ndim - one.ndim]
            fractions = jax.random.uniform(key, (*lead, *middle.shape))
        return with_fractions(cast(Array, module.apply(params, x, fractions)), fractions)

    return ActionValues(init, outputs, representation, statistic)


def annealed(epsilon: float | Array, updates: float | Array, step: Array) -> Array:
    """The probability [] of a random action, which falls from 1 to `epsilon` over `updates`."""
    progress = jnp.clip(step / jnp.maximum(updates, 1.0), 0, 1)
    return 1 + progress * (epsilon - 1)


def epsilon_actors(
    q: ActionValues, epsilon: float | Array, updates: float | Array
) -> tuple[Actor, Actor]:
    """To explore epsilon-greedily, and to exploit: what is best in the statistic is greedy.

    Epsilon falls from 1 to its value over the first `updates` gradient steps.
    """

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        now = annealed(epsilon, updates, view.step)
        return epsilon_greedy(q.scores(view.params, obs), now).sample(seed=key), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        return q.scores(view.params, obs).argmax(-1), ()

    return memoryless(explore), memoryless(exploit)
