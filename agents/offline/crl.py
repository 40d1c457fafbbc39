"""Contrastive reinforcement learning: a classifier of what follows as the critic of a policy.

Eysenbach et al. (2022), "Contrastive learning as goal-conditioned reinforcement learning",
https://arxiv.org/abs/2206.07568, on a data set. The scores are of what the behaviour would reach;
the policy is better than it because it prefers the actions of high scores.
"""

from typing import Any

import jax
import jax.numpy as jnp

from agents.offline.td3_bc import normalised
from jaxrl.cloning import cloning_loss, policy_actors, policy_network
from jaxrl.conditioned import Conditioned
from jaxrl.errors import require_known
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.goals import (
    CONTRASTS,
    Hindsight,
    goals_for,
    goals_of,
    pair_scores,
    remembered,
    stored,
)
from jaxrl.goals.hindsight import check_hindsight
from jaxrl.logged import require_one_action
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Discrete, Key, Spec, Transition, Tree, lanes
from jaxrl.updates import descend, optimiser_for, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of contrastive RL; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step, that of the offsets of what follows."""
    contrast: str = static("binary")
    """Loss of the classifier: binary, or the softmax over goals, forward, or pairs, backward."""
    latent_size: int = static(64, POSITIVE)
    """Size of the latents of pairs and of goals."""
    cloning: float = number(0.1, NOT_NEGATIVE)
    """Weight of the cloning of the data's actions in the policy's loss, beside scores whose mean
    size in a batch is 1."""
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


FOLLOWING = Hindsight(future=1.0, offsets="geometric")


def crl(spec: Spec, hp: Hyperparameters) -> Agent:
    """Contrastive RL for discrete actions or continuous ones in [-1, 1], from a data set.

    Two scores f are fitted by `jaxrl.goals.CONTRASTS` to goals that follow pairs with geometric
    offsets, and the policy's loss is, with the mean |min f| of the batch as M,

        -E_pi min f(s, a, g) / M - cloning log pi(a_data | s, g),

    where the expectation over continuous actions is taken at the policy's mode. Steps that are
    taken later teach nothing. Raises an InputError if the environment has no goals, or the
    hyperparameters do not fit each other or the actions.
    """
    check(spec, hp)
    goals = goals_of(spec, "crl")
    f = pair_scores(spec, hp.network, size=hp.latent_size)
    policy = policy_network(spec, hp.policy, hp.network)

    def init(key: Key) -> Tree:
        k_critic, k_actor = jax.random.split(key)
        return {"critic": f.init(k_critic), "actor": policy.init(k_actor)}

    def expected(params: Tree, policy: Any, obs: Tree, goal: Tree) -> Array:
        """The lowest score [N] of the policy's action, expected over discrete ones."""
        critic = fixed(params["critic"])
        score = lambda action: f.score(critic, obs, action, goal).min(-1)
        if not isinstance(spec.action, Discrete):
            return score(policy.mode())
        every = jnp.arange(spec.action.num)
        each = jax.vmap(lambda a: score(jnp.broadcast_to(a, (lanes(goal),))), out_axes=-1)(every)
        return (policy.probs * each).sum(-1)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_critic, k_policy = jax.random.split(key)
        found = stored(batch)
        obs, action = found.steps.obs.obs, found.steps.action
        goal = goals_for(k_critic, found, goals, FOLLOWING, hp.discount).goal
        scores = f.scores(params["critic"], obs, action, goal)
        contrast = CONTRASTS[hp.contrast]
        error = jax.vmap(lambda x: contrast(x, batch.weight))(scores).sum()
        # The policy: actions of high scores, near those of the data.
        goal = goals_for(k_policy, found, goals, hp.policy_goals, hp.discount).goal
        acting = policy.at(params["actor"], Conditioned(obs, goal))
        value = expected(params, acting, obs, goal)
        cloned = cloning_loss(acting, found.steps)
        total = error + (batch.weight * (hp.cloning * cloned - normalised(value, batch))).mean()
        right = (scores.argmax(-1) == jnp.arange(scores.shape[-1])).mean()
        metrics = {"critic_loss": error, "accuracy": right, "score": value.mean()}
        return total, metrics | {"policy_loss": cloned.mean()}

    update = descend(init, loss, optimiser_for(hp))
    return Agent(*policy_actors(policy), remembered(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    check_hindsight(hp.policy_goals)
    require_known("contrast", hp.contrast, CONTRASTS)
    require_buffer(hp)
