"""Rewards as ensembles of networks, and how they are fitted to comparisons."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.errors import require, require_positive
from jaxrl.pair_values import pair_values
from jaxrl.rewards.losses import PreferenceLoss
from jaxrl.rewards.segments import Comparisons, total
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Discrete, Key, Spec, Transition, Tree, Update
from jaxrl.updates import descend


class RewardModel(NamedTuple):
    """An ensemble of rewards of observations and actions."""

    init: Callable[[Key], Tree]
    each: Callable[[Tree, Tree, Tree], Array]  # (params, obs, action) -> rewards [..., E]
    reduce: Callable[[Array], Array]  # [..., E] -> [...]

    def reward(self, params: Tree, obs: Tree, action: Tree) -> Array:
        """The rewards [...] of observations and actions [..., *], reduced over the members."""
        return self.reduce(self.each(params, obs, action))


def reward_model(
    spec: Spec,
    ensemble: values.Ensemble = values.Ensemble(3, "average"),
    layers: Layers = Layers(),
    bound: float | Array = 1.0,
) -> RewardModel:
    """Independent networks of rewards in [-bound, bound], by those that suit a spec.

    The reduction of `ensemble` is that of critics: the average, or a pessimistic one, which pays
    less where the members disagree. Raises an InputError unless actions are discrete or continuous.
    """
    require(
        isinstance(spec.action, Discrete | Box),
        "A learnt reward needs discrete or continuous actions, and not several at once.",
    )
    require_positive(bound=bound)
    reduction = values.reduction(ensemble)
    net = pair_values(spec, values.scalar(), ensemble.members, layers)

    def each(params: Tree, obs: Tree, action: Tree) -> Array:
        return bound * jnp.tanh(net.outputs(params, obs, action) / bound)

    return RewardModel(net.init, each, lambda x: values.mean(reduction(values.dirac(x))))


def member_scores(model: RewardModel, params: Tree, segments: Transition) -> Array:
    """The sums [N, E] of each member's rewards over segments [L, N, ...]."""
    return total(segments, model.each(params, segments.obs, segments.action))


def preference_fitted(
    model: RewardModel, loss: PreferenceLoss, optimiser: optax.GradientTransformation
) -> Update:
    """Fit a reward model to batches of `Comparisons`, each member by itself.

    The loss is that of sums of rewards over segments; its mean is over comparisons with an answer.
    """

    def objective(params: Tree, target: Tree, batch: Comparisons, key: Key) -> tuple[Array, dict]:
        first, second = (member_scores(model, params, x) for x in (batch.first, batch.second))
        members = first.shape[-1]
        label, weight = batch.label[:, None], batch.weight[:, None]
        answers = jnp.maximum(weight.sum(), 1.0)
        # The sum over members gives each of them the gradient of its own loss.
        error = (weight * loss(first, second, label)).sum() / answers
        right = ((first > second) == (label > 0.5)) | (label == 0.5)
        accuracy = (weight * right).sum() / answers / members
        return error, {"preference_loss": error / members, "preference_accuracy": accuracy}

    return descend(model.init, objective, optimiser)


def disagreement(model: RewardModel, params: Tree, first: Transition, second: Transition) -> Array:
    """The standard deviation [N] over members of the chance that the first is preferred."""
    gap = member_scores(model, params, first) - member_scores(model, params, second)
    return jax.nn.sigmoid(gap).std(-1)
