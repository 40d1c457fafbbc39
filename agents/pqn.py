"""Parallelised Q-network: Q(lambda) without replay or a target network (Gallici et al. 2024)."""

from typing import NamedTuple

import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.action_values import action_values, epsilon_actors
from jaxrl.errors import require_discrete
from jaxrl.fields import FRACTION, check_fields, number, record, static
from jaxrl.networks import Own
from jaxrl.settings import Collection, EpsilonGreedy, Layers, Optimisation, Passes
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import Learner, descend, in_passes, optimiser_for, prepared, require_passes


@record
class Hyperparameters:
    """The hyperparameters of PQN; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(
        optimiser="radam", learning_rate=1e-3, max_gradient_norm=10.0
    )
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    trace_decay: float = number(0.9, FRACTION)
    """Trace decay (lambda) of the returns."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    objective: values.Objective = values.Objective()
    """Statistic of the return that the agent maximises."""
    dueling: bool = static(False)
    """Use a dueling network, which sums a state value and advantages."""
    exploration: EpsilonGreedy = EpsilonGreedy()
    """How actions are explored at random."""
    collection: Collection = Collection(num_envs=32, rollout_length=32)
    """How experience is collected."""
    passes: Passes = Passes(epochs=2, minibatches=8)
    """How each rollout is learnt from."""
    network: Layers = Layers(layer_norm=True)
    """The network's layers."""


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    action: Array
    target: values.ReturnDistribution
    weight: Array


def pqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """PQN with a critic of any representation, greedy in any statistic of the return.

    `representation`, `statistic`, `network` and `optimiser` take the place of what `hp` describes;
    see `action_values` for the outputs of the network. The returns are Peng's: their traces
    are cut at episode boundaries only, and not where exploration took another action. The loss is
    weighted by `Transition.weight`. Raises an InputError if the hyperparameters do not fit each
    other, or actions are continuous.
    """
    check(spec, hp)
    family = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    layers = vars(hp.network)
    q = action_values(spec, family, statistic, **layers, dueling=hp.dueling, own=network)

    def returns(view: Learner, batch: Transition) -> Sample:
        theta = q.outputs(view.params, batch.final)
        following = values.greedy(family, theta, q.objective(batch.final))
        target = values.lambda_distributions(
            batch.reward, hp.discount * batch.discount, batch.last, following, hp.trace_decay,
            compress=lambda distribution: family.decode(family.project(distribution)),
        )  # fmt: skip
        return Sample(batch.obs, batch.action, target, batch.weight)

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        theta = values.take(q.outputs(params, batch.obs, key), batch.action)
        over = lambda x: (batch.weight * x).mean()
        error = over(family.loss(theta, batch.target))
        value, aim = values.mean(family.decode(theta)), values.mean(batch.target)
        metrics = {"loss": error, "value": over(value), "target_value": over(aim)}
        return error, metrics | {"td_error": over(jnp.abs(aim - value))}

    update = descend(q.init, loss, optimiser_for(hp, optimiser))
    update = prepared(in_passes(update, hp), returns)
    return Agent(*epsilon_actors(q, hp.exploration), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "pqn")
    check_fields(hp)
    require_passes(hp)
