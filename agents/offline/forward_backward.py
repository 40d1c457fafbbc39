"""Forward-backward representations: policies of all rewards at once, learnt without a reward.

The measure of future visits under the policy of a task z is factorised into F(s, a, z)'B(g). For
any reward r, known only afterwards, the task E[r B] has the value F(s, a, z)'z, and its policy is
greedy for it. Source: Touati and Ollivier (2021), "Learning one representation to optimize all
rewards", https://arxiv.org/abs/2103.07945; the conservative versions: Jeen et al. (2024),
"Zero-shot reinforcement learning from low quality data", https://arxiv.org/abs/2309.15178.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl import networks
from jaxrl.errors import require_known
from jaxrl.fields import FRACTION, NOT_NEGATIVE, check_fields, number, record, static
from jaxrl.logged import require_one_action
from jaxrl.normalise import remembering, shown
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import descend, optimiser_for, polyak, require_buffer
from jaxrl.zero_shot.measures import measure_loss, orthonormality_loss
from jaxrl.zero_shot.tasks import Tasks, drawn_tasks, informed
from jaxrl.zero_shot.universal import (
    Universal,
    exploring,
    measure_excess,
    pursuing,
    universal,
    value_excess,
)

fixed = jax.lax.stop_gradient

PENALTIES = ("none", "values", "measures")


@record
class Hyperparameters:
    """The hyperparameters of FB; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.98, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    task: Tasks = Tasks()
    """The tasks that are learnt."""
    orthonormality: float = number(1.0, NOT_NEGATIVE)
    """Weight of the loss that keeps the features B orthonormal."""
    penalty: str = static("none")
    """What is kept low for actions that are not in the data: none; values, as in VC-FB; or
    measures, as in MC-FB."""
    conservatism: float = number(1.0, NOT_NEGATIVE)
    """Weight of that penalty."""
    noise: float = number(0.2, FRACTION)
    """Standard deviation of the noise on continuous actions, and the probability of random discrete
    ones while exploring."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The layers of each network."""


class Model(NamedTuple):
    """F, B and the policies; `params` are those in the view of a learner, `view.inner.params`."""

    policy: Universal
    backward: networks.Network

    def init(self, key: Key) -> Tree:
        """The first parameters."""
        k_policy, k_backward = jax.random.split(key)
        return self.policy.init(k_policy) | {"backward": self.backward.init(k_backward)}

    def features(self, params: Tree, obs: Tree) -> Array:
        """B [..., d] of observations [..., *]."""
        return self.backward.step(params["backward"], (), obs)[0][0]


def model(spec: Spec, hp: Hyperparameters) -> Model:
    """The networks of FB, with which tasks are inferred and pursued after learning.

    With standardised observations their inputs are those of `jaxrl.normalise.standardise`.
    """
    layers, size = vars(hp.network), hp.task.size
    policy = universal(spec, size, hp.network, hp.noise)
    return Model(policy, networks.network(spec, (size,), (1.0,), **layers))


def forward_backward(
    spec: Spec, hp: Hyperparameters, *, optimiser: optax.GradientTransformation | None = None
) -> Agent:
    """FB for discrete actions or continuous ones in [-1, 1].

    The losses are `measure_loss` of both networks F, whose target is the lesser of two measures,
    `orthonormality_loss` of B, that of the policy if actions are continuous, and the penalty that
    `hp` names. They depend on no reward. It exploits by the policy of the environment's own reward,
    which is inferred from the rewards of the same steps, and explores by those of random tasks. Of
    any other reward it is

        params, made = view.inner.params, model(spec, hp)
        z = projected_task(made.features(params, obs), reward)
        actor = pursuing(made.policy, z)

    for observations [N, *] of the data's successors. `optimiser` takes the place of what `hp`
    describes. Raises an InputError if the hyperparameters do not fit each other or the actions.
    """
    check(spec, hp)
    seen = shown(spec, hp.normalise_observations)
    made = model(seen, hp)
    policy = made.policy

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_task, k_next, k_others = jax.random.split(key, 3)
        ahead = made.features(params, batch.final)  # [N, d]
        z = drawn_tasks(k_task, fixed(ahead), hp.task.goal_share)
        taken = policy.successors(params, batch.obs, batch.action, z)  # [N, E, d]
        measures = jnp.einsum("ied,jd->eij", taken, ahead)
        future = future_measures(made, target, batch, z, k_next)
        future = (hp.discount * batch.discount)[:, None] * future
        each = jax.vmap(measure_loss, (0, None, None))(measures, future, batch.weight)
        spread = orthonormality_loss(ahead, batch.weight)
        climbed = (batch.weight * policy.climb(params, batch.obs, z)).mean()
        total = each.sum() + hp.orthonormality * spread + climbed
        metrics = {"measure_loss": each.sum(), "orthonormality_loss": spread}
        metrics |= {"measure": measures.mean(), "policy_loss": climbed}
        if hp.penalty == "none":
            return total, metrics
        others = policy.others(params, batch.obs, batch.final, z, k_others)
        if hp.penalty == "values":
            more = value_excess(others, taken, z)
        else:
            more = measure_excess(others, taken, ahead)
        more = (batch.weight * more).mean()
        return total + hp.conservatism * more, metrics | {"penalty": more}

    update = descend(made.init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    features = lambda view, batch: made.features(view.params, batch.final)
    update = informed(update, features, hp.task, inverse=False)
    agent = Agent(exploring(policy, hp.task.size), pursuing(policy), update)
    return remembering(agent, spec, hp)


def future_measures(made: Model, target: Tree, batch: Transition, z: Array, key: Key) -> Array:
    """The lesser measure [N, N] of two, from the successors of steps to those of all steps."""
    policy = made.policy
    action = policy.follow(target, batch.final, z, key)
    following = policy.successors(target, batch.final, action, z)
    ahead = made.features(target, batch.final)
    return jnp.einsum("ied,jd->eij", following, ahead).min(0)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_known("penalty", hp.penalty, PENALTIES)
    require_buffer(hp)
