"""Quasimetric reinforcement learning: distances to goals, and a policy that goes down them.

Wang et al. (2023), "Optimal goal-reaching reinforcement learning via quasimetric learning",
https://arxiv.org/abs/2304.01203. Distances of random pairs are made as large as they can be while
no step is longer than 1; the policy clones the steps that come nearer to their goal.
"""

import jax
import jax.numpy as jnp

from jaxrl.cloning import cloning_loss, policy_actors, policy_network
from jaxrl.conditioned import Conditioned
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.goals import (
    Hindsight,
    goals_for,
    goals_of,
    progress_weight,
    quasimetric,
    remembered,
    spreading_loss,
    step_excess,
    stored,
)
from jaxrl.goals.hindsight import check_hindsight
from jaxrl.logged import require_one_action
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import descend, optimiser_for, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of QRL; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    metric: str = static("iqe")
    """Quasimetric of latents: iqe, intervals, or mrn, a Euclidean and an asymmetric part."""
    latent_size: int = static(64, POSITIVE)
    """Size of the latents of observations."""
    farthest: float = number(500.0, POSITIVE)
    """Number of steps beyond which distances are not made larger."""
    slack: float = number(0.05, POSITIVE)
    """Mean square of the excess of single steps over 1 that is allowed."""
    inverse_temperature: float = number(3.0, NOT_NEGATIVE)
    """Factor of the progress towards the goal, in steps, in the exponent of the weights."""
    largest_weight: float = number(100.0, POSITIVE)
    """Largest weight of a cloned action."""
    policy_goals: Hindsight = Hindsight(future=1.0)
    """Goals for which the policy is learnt."""
    policy: str = static("gaussian")
    """Policy of continuous actions: gaussian, with a mean in bounds and deviations that do not
    depend on the observation, or squashed, which is that of SAC."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


ANYWHERE = Hindsight(future=0.0, random=1.0)


def qrl(spec: Spec, hp: Hyperparameters) -> Agent:
    """QRL for discrete actions or continuous ones in [-1, 1], from a data set.

    The distance d maximises E d(s, g) over random pairs, by `spreading_loss`, with

        E max(d(s, s') - 1, 0)^2 <= slack,

    by a price that grows while this does not hold. The policy's loss is that of cloning with the
    weights min(exp(beta (d(s, g) - d(s', g))), largest). Steps that are taken later teach nothing.
    Raises an InputError if the environment has no goals, or goals that are no observations, or the
    hyperparameters do not fit each other or the actions.
    """
    check(spec, hp)
    goals = goals_of(spec, "qrl")
    d = quasimetric(spec, hp.metric, hp.network, hp.latent_size)
    policy = policy_network(spec, hp.policy, hp.network)

    def init(key: Key) -> Tree:
        k_distance, k_actor = jax.random.split(key)
        params = {"distance": d.init(k_distance), "actor": policy.init(k_actor)}
        return params | {"price": jnp.zeros(())}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_distance, k_policy = jax.random.split(key)
        found = stored(batch)
        obs, after = found.steps.obs.obs, found.steps.final.obs
        distance = lambda obs, goal: d.distance(params["distance"], obs, goal)
        goal = goals_for(k_distance, found, goals, ANYWHERE).goal
        away = distance(obs, goal)
        excess = step_excess(distance(obs, after))
        price = jax.nn.softplus(params["price"])
        paid = fixed(price) * excess - price * (fixed(excess) - hp.slack)
        # The policy: the steps that come nearer.
        goal = goals_for(k_policy, found, goals, hp.policy_goals).goal
        weight, progress = progress_weight(
            lambda obs: -distance(obs, goal)[..., None],
            obs,
            after,
            hp.inverse_temperature,
            hp.largest_weight,
        )
        seen = Conditioned(obs, goal)
        cloned = cloning_loss(policy.at(params["actor"], seen), found.steps, weight)
        total = (batch.weight * (spreading_loss(away, hp.farthest) + paid + cloned)).mean()
        metrics = {"distance": away.mean(), "excess": excess.mean(), "price": price}
        return total, metrics | {"policy_loss": cloned.mean(), "progress": progress.mean()}

    update = descend(init, loss, optimiser_for(hp))
    return Agent(*policy_actors(policy), remembered(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    check_hindsight(hp.policy_goals)
    require_buffer(hp)
