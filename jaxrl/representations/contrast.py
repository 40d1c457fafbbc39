"""Contrastive objectives: what follows is told from what follows elsewhere.

    I = E log(p(x, y) / (p(x) p(y)))

is the mutual information of two variables, and minus the loss of `information_noise_contrast` is at
most I, with equality for scores log(p(y | x) / p(y)) + c(x).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.networks import action_size
from jaxrl.representations.encoders import (
    Encoder,
    Head,
    Pretext,
    averaged,
    beside,
    head,
    pairs,
    weighted_sum,
)
from jaxrl.representations.prediction import (
    actions_taken,
    first_of,
    reward_prediction,
    side_by_side,
)
from jaxrl.rewards.segments import within_episode
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree

LINEAR = Layers(())


def information_noise_contrast(scores: Array, weight: Array) -> Array:
    """The loss [] of telling the own key of each query from those of all others: InfoNCE.

    For scores f [B, B] of queries i and keys j, with the shares p_j = w_j / sum w,

        loss = -sum_i p_i (f_ii - log sum_j p_j exp(f_ij)),

    the softmax cross-entropy less log B where all weights are alike: scores that do not depend on
    the key have a loss of 0. If the batch has every pair (x, y) with its probability as a weight,
    the least loss is minus their mutual information, at f = log(p(y | x) / p(y)) + c(x). With few
    samples in a batch it cannot fall below -log B. Source: van den Oord et al. (2018),
    https://arxiv.org/abs/1807.03748. Raises an InputError unless there is a key for each query.
    """
    require(
        scores.ndim == 2 and scores.shape[0] == scores.shape[1],
        f"Scores must be [B, B], of all queries and all keys, but they are {scores.shape}.",
    )
    share = weight / jnp.maximum(weight.sum(), 1e-8)
    among = jnp.where(share > 0, jnp.log(jnp.where(share > 0, share, 1.0)), -jnp.inf)
    # A batch without weight has no key to compare with, and no loss.
    among = jnp.where(weight.sum() > 0, among, 0.0)
    error = jax.nn.logsumexp(scores + among, axis=1) - jnp.diagonal(scores)
    return averaged(error, weight)


def symmetric_contrast(scores: Array, weight: Array) -> Array:
    """The mean [] of the losses of telling keys by queries, and queries by keys.

    The optimum for scores [B, B] is log(p(x, y) / (p(x) p(y))) plus one constant.
    """
    both = (information_noise_contrast(x, weight) for x in (scores, scores.T))
    return sum(both, jnp.zeros(())) / 2


def temporal_contrast(
    encoder: Encoder,
    steps: int = 1,
    layers: Layers = LINEAR,
    temperature: float | Array = 1.0,
) -> Pretext:
    """Tell what is seen 1 to `steps` steps later from what is seen elsewhere, without actions.

    The score of phi(x) and phi(y) at a gap of k steps is g(phi(x), k) . phi(y) / temperature, with
    a head g of `layers`, and both directions count. Features recover a latent state if the noise
    of observations is independent in time. Exogenous noise that lasts is told apart as well as the
    state, and may take its place: see `contrastive_features`. Source: Misra et al. (2024), "Towards
    principled representation learning from videos for reinforcement learning",
    https://arxiv.org/abs/2403.13765. Raises an InputError for numbers that are not positive.
    """
    require_positive(steps=steps, temperature=temperature)
    query = head(encoder.size + steps, encoder.size, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        pair = pairs(batch, key)
        here, there = (encoder.apply(params, x) for x in (pair.now, pair.later))
        scores = query.apply(heads, beside(here, pair.gap)) @ there.T / temperature
        return symmetric_contrast(scores, pair.weight)

    return Pretext(steps, query.init, loss)


def instance_contrast(
    encoder: Encoder, augment: Callable[[Key, Tree], Tree], layers: Layers = LINEAR
) -> Pretext:
    """Tell an observation by another view of it from those of others: `augment(key, obs)` [B, *].

    Scores are g(phi(view)) . phi'(other view), where phi' is the target encoder. Source: Laskin et
    al. (2020), "CURL", https://arxiv.org/abs/2004.04136.
    """
    query = head(encoder.size, encoder.size, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        now = jax.tree.map(lambda x: x[0], batch.obs)
        one, other = (augment(k, now) for k in jax.random.split(key))
        wanted = encoder.apply(target, other)
        scores = query.apply(heads, encoder.apply(params, one)) @ wanted.T
        return information_noise_contrast(scores, batch.weight[0])

    return Pretext(1, query.init, loss)


def action_contrast(
    encoder: Encoder,
    spec: Spec,
    steps: int = 3,
    layers: Layers = Layers(),
    tokens: int | None = None,
) -> Pretext:
    """Tell what `steps` actions lead to from what is seen elsewhere: the contrast of TACO.

    The query is made of phi(s_t) and of a token of each of a_t, ..., a_{t+K-1}, which is linear in
    the action and has `tokens` numbers, by default a quarter more than actions have, and one. The
    key is made of the target's features of s_{t+K}, which have no gradient. On all pairs of a
    finite process the optimal scores are log(p(s_{t+K} | s_t, a_t, ...) / p(s_{t+K})) + c. Source:
    Zheng et al. (2023), "TACO", https://arxiv.org/abs/2306.13229. Raises an InputError for numbers
    that are not positive.
    """
    size = action_size(spec)
    latent = size * 5 // 4 + 1 if tokens is None else tokens
    require_positive(steps=steps, tokens=latent)
    token = head(size, latent, LINEAR)
    query = head(encoder.size + steps * latent, encoder.size, layers)
    answer = head(encoder.size, encoder.size, layers)
    parts: tuple[Head, ...] = (token, query, answer)

    def init(key: Key) -> Tree:
        return tuple(part.init(k) for part, k in zip(parts, jax.random.split(key, 3)))

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        final = jax.tree.map(lambda x: x[-1], batch.final)
        told = side_by_side(token.apply(heads[0], actions_taken(spec, batch)))
        asked = query.apply(heads[1], beside(encoder.apply(params, first_of(batch).obs), told))
        wanted = answer.apply(heads[2], encoder.apply(target, final))
        return information_noise_contrast(asked @ wanted.T, within_episode(batch).weight[-1])

    return Pretext(steps, init, loss)


def temporal_action_contrast(
    encoder: Encoder,
    spec: Spec,
    discount: float | Array,
    steps: int = 3,
    layers: Layers = Layers(),
    augment: Callable[[Key, Tree], Tree] | None = None,
) -> Pretext:
    """The objective of TACO: `action_contrast`, `reward_prediction` and `instance_contrast`.

    All have the weight 1; without a function that augments observations the last one is left out.
    Source: as `action_contrast`.
    """
    terms = [
        action_contrast(encoder, spec, steps, layers),
        reward_prediction(encoder, spec, discount, steps, layers),
    ]
    if augment is not None:
        terms.append(instance_contrast(encoder, augment))
    return weighted_sum(terms, [1.0] * len(terms))
