"""Scores of pairs that tell what follows a state from anything else.

The scores of the best classifier are ratios of probabilities: with the goals of a batch that
follow with geometric offsets, those of the discounted occupancy of the behaviour,

    p(g | s, a) = (1 - gamma) sum_k gamma^(k - 1) P(s_k = g | s, a),   k = 1, 2, ...
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxrl.goals.environments import goals_of
from jaxrl.networks.inputs import blank_action, flat, flat_action, scaled
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.representations.contrast import information_noise_contrast
from jaxrl.representations.encoders import averaged
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Tree


def binary_contrast(scores: Array, weight: Array) -> Array:
    """The loss [] of telling pairs and goals that belong together from those that do not.

    For scores f [N, N] of N pairs and N goals, of which the i-th belong together,

        loss = -mean_ij (1{i = j} log sigmoid(f_ij) + 1{i != j} log sigmoid(-f_ij)),

    with the pairs weighted by `weight` [N]. The best scores are the logarithm of the ratio
    p(g | s, a) / p(g), less that of N - 1. Source: Eysenbach et al. (2022), "Contrastive learning
    as goal-conditioned reinforcement learning", https://arxiv.org/abs/2206.07568.
    """
    same = jnp.eye(len(scores), dtype=bool)
    return averaged(jax.nn.softplus(jnp.where(same, -scores, scores)).mean(-1), weight)


CONTRASTS: dict[str, Callable[[Array, Array], Array]] = {
    "binary": binary_contrast,
    "forward": information_noise_contrast,
    "backward": lambda scores, weight: information_noise_contrast(scores.T, weight),
}
"""Losses [] of scores [N, N] of pairs and goals, and weights [N].

`forward` finds the goal of a pair, so that its best scores may have any function of the pair beside
the ratio; `backward` finds the pair of a goal, and may have any function of the goal.
"""


class PairScores(NamedTuple):
    """Several scores f(s, a, g) = phi(s, a)' psi(g) / sqrt(D), of observations without goals."""

    init: Callable[[Key], Tree]
    left: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> [..., H, D]
    right: Callable[[Tree, Tree], Array]  # (params, goal) -> [..., H, D]

    def score(self, params: Tree, obs: Tree, action: Array, goal: Tree) -> Array:
        """The scores [..., H] of pairs [..., *] and their goals [..., *]."""
        x, y = self.left(params, obs, action), self.right(params, goal)
        return (x * y).sum(-1) / x.shape[-1] ** 0.5

    def scores(self, params: Tree, obs: Tree, action: Array, goal: Tree) -> Array:
        """The scores [H, N, M] of N pairs and M goals."""
        x, y = self.left(params, obs, action), self.right(params, goal)
        return jnp.einsum("nhd,mhd->hnm", x, y) / x.shape[-1] ** 0.5


def pair_scores(
    spec: Spec, layers: Layers = Layers(), heads: int = 2, size: int = 64
) -> PairScores:
    """Scores of pairs and goals in `heads` independent copies, by networks of flat inputs.

    Raises an InputError if the spec has no goals.
    """
    goals = goals_of(spec, "contrastive scores")
    shapes = (spec.observation.obs, goals.goal)
    module = Tower(MLP(tuple(layers.hidden), layers.activation, layers.layer_norm), size)
    see = lambda shape, x: flat(shape, scaled(shape, x))
    blank = [jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape) for shape in shapes]

    def pair(obs: Tree, action: Array) -> Array:
        return jnp.concatenate([see(shapes[0], obs), flat_action(spec, action)], -1)

    def init(key: Key) -> Tree:
        inputs = pair(blank[0], blank_action(spec)), see(shapes[1], blank[1])
        make = lambda x: lambda key: initialise(module, key, x)
        keys = jax.random.split(key, (2, heads))
        return {name: jax.vmap(make(x))(k) for name, x, k in zip(("left", "right"), inputs, keys)}

    def of(params: Tree, x: Array) -> Array:
        each = lambda params: cast(Array, module.apply(params, x))
        return jax.vmap(each, out_axes=-2)(params)

    left = lambda params, obs, action: of(params["left"], pair(obs, action))
    right = lambda params, goal: of(params["right"], see(shapes[1], goal))
    return PairScores(init, left, right)
