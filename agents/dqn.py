"""Deep Q-learning on any return representation (Mnih et al. 2015).

Options are arguments or transforms: double (van Hasselt et al. 2016), dueling (Wang et al. 2016),
n-step and prioritised replay (Schaul et al. 2016). C51, QR-DQN, IQN and others are DQN with other
defaults: see `agents.AGENTS`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.action_values import ActionValues, action_values, epsilon_actors
from jaxrl.errors import require, require_discrete
from jaxrl.fields import FRACTION, POSITIVE, check_fields, number, record, static
from jaxrl.networks import Own
from jaxrl.normalise import replaying, shown
from jaxrl.policies import only_allowed
from jaxrl.settings import Collection, EpsilonGreedy, Layers, Optimisation, Priorities, Replay
from jaxrl.stock import stock_of
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import (
    descend,
    every,
    n_step,
    optimiser_for,
    polyak,
    replayed,
    replayed_by_priority,
    require_buffer,
)


@record
class Hyperparameters:
    """The hyperparameters of DQN; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=2.5e-4, max_gradient_norm=10.0)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(1.0, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    objective: values.Objective = values.Objective()
    """Statistic of the return that the agent maximises."""
    target_period: int = static(250, POSITIVE)
    """Gradient steps between two updates of the target network."""
    n_step: int = static(1, POSITIVE)
    """Number of rewards in an n-step return before it bootstraps."""
    double: bool = static(True)
    """Use double Q-learning: the online network chooses actions, the target network values them."""
    dueling: bool = static(False)
    """Use a dueling network, which sums a state value and advantages."""
    prioritised: bool = static(False)
    """Sample transitions in proportion to their temporal-difference errors."""
    normalise_observations: bool = static(False)
    """Standardise observations with running statistics of what was collected."""
    exploration: EpsilonGreedy = EpsilonGreedy(epsilon_updates=10_000.0)
    """How actions are explored at random."""
    collection: Collection = Collection(num_envs=4, warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(updates=2, batch_size=64, buffer_size=20_000)
    """How stored experience is learnt from."""
    priorities: Priorities = Priorities()
    """How replay prefers large errors, if it is prioritised."""
    network: Layers = Layers()
    """The network's layers."""


def bootstrap(
    q: ActionValues, params: Tree, target: Tree, batch: Transition, hp: Hyperparameters, key: Key
) -> values.ReturnDistribution:
    """The target of (double) DQN: the distribution [..., N] of reward + discount * future."""
    judge = q.outputs(params, batch.final) if hp.double else None
    theta = q.outputs(target, batch.final, key)
    future = values.greedy(q.representation, theta, q.objective(batch.final), judge)
    return values.push(future, batch.reward, hp.discount * batch.discount)


Targets = Callable[..., values.ReturnDistribution]
"""The target of the critic, with the arguments of `bootstrap`."""


Penalty = Callable[[Array, Array], Array]
"""(values of all actions [B, A], actions taken [B]) -> a term of the loss [B]."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """Replay uniformly or by priority, with n-step returns, as the hyperparameters say."""
    stored = replayed_by_priority if hp.prioritised else replayed
    return stored(n_step(update, hp.discount), hp, hp.n_step)


def dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
    targets: Targets = bootstrap,
    schedule: Callable[[Update, Hyperparameters], Update] = remember,
    *,
    penalty: Penalty | None = None,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """DQN with a critic of any representation, greedy in any statistic of the return.

    `representation`, `statistic`, `network` and `optimiser` take the place of what `hp` describes;
    see `action_values` for the outputs of the network. `targets` computes what the critic regresses
    on, `schedule` decides when and on which batches it learns, and a `penalty` of the means of the
    allowed actions' returns is added to the loss. Raises an InputError if the hyperparameters do
    not fit each other, or actions are continuous.
    """
    check(spec, hp)
    representation = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    seen, layers = shown(spec, hp.normalise_observations), vars(hp.network)
    q = action_values(seen, representation, statistic, **layers, dueling=hp.dueling, own=network)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_target, k_now = jax.random.split(key)
        aim = jax.lax.stop_gradient(targets(q, params, target, batch, hp, k_target))
        each = q.outputs(params, batch.obs, k_now)
        theta = values.take(each, batch.action)
        error = representation.loss(theta, aim)
        if penalty is not None:
            means = values.mean(representation.decode(each))
            error = error + penalty(only_allowed(means, q.allowed(batch.obs)), batch.action)
        value, target_value = values.mean(representation.decode(theta)), values.mean(aim)
        td_error = jnp.abs(target_value - value)
        metrics = {"loss": error.mean(), "value": value.mean(), "target_value": target_value.mean()}
        metrics |= {"td_error": td_error.mean(), "priority": td_error}
        return (batch.weight * error).mean(), metrics

    follow = every(hp.target_period, polyak(hp.target_rate))
    update = descend(q.init, loss, optimiser_for(hp, optimiser), follow)
    agent = Agent(*epsilon_actors(q, hp.exploration), update)
    return replaying(agent, spec, lambda inner: schedule(inner, hp), hp.normalise_observations)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "dqn")
    check_fields(hp)
    require_buffer(hp, hp.n_step)
    require(
        not hp.normalise_observations or stock_of(spec.observation) is None,
        "normalise_observations hides the stock: leave it off for observations that have one.",
    )
