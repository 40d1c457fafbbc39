"""Predictive objectives: actions, observations, features and rewards, told from features.

No gradient reaches the target encoder, whose parameters are another argument of the losses. The
derivative of a loss in which both are the same parameters is that without a stopped gradient, for
which features that are constant are the best: they collapse.
"""

import jax
import jax.numpy as jnp

from jaxrl.cloning import cloning_loss, policy_network, require_loss
from jaxrl.errors import require_positive
from jaxrl.logged import require_one_action
from jaxrl.networks import action_size, flat, flat_action, scaled
from jaxrl.representations.encoders import (
    Encoder,
    Pretext,
    averaged,
    beside,
    head,
    pairs,
    vector_spec,
    weighted_sum,
)
from jaxrl.rewards.segments import total, within_episode
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Discrete, Key, MultiDiscrete, Space, Spec, Transition, Tree


def actions_taken(spec: Spec, batch: Transition) -> Array:
    """The actions [B, K, A] of sequences [K, B, ...] as vectors."""
    return jnp.moveaxis(flat_action(spec, batch.action), 0, 1)


def side_by_side(x: Array) -> Array:
    """Several vectors [B, K, A] as one [B, K A]."""
    return x.reshape(len(x), -1)


def first_of(batch: Transition) -> Transition:
    """The first steps [B, ...] of sequences [K, B, ...]."""
    return jax.tree.map(lambda x: x[0], batch)


def inverse_dynamics(
    encoder: Encoder,
    spec: Spec,
    steps: int = 1,
    layers: Layers = Layers(),
    loss: str = "likelihood",
) -> Pretext:
    """Predict the action between two observations that are 1 to `steps` steps apart.

    A policy of (phi(s_t), phi(s_{t+k}), k) imitates a_t. What the agent does not influence is of no
    use to it, so that exogenous noise stays out of the features, however long it lasts. With one
    step, states that are far apart may share their features: on a ring whose steps go left and
    right, the position modulo 3 tells every action. More steps tell more states apart. The loss is
    one of `jaxrl.cloning.LOSSES`. Source: Brandfonbrener et al. (2023), "Inverse dynamics
    pretraining learns good representations for multitask imitation",
    https://arxiv.org/abs/2305.16985, with one step; Lamb et al. (2022), "Guaranteed discovery of
    control-endogenous latent states with multi-step inverse models",
    https://arxiv.org/abs/2207.08229. Raises an InputError for steps that are not positive, several
    actions at once, or an unknown loss.
    """
    require_positive(steps=steps)
    require_one_action(spec)
    require_loss(spec, loss)
    between = spec._replace(
        observation=vector_spec(2 * encoder.size + steps).observation, mask=None
    )
    policy = policy_network(between, layers=layers)

    def objective(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        pair = pairs(batch, key)
        here, there = (encoder.apply(params, x) for x in (pair.now, pair.later))
        told = policy.at(heads, beside(here, there, pair.gap))
        return averaged(cloning_loss(told, first_of(batch), loss=loss), pair.weight)

    return Pretext(steps, policy.init, objective)


def forward_dynamics(
    encoder: Encoder,
    spec: Spec,
    steps: int = 1,
    layers: Layers = Layers(),
    actions: bool = True,
) -> Pretext:
    """Predict what is seen 1 to `steps` steps later, by the mean squared error.

    The prediction sees phi(s_t), the number of steps k and, unless `actions` is off as for videos,
    a_t, ..., a_{t+k-1}. All that can be predicted of an observation counts, exogenous noise that
    lasts too. Source: Misra et al. (2024), https://arxiv.org/abs/2403.13765, without actions.
    Raises an InputError for steps that are not positive.
    """
    require_positive(steps=steps)
    size = steps * action_size(spec) if actions else 0
    outputs = sum(leaf.size for leaf in jax.tree.leaves(spec.observation))
    model = head(encoder.size + steps + size, outputs, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        pair = pairs(batch, key)
        told = [encoder.apply(params, pair.now), pair.gap]
        if actions:  # those up to the gap; later ones are not known
            past = jnp.cumsum(pair.gap[:, ::-1], 1)[:, ::-1, None]
            told.append(side_by_side(past * actions_taken(spec, batch)))
        wanted = flat(spec.observation, scaled(spec.observation, pair.later))
        error = jnp.square(model.apply(heads, beside(*told)) - wanted).mean(-1)
        return averaged(error, pair.weight)

    return Pretext(steps, model.init, loss)


def autoencoder(encoder: Encoder, spec: Spec, layers: Layers = Layers()) -> Pretext:
    """Reconstruct the observation from its features, by the mean squared error.

    Linear encoders and decoders find the leading principal components, whatever these mean.
    """
    outputs = sum(leaf.size for leaf in jax.tree.leaves(spec.observation))
    model = head(encoder.size, outputs, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        now = first_of(batch)
        wanted = flat(spec.observation, scaled(spec.observation, now.obs))
        told = model.apply(heads, encoder.apply(params, now.obs))
        return averaged(jnp.square(told - wanted).mean(-1), now.weight)

    return Pretext(1, model.init, loss)


def self_prediction(
    encoder: Encoder, spec: Spec, steps: int = 1, layers: Layers = Layers()
) -> Pretext:
    """Predict the target encoder's features of the next `steps` observations by a latent model.

    From z_0 = phi(s_t) the model goes on by z_{k+1} = h(z_k, a_{t+k}), and the loss is the mean
    over k of |z_k - phi'(s_{t+k})|^2, for the target's features phi'. With a linear model that is
    the best for phi, a gradient that does not reach phi' leaves phi' phi as it is, so that features
    do not collapse; one that does shrinks them. Source: Schwarzer et al. (2021), "SPR",
    https://arxiv.org/abs/2007.05929; Tang et al. (2023), "Understanding self-predictive learning",
    https://arxiv.org/abs/2212.03319. Raises an InputError for steps that are not positive.
    """
    require_positive(steps=steps)
    model = head(encoder.size + action_size(spec), encoder.size, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        now = encoder.apply(params, first_of(batch).obs)
        wanted = encoder.apply(target, batch.final)  # [K, B, D]

        def step(z: Array, action: Array) -> tuple[Array, Array]:
            z = model.apply(heads, beside(z, action))
            return z, z

        told = jax.lax.scan(step, now, flat_action(spec, batch.action))[1]
        return averaged(jnp.square(told - wanted).sum(-1), within_episode(batch).weight)

    return Pretext(steps, model.init, loss)


def joint_embedding(encoder: Encoder, steps: int = 4, layers: Layers = Layers()) -> Pretext:
    """Predict the target encoder's features of the next `steps` observations, without actions.

    The loss is the mean over k of |h_k(phi(s_t)) - phi'(s_{t+k})|^2, for the features phi' of the
    target encoder. Source: the latent half of `action_joint_embedding`. Raises an InputError for
    steps that are not positive.
    """
    require_positive(steps=steps)
    model = head(encoder.size, steps * encoder.size, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        told = model.apply(heads, encoder.apply(params, first_of(batch).obs))
        told = jnp.moveaxis(told.reshape(len(told), steps, encoder.size), 1, 0)
        wanted = encoder.apply(target, batch.final)
        return averaged(jnp.square(told - wanted).sum(-1), within_episode(batch).weight)

    return Pretext(steps, model.init, loss)


def chunk_space(space: Space, steps: int) -> Space:
    """The space of `steps` discrete or continuous actions at once."""
    if isinstance(space, Box):
        return Box(*(jnp.broadcast_to(x, (steps, *space.shape)) for x in space))
    assert isinstance(space, Discrete), "chunks are of discrete or continuous actions"
    return MultiDiscrete((space.num,) * steps)


def action_chunks(
    encoder: Encoder,
    spec: Spec,
    steps: int = 4,
    layers: Layers = Layers(),
    loss: str = "likelihood",
) -> Pretext:
    """Imitate the next `steps` actions at once, from the features of the observation.

    The actions of a chunk are independent given the features, and chunks that an episode ends in
    do not count. With one step it is behaviour cloning. The loss is one of `jaxrl.cloning.LOSSES`.
    Raises an InputError for steps that are not positive, several actions at once, or an unknown
    loss.
    """
    require_positive(steps=steps)
    require_one_action(spec)
    require_loss(spec, loss)
    chunks = vector_spec(encoder.size)._replace(action=chunk_space(spec.action, steps))
    policy = policy_network(chunks, layers=layers)

    def objective(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        now = first_of(batch)
        wanted = now._replace(action=jnp.moveaxis(batch.action, 0, 1))
        told = policy.at(heads, encoder.apply(params, now.obs))
        return averaged(cloning_loss(told, wanted, loss=loss), within_episode(batch).weight[-1])

    return Pretext(steps, policy.init, objective)


def action_joint_embedding(
    encoder: Encoder,
    spec: Spec,
    steps: int = 4,
    layers: Layers = Layers(),
    weight: float | Array = 1.0,
) -> Pretext:
    """The objective of ACT-JEPA: `action_chunks` and `weight` times `joint_embedding`.

    Source: Vujinovic and Kovacevic (2025), "ACT-JEPA", https://arxiv.org/abs/2501.14622.
    """
    imitation = action_chunks(encoder, spec, steps, layers)
    return weighted_sum([imitation, joint_embedding(encoder, steps, layers)], [1.0, weight])


def reward_prediction(
    encoder: Encoder,
    spec: Spec,
    discount: float | Array,
    steps: int = 3,
    layers: Layers = Layers(),
) -> Pretext:
    """Predict the discounted reward of the next `steps` steps from features and the actions.

    Sequences that a time limit cuts do not count, and what follows a termination is 0. Raises an
    InputError for steps that are not positive.
    """
    require_positive(steps=steps)
    model = head(encoder.size + steps * action_size(spec), 1, layers)

    def loss(params: Tree, target: Tree, heads: Tree, batch: Transition, key: Key) -> Array:
        now, episode = first_of(batch), within_episode(batch)
        ended = ((batch.discount == 0) & (episode.weight > 0)).any(0)
        weight = jnp.where(ended, now.weight, episode.weight[-1])
        taken = side_by_side(actions_taken(spec, batch))
        told = model.apply(heads, beside(encoder.apply(params, now.obs), taken))[:, 0]
        return averaged(jnp.square(told - total(episode, batch.reward, discount)), weight)

    return Pretext(steps, model.init, loss)
