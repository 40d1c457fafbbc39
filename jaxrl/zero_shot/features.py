"""Features of observations that are paid, in whose span rewards are looked for.

Each kind is an encoder and a loss. Hilbert features have distances that are those of the shortest
paths in the data, as far as a Hilbert space has such: V(s, g) = -|phi(s) - phi(g)|. Laplacian ones
change little from step to step, and random ones are not learnt.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import networks
from jaxrl.errors import require_known
from jaxrl.goals.intentions import Intended, intention_loss
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree
from jaxrl.zero_shot.measures import orthonormality_loss
from jaxrl.zero_shot.tasks import mean_of, on_sphere


class Features(NamedTuple):
    """An encoder of observations, and how it is learnt."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> [..., d]
    loss: Callable[[Tree, Tree, Transition, Intended], Array]
    # loss: (params, target, batch [B, ...], goals of its steps) -> []


def hilbert_distance(one: Array, other: Array) -> Array:
    """The distance [...] of vectors [..., d], with a gradient of 0 where they are equal."""
    square = jnp.square(one - other).sum(-1)
    apart = square > 1e-12
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


def hilbert_loss(
    embed: Callable[[Tree, Tree], Array],
    params: Tree,
    target: Tree,
    steps: Intended,
    discount: float | Array,
    level: float | Array,
) -> Array:
    """The loss [B] of embeddings whose distances are the values of reaching goals.

    It is `jaxrl.goals.intentions.intention_loss` of V(s, g) = -|phi(s) - phi(g)| for the goals
    `steps.intent`, where `embed(params, obs)` are phi [B, H, d] of H independent embeddings. In a
    deterministic environment with the level 1 it is 0 if V is minus the discounted length of the
    shortest path, (1 - gamma^n) / (1 - gamma) of n steps. Paths that are a line have such an
    embedding; a point with three neighbours has none if gamma is above 0.73, nor have most loops.
    Source: Park, Kreiman and Levine (2024), "Foundation policies with Hilbert representations",
    https://arxiv.org/abs/2402.15567.
    """

    def value(params: Tree, obs: Tree, outcome: Tree, intent: Tree) -> Array:
        return -hilbert_distance(embed(params, obs), embed(params, outcome))

    same = steps._replace(outcome=steps.intent, reached=steps.satisfied)
    return intention_loss(value, params, target, same, discount, level)


def hilbert_features(
    spec: Spec, size: int, layers: Layers, discount: float | Array, level: float | Array
) -> Features:
    """Two networks of `hilbert_loss`, of which the features are the first one's."""
    net = networks.network(spec, (size,) * 2, (1.0,) * 2, **vars(layers))
    embed = lambda params, obs: jnp.stack(net.step(params, (), obs)[0], -2)

    def loss(params: Tree, target: Tree, batch: Transition, steps: Intended) -> Array:
        each = hilbert_loss(embed, params, target, steps, discount, level)
        return (batch.weight * each).mean()

    return Features(net.init, lambda params, obs: embed(params, obs)[..., 0, :], loss)


def laplacian_features(spec: Spec, size: int, layers: Layers) -> Features:
    """Orthonormal features with the least mean of |phi(s) - phi(s')|^2, the smoothest ones.

    Source: Wu, Tucker and Nachum (2019), "The Laplacian in RL: learning representations with
    efficient approximations", https://arxiv.org/abs/1810.04586.
    """
    net = networks.network(spec, (size,), (1.0,), **vars(layers))
    apply = lambda params, obs: net.step(params, (), obs)[0][0]

    def loss(params: Tree, target: Tree, batch: Transition, steps: Intended) -> Array:
        now, after = apply(params, batch.obs), apply(params, batch.final)
        moved = (batch.weight * jnp.square(after - now).sum(-1)).mean()
        return moved + orthonormality_loss(after, batch.weight)

    return Features(net.init, apply, loss)


def random_features(spec: Spec, size: int, layers: Layers) -> Features:
    """The outputs of a network that stays as it was drawn."""
    net = networks.network(spec, (size,), (1.0,), **vars(layers))
    apply = lambda params, obs: net.step(params, (), obs)[0][0]
    return Features(net.init, apply, lambda params, target, batch, steps: jnp.zeros(()))


FEATURES = ("hilbert", "laplacian", "random")


def features(
    kind: str,
    spec: Spec,
    size: int,
    layers: Layers,
    discount: float | Array,
    level: float | Array,
) -> Features:
    """The features of a kind; the last two arguments are those of Hilbert features.

    Raises an InputError for another kind.
    """
    require_known("features", kind, FEATURES)
    if kind == "hilbert":
        return hilbert_features(spec, size, layers, discount, level)
    make = laplacian_features if kind == "laplacian" else random_features
    return make(spec, size, layers)


def centred(features: Array, weight: Array | None = None) -> Array:
    """Features [N, d] minus their mean, and over their size: the mean of |phi|^2 is d.

    Means are over N steps with weights [N]. A reward that is constant then has the task 0.
    """
    away = features - mean_of(features, weight)
    power = mean_of(jnp.square(away).mean(-1), weight)
    return away * jax.lax.rsqrt(power + 1e-8)


def toward(here: Array, goal: Array) -> Array:
    """The tasks [..., d] of going from states to goals with Hilbert features [..., d].

    They are directions, to be asked for anew at each step. The return of the reward
    (phi(s') - phi(s))'z, by which Park et al. (2024) learn, is 1 - gamma times that of phi(s')'z
    minus phi(s)'z, so that both have the same best policies.
    """
    return on_sphere(goal - here)
