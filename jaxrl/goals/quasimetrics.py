"""Distances that need not be symmetric, and how they are learnt from steps.

A quasimetric has d(x, x) = 0 and d(x, z) <= d(x, y) + d(y, z), which are the laws of the numbers of
steps on shortest paths. The embeddings here have both by construction, whatever their parameters.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxrl.conformance import types_of
from jaxrl.errors import require, require_known
from jaxrl.goals.environments import goals_of
from jaxrl.networks.inputs import flat, scaled
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Tree

WIDTH = 8  # intervals, or coordinates, of one component


def interval_distance(x: Array, y: Array, share: float | Array = 0.5) -> Array:
    """Interval quasimetric embeddings: distances [...] of latents [..., K W], W = 8 or all.

    Each of K components is the length of the union of the W intervals [x_j, max(x_j, y_j)], and
    d = share mean + (1 - share) max of the components. Source: Wang and Isola (2022), "Improved
    representation of asymmetrical distances with interval quasimetric embeddings",
    https://arxiv.org/abs/2211.15120.
    """
    x, y = jnp.broadcast_arrays(x, y)
    left, right = components(x), components(jnp.maximum(x, y))
    order = jnp.argsort(left, -1)
    left, right = (jnp.take_along_axis(z, order, -1) for z in (left, right))
    # What earlier intervals have covered already ends at the largest of their ends.
    covered = jax.lax.cummax(right, axis=right.ndim - 1)[..., :-1]
    begin = jnp.concatenate([left[..., :1], jnp.maximum(left[..., 1:], covered)], -1)
    length = jax.nn.relu(right - begin).sum(-1)
    return share * length.mean(-1) + (1 - share) * length.max(-1)


def residual_distance(x: Array, y: Array, share: float | Array = 0.5) -> Array:
    """Metric residual networks: distances [...] of latents [..., K W], W = 8 or all.

    Of each component one half of the coordinates makes a Euclidean distance, and the other half
    max_j (x_j - y_j)_+; the distance is the mean of the components. The square of the first term,
    as it was published, breaks the triangle inequality. Source: Liu et al. (2022), "Metric residual
    networks for sample efficient goal-conditioned reinforcement learning",
    https://arxiv.org/abs/2208.08133.
    """
    gap = components(x) - components(y)
    half = gap.shape[-1] // 2
    square = jnp.square(gap[..., :half]).sum(-1)
    # The root has no gradient at zero.
    length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    return (length + jax.nn.relu(gap[..., half:]).max(-1)).mean(-1)


METRICS: dict[str, Callable[[Array, Array, float | Array], Array]] = {
    "iqe": interval_distance,
    "mrn": residual_distance,
}


def components(x: Array) -> Array:
    """Latents [..., K W] as [..., K, W], or [..., 1, D] if W does not divide D."""
    size = x.shape[-1]
    width = size if size % WIDTH else WIDTH
    return x.reshape(*x.shape[:-1], size // width, width)


class Quasimetric(NamedTuple):
    """A distance of observations, without goals, and of goals that are such observations."""

    init: Callable[[Key], Tree]
    distance: Callable[[Tree, Tree, Tree], Array]  # (params, obs [..., *], goal [..., *]) -> [...]


def quasimetric(
    spec: Spec, kind: str = "iqe", layers: Layers = Layers(), size: int = 64
) -> Quasimetric:
    """The distance of latents [size] that one network makes of observations and of goals.

    Raises an InputError if the spec has no goals, or goals that are no observations, and for a
    kind that is neither iqe nor mrn.
    """
    goals = goals_of(spec, "a quasimetric")
    require_known("quasimetric", kind, METRICS)
    shape = spec.observation.obs
    require(
        types_of(shape) == types_of(goals.goal),
        "A quasimetric needs goals that are observations, but observations are "
        f"{types_of(shape)[0]} and goals {types_of(goals.goal)[0]}: try hiql or crl.",
    )
    module = Tower(MLP(tuple(layers.hidden), layers.activation, layers.layer_norm), size)
    see = lambda x: flat(shape, scaled(shape, x))
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)

    def init(key: Key) -> Tree:
        return {"latent": initialise(module, key, see(blank)), "share": jnp.zeros(())}

    def distance(params: Tree, obs: Tree, goal: Tree) -> Array:
        x, y = (cast(Array, module.apply(params["latent"], see(z))) for z in (obs, goal))
        return METRICS[kind](x, y, jax.nn.sigmoid(params["share"]))

    return Quasimetric(init, distance)


def spreading_loss(away: Array, farthest: float | Array = 500.0) -> Array:
    """The loss [...] that makes distances [...] large: t softplus(5 - d / t), t = farthest / 5.

    It is about -d for distances much below `farthest`, and about 0 far beyond. Source: Wang et al.
    (2023), "Optimal goal-reaching reinforcement learning via quasimetric learning",
    https://arxiv.org/abs/2304.01203.
    """
    scale = farthest / 5
    return scale * jax.nn.softplus(5 - away / scale)


def step_excess(step: Array, cost: float | Array = 1.0) -> Array:
    """The square [...] of what the distances [...] of single steps are above their cost.

    Distances that are as large as they can be while this is zero are those of the shortest paths,
    where the environment is deterministic. Where it is not, they are those of lucky paths. Source:
    Wang et al. (2023), https://arxiv.org/abs/2304.01203.
    """
    return jnp.square(jax.nn.relu(step - cost))
