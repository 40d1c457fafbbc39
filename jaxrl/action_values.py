"""Networks of the values of discrete actions, and the distributions their outputs stand for."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl import networks, values
from jaxrl.implicit import ImplicitHead, with_fractions
from jaxrl.networks import encoders
from jaxrl.networks.layers import initialise
from jaxrl.policies import allowed, epsilon_greedy, only_allowed
from jaxrl.settings import EpsilonGreedy
from jaxrl.stock import stock_of, with_stock
from jaxrl.types import Actor, Array, Discrete, Key, Spec, Tree, memoryless
from jaxrl.updates import Learner
from jaxrl.values import Representation, Statistic


class ActionValues(NamedTuple):
    """The distribution of the return of each action, and the statistic to maximise.

    `outputs` are theta [..., A, K] of the representation. Those of an implicit representation are
    at uniformly drawn fractions if a key is given, as learning needs, and else at midpoints, so
    that greedy actions are deterministic. Other representations ignore the key.
    """

    init: Callable[[Key], Tree]
    outputs: Callable[..., Array]  # (params, obs [..., *], key=None) -> theta [..., A, K]
    representation: Representation
    statistic: Statistic
    allowed: Callable[[Tree], Array | None] = lambda obs: None  # obs [..., *] -> mask [..., A]

    def objective(self, obs: Tree) -> Statistic:
        """The statistic of distributions [..., A, N] to maximise at obs [..., *].

        It is that of stock and return together if the observation has a stock. The statistic of
        a forbidden action is below all others.
        """
        stock, mask = stock_of(obs), self.allowed(obs)
        statistic = self.statistic if stock is None else with_stock(self.statistic, stock)
        return statistic if mask is None else lambda future: only_allowed(statistic(future), mask)

    def scores(self, params: Tree, obs: Tree) -> Array:
        """The statistic of each action [..., A] at obs [..., *]."""
        return self.objective(obs)(self.representation.decode(self.outputs(params, obs)))


class Implicit(nn.Module):
    """Quantiles [..., A, N] of inputs [..., D] at fractions [..., N]."""

    torso: nn.Module
    actions: int
    dueling: bool

    @nn.compact
    def __call__(self, x: Array, fractions: Array) -> Array:
        """The quantiles of one implicit head, or of the two of a dueling network, on one torso."""
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
    encoder: str | nn.Module = "auto",
    dueling: bool = False,
    layer_norm: bool = False,
    own: networks.Own = None,
) -> ActionValues:
    """Action values of any representation, by the network that suits a spec of discrete actions.

    Actions that `spec.mask` forbids are never greedy. A person's `own` network takes the place of
    the usual one: its output has the size A * K, or, if `dueling`, it has two, for advantages and
    a value [..., K]. It cannot have an implicit representation, whose network is another. Raises an
    InputError for a name that `network` does not know, or for a statistic other than the mean of a
    representation that only learns means.
    """
    assert isinstance(spec.action, Discrete), "action values need discrete actions"
    if statistic is not values.mean:
        values.require_distribution(representation, "A statistic")
    actions, size = spec.action.num, representation.size
    if own is not None:
        values.require_explicit(representation, "An agent with a network of one's own")
    if representation.fractions:
        torso = encoders.torso(spec.observation, hidden, activation, encoder, layer_norm)
        module = Implicit(torso, actions, dueling)
        return implicit(spec, module, representation, statistic)
    sizes, theta = value_heads(actions, size, dueling)
    scales = (1.0,) * len(sizes)
    layers = (hidden, activation, encoder, "none", layer_norm)
    net = networks.network(spec, sizes, scales, *layers, own=own)

    def outputs(params: Tree, obs: Tree, key: Key | None = None) -> Array:
        return theta(net.step(params, (), obs)[0])

    return ActionValues(net.init, outputs, representation, statistic, partial(allowed, spec))


def ensembled(q: ActionValues, representation: Representation) -> ActionValues:
    """Independent networks of `q` side by side, with theta [..., A, E * K] of E of them.

    `representation` is an ensemble of that of `q`, as `values.ensemble_critic` makes one; its size
    tells how many members there are.
    """
    members = representation.size // q.representation.size

    def init(key: Key) -> Tree:
        return jax.vmap(q.init)(jax.random.split(key, members))

    def outputs(params: Tree, obs: Tree, key: Key | None = None) -> Array:
        theta = jax.vmap(q.outputs, (0, None), -2)(params, obs)
        return theta.reshape(*theta.shape[:-2], -1)

    return q._replace(init=init, outputs=outputs, representation=representation)


def value_heads(
    actions: int, size: int, dueling: bool
) -> tuple[tuple[int, ...], Callable[[Sequence[Array]], Array]]:
    """The sizes of a network's heads, and the function from them to theta [..., actions, size]."""
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

    return ActionValues(init, outputs, representation, statistic, partial(allowed, spec))


def annealed(settings: EpsilonGreedy, step: Array) -> Array:
    """The probability [] of a random action after gradient steps: it falls linearly from 1."""
    progress = jnp.clip(step / jnp.maximum(settings.epsilon_updates, 1.0), 0, 1)
    return 1 + progress * (settings.epsilon - 1)


def epsilon_actors(q: ActionValues, settings: EpsilonGreedy) -> tuple[Actor, Actor]:
    """Actors that explore epsilon-greedily, as settings say, and exploit greedily."""

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        now = annealed(settings, view.step)
        policy = epsilon_greedy(q.scores(view.params, obs), now, q.allowed(obs))
        return policy.sample(seed=key), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        return q.scores(view.params, obs).argmax(-1), ()

    return memoryless(explore), memoryless(exploit)
