"""Successor features of all tasks, of features that are learnt without rewards; HILP by default.

For features phi of successors, psi(s, a, z) is the discounted sum of phi under the policy that is
greedy for psi'z. A reward, known only afterwards, is approximated by phi'z, and the policy of that
z acts for it. Source: Borsa et al. (2019), "Universal successor features approximators",
https://arxiv.org/abs/1812.07626; with Hilbert features: Park, Kreiman and Levine (2024),
"Foundation policies with Hilbert representations", https://arxiv.org/abs/2402.15567.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require_known
from jaxrl.fields import FRACTION, NOT_NEGATIVE, check_fields, number, record, static
from jaxrl.goals.hindsight import remembered
from jaxrl.goals.intentions import intended
from jaxrl.logged import require_one_action
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import descend, optimiser_for, polyak, require_buffer
from jaxrl.zero_shot.features import Features, centred, features
from jaxrl.zero_shot.tasks import Tasks, drawn_tasks, goal_tasks, informed
from jaxrl.zero_shot.universal import (
    Universal,
    exploring,
    pursuing,
    task_value,
    universal,
    value_excess,
)

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of successor features; vmap can sweep those that are not static."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.98, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    task: Tasks = Tasks()
    """The tasks that are learnt."""
    features: str = static("hilbert")
    """The features that are paid: hilbert, as in HILP; laplacian; or random."""
    expectile: float = number(0.9, FRACTION)
    """Level of the expectile over steps of Hilbert features: 1 is the value of shortest paths."""
    penalty: str = static("none")
    """What is kept low for actions that are not in the data: none or values."""
    conservatism: float = number(1.0, NOT_NEGATIVE)
    """Weight of that penalty."""
    noise: float = number(0.2, FRACTION)
    """Standard deviation of the noise on continuous actions, and the probability of random discrete
    ones while exploring."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The layers of each network."""


class Model(NamedTuple):
    """psi, phi and the policies; `params` are those in the view of a learner."""

    policy: Universal
    basis: Features

    def init(self, key: Key) -> Tree:
        """The first parameters."""
        k_policy, k_basis = jax.random.split(key)
        return self.policy.init(k_policy) | {"features": self.basis.init(k_basis)}

    def features(self, params: Tree, obs: Tree) -> Array:
        """phi [..., d] of observations [..., *], as they are learnt: see `centred`."""
        return self.basis.apply(params["features"], obs)


def model(spec: Spec, hp: Hyperparameters) -> Model:
    """The networks of the agent, with which tasks are inferred and pursued after learning."""
    size, layers = hp.task.size, hp.network
    basis = features(hp.features, spec, size, layers, hp.discount, hp.expectile)
    return Model(universal(spec, size, layers, hp.noise), basis)


def successor_features(
    spec: Spec, hp: Hyperparameters, *, optimiser: optax.GradientTransformation | None = None
) -> Agent:
    """Universal successor features, for discrete actions or continuous ones in [-1, 1].

    The loss of two networks psi is, with the one of the lesser value in the target,

        |phi(s') + gamma d psi'(s', pi_z(s'), z) - psi(s, a, z)|^2 / 2 d,

    for features that are `centred` in each batch, beside that of the features, that of the policy
    if actions are continuous, and the penalty that `hp` names. None depends on a reward. It
    exploits by the policy of the environment's own reward, which is inferred from those of the same
    steps, and explores by those of random tasks. Of any other reward it is

        params, made = view.inner.params, model(spec, hp)
        z = regressed_task(centred(made.features(params, obs)), reward)
        actor = pursuing(made.policy, z)

    for observations [N, *] of the data's successors. Goals are drawn from the data set, or from the
    warm-up; steps that are taken later teach it nothing. `optimiser` takes the place of what `hp`
    describes. Raises an InputError if the hyperparameters do not fit each other or the actions.
    """
    check(spec, hp)
    made = model(spec, hp)
    policy = made.policy

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_goal, k_task, k_next, k_others = jax.random.split(key, 4)
        places, stored = batch.extras
        batch = batch._replace(extras=places)
        goals = intended(batch, stored, k_goal)
        based = made.basis.loss(params["features"], target["features"], batch, goals)
        paid = fixed(centred(made.features(params, batch.final), batch.weight))
        z = drawn_tasks(k_task, goal_tasks(paid), hp.task.goal_share)
        action = policy.follow(target, batch.final, z, k_next)
        after = policy.successors(target, batch.final, action, z)  # [N, E, d]
        least = (after @ z[..., None])[..., 0].argmin(-1)
        after = jnp.take_along_axis(after, least[:, None, None], 1)
        goal = paid[:, None] + (hp.discount * batch.discount)[:, None, None] * after
        taken = policy.successors(params, batch.obs, batch.action, z)
        each = jnp.square(fixed(goal) - taken).mean(-1).sum(-1) / 2
        each = each + policy.climb(params, batch.obs, z)
        metrics = {"successor_loss": each.mean(), "feature_loss": based}
        metrics |= {"value": task_value(taken, z).mean()}
        if hp.penalty == "values":
            others = policy.others(params, batch.obs, batch.final, z, k_others)
            more = value_excess(others, taken, z)
            each, metrics = each + hp.conservatism * more, metrics | {"penalty": more.mean()}
        return (batch.weight * each).mean() + based, metrics

    def seen(view: Tree, batch: Transition) -> Array:
        return centred(made.features(view.params, batch.final), batch.weight)

    update = descend(made.init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    update = informed(update, seen, hp.task, inverse=True)
    return Agent(exploring(policy, hp.task.size), pursuing(policy), remembered(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_known("penalty", hp.penalty, ("none", "values"))
    model(spec, hp)  # raises for unknown features
    require_buffer(hp)
