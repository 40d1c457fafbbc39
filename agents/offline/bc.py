"""Behaviour cloning: a policy that imitates the actions of a data set.

With `best_share` below one it imitates the best episodes only, which is %BC of Chen et al. (2021).
"""

from functools import partial

import jax.numpy as jnp
import optax

from jaxrl.cloning import cloned, policy_actors, policy_network, require_loss
from jaxrl.data.episodes import subsampled
from jaxrl.fields import FRACTION, check_fields, record, static
from jaxrl.logged import require_one_action
from jaxrl.networks import Own
from jaxrl.normalise import Schedule, replaying, shown
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Spec, Transition, Update
from jaxrl.updates import enriched, optimiser_for, replayed, require_buffer


@record
class Hyperparameters:
    """The hyperparameters of behaviour cloning; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    loss: str = static("likelihood")
    """Loss of the policy: likelihood, or squared-error, which needs continuous actions."""
    policy: str = static("gaussian")
    """Policy of continuous actions: gaussian, with a mean in bounds and deviations that do not
    depend on the observation, or squashed, which is that of SAC."""
    best_share: float = static(1.0, FRACTION)
    """Share of the data set's episodes that are imitated, those of the highest returns."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


def bc(
    spec: Spec,
    hp: Hyperparameters,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
    schedule: Schedule | None = None,
) -> Agent:
    """Behaviour cloning of discrete actions, or of continuous ones in [-1, 1].

    The loss is -log pi(a | s), or |mode(pi) - a|^2 / d. `network`, `optimiser` and `schedule`, by
    which it replays, take the place of what `hp` describes. Raises an InputError if the
    hyperparameters do not fit each other or the actions.
    """
    check(spec, hp)
    seen = shown(spec, hp.normalise_observations)
    policy = policy_network(seen, hp.policy, hp.network, network)

    best = partial(best_episodes, share=hp.best_share)

    def remember(update: Update) -> Update:
        stored = replayed(update, hp) if schedule is None else schedule(update, hp, None)
        return stored if hp.best_share == 1 else enriched(stored, best)

    update = cloned(policy, optimiser_for(hp, optimiser), hp.loss, "policy_loss")
    agent = Agent(*policy_actors(policy), update)
    return replaying(agent, spec, remember, hp.normalise_observations)


def best_episodes(data: Transition, share: float) -> Transition:
    """The data set with weight 0 for all but its best episodes, and as large a mean weight.

    See `jaxrl.data.subsampled`.
    """
    best = subsampled(data, share)
    scale = data.weight.mean() / jnp.maximum(best.weight.mean(), 1e-8)
    return best._replace(weight=scale * best.weight)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_loss(spec, hp.loss)
    require_buffer(hp)
