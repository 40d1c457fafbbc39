"""Policies from preferences by the context of what is preferred, without a reward.

An encoder maps a segment to a context, the policy imitates the segment under that context, and one
context is moved towards those of preferred segments and away from the others. Acting under it is
acting as in the best of the data, and no better. Source: Kang et al. (2023), "Beyond reward:
offline preference-guided policy optimization", https://arxiv.org/abs/2305.16217.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl.cloning import PolicyNetwork, cloning_loss, policy_network
from jaxrl.conditioned import Conditioned
from jaxrl.errors import require_positive
from jaxrl.networks import blank, blank_action, joined
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.rewards.segments import Comparisons, total
from jaxrl.settings import Layers
from jaxrl.types import Actor, Array, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import descend

fixed = jax.lax.stop_gradient


class HindsightModel(NamedTuple):
    """An encoder of segments, and a policy under contexts."""

    init: Callable[[Key], Tree]  # a mapping with the entries encoder, policy and wanted
    encode: Callable[[Tree, Transition], Array]  # (params, segments [L, N, ...]) -> [N, Z]
    policy: PolicyNetwork  # of observations that are `Conditioned`


def hindsight_model(spec: Spec, size: int = 4, layers: Layers = Layers()) -> HindsightModel:
    """An encoder that averages over the steps of a segment, and the policy that suits a spec.

    Raises an InputError unless the size of contexts is above zero.
    """
    require_positive(size=size)
    each = Tower(MLP(tuple(layers.hidden), layers.activation), size)
    width = joined(spec, blank(spec), blank_action(spec)).shape[-1]
    context: Any = jax.ShapeDtypeStruct((size,), jnp.float32)
    shown = spec._replace(observation=Conditioned(spec.observation, context), mask=None)
    policy = policy_network(shown, "gaussian", layers)

    def init(key: Key) -> Tree:
        k_encoder, k_policy, k_wanted = jax.random.split(key, 3)
        wanted = jax.random.normal(k_wanted, (size,))
        return {
            "encoder": initialise(each, k_encoder, jnp.zeros(width)),
            "policy": policy.init(k_policy),
            "wanted": wanted / jnp.linalg.norm(wanted),
        }

    def encode(params: Tree, segments: Transition) -> Array:
        steps = cast(
            Array, each.apply(params["encoder"], joined(spec, segments.obs, segments.action))
        )
        count = total(segments, jnp.ones_like(segments.reward))
        return total(segments, steps) / jnp.maximum(count, 1.0)[:, None]

    return HindsightModel(init, encode, policy)


def triplet(anchor: Array, near: Array, far: Array, margin: float | Array = 1.0) -> Array:
    """The loss max(0, |anchor - near| - |anchor - far| + margin) [...] of vectors [..., Z]."""
    distance = lambda x: jnp.sqrt(jnp.square(anchor - x).sum(-1) + 1e-12)
    return jax.nn.relu(distance(near) - distance(far) + margin)


def hindsight_learner(
    model: HindsightModel,
    optimiser: optax.GradientTransformation,
    preference: float | Array = 0.1,
    length: float | Array = 0.1,
) -> Update:
    """Fit a hindsight model to batches of `Comparisons`.

    The loss is that of imitating each segment under its own context, plus `preference` times the
    triplet loss of the wanted context and the contexts of the preferred and the other segment, plus
    `length` (|context| - 1)^2. The wanted context descends the triplet loss alone, by contexts that
    are fixed. Pairs without an answer are imitated only.
    """

    def imitation(params: Tree, segments: Transition, context: Array) -> Array:
        same = jnp.broadcast_to(context, (*segments.reward.shape, context.shape[-1]))
        shown = segments._replace(obs=Conditioned(segments.obs, same))
        error = cloning_loss(model.policy.at(params["policy"], shown.obs), shown)
        return total(segments, error) / jnp.maximum(total(segments, jnp.ones_like(error)), 1.0)

    def loss(params: Tree, target: Tree, batch: Comparisons, key: Key) -> tuple[Array, dict]:
        first, second = (model.encode(params, x) for x in (batch.first, batch.second))
        cloned = imitation(params, batch.first, first) + imitation(params, batch.second, second)
        wanted = params["wanted"]
        answers = jnp.maximum(batch.weight.sum(), 1.0)

        def apart(anchor: Array, first: Array, second: Array) -> Array:
            won, lost = triplet(anchor, first, second), triplet(anchor, second, first)
            each = batch.label * won + (1 - batch.label) * lost
            return (batch.weight * each).sum() / answers

        bent = preference * apart(fixed(wanted), first, second)
        sought = apart(wanted, fixed(first), fixed(second))
        norms = jnp.stack([jnp.linalg.norm(x, axis=-1) for x in (first, second)])
        error = cloned.mean() + bent + sought + length * jnp.square(norms - 1).mean()
        return error, {"cloning_loss": cloned.mean() / 2, "triplet_loss": sought}

    return descend(model.init, loss, optimiser)


def wanted_actor(model: HindsightModel) -> Actor:
    """The actor of the policy's mode under the wanted context, for views that are learners."""

    def act(view: Any, obs: Tree, key: Key) -> tuple[Array, tuple]:
        wanted = view.params["wanted"]
        lanes = jax.tree.leaves(obs)[0].shape[0]
        shown = Conditioned(obs, jnp.broadcast_to(wanted, (lanes, wanted.shape[-1])))
        return model.policy.at(view.params["policy"], shown).mode(), ()

    return memoryless(act)
