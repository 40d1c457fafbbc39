"""R2D2, recurrent Q-learning from stored memories, on one machine (Kapturowski et al. 2019).

Sequences are replayed from the memory stored when they were collected, after burn-in steps that
only bring it up to date. Instead of the paper's rescaling of values, give the critic warped atoms:
`family="two-hot", spacing="symlog"`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax

from jaxrl import networks, values
from jaxrl.action_values import annealed, value_heads
from jaxrl.errors import require, require_discrete
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.networks import reread
from jaxrl.policies import allowed, epsilon_greedy, only_allowed
from jaxrl.settings import Collection, EpsilonGreedy, Optimisation, Priorities, Recurrent, Replay
from jaxrl.types import Actor, Agent, Array, Discrete, Key, Spec, Transition, Tree, Update
from jaxrl.updates import (
    Learner,
    descend,
    every,
    optimiser_for,
    polyak,
    replayed_by_priority,
    require_buffer,
)

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of R2D2; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=1e-3, max_gradient_norm=10.0)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    priority_peak: float = number(0.9, FRACTION)
    """Share of the largest error in a sequence's priority; the rest is the mean error."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    objective: values.Objective = values.Objective()
    """Statistic of the return that the agent maximises."""
    target_period: int = static(1, POSITIVE)
    """Gradient steps between two updates of the target network."""
    burn_in: int = static(4, NOT_NEGATIVE)
    """Steps at the start of a sequence that only refresh its memory; 0 uses the stored memory."""
    sequence_length: int = static(16, POSITIVE)
    """Steps of a sequence after the burn-in, which the loss is on."""
    n_step: int = static(3, POSITIVE)
    """Number of rewards in an n-step return before it bootstraps."""
    dueling: bool = static(True)
    """Use a dueling network, which sums a state value and advantages."""
    exploration: EpsilonGreedy = EpsilonGreedy(epsilon_updates=2_000.0)
    """How actions are explored at random."""
    collection: Collection = Collection(num_envs=16, rollout_length=8, warmup=1_024)
    """How experience is collected."""
    replay: Replay = Replay(updates=4, batch_size=32, buffer_size=65_536)
    """How stored experience is learnt from."""
    priorities: Priorities = Priorities()
    """How replay prefers large errors, if it is prioritised."""
    network: Recurrent = Recurrent(memory="lstm")
    """The network's layers."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """Replay sequences by priority; their first steps are the burn-in."""
    return replayed_by_priority(update, hp, hp.burn_in + hp.sequence_length)


def r2d2(
    spec: Spec,
    hp: Hyperparameters,
    schedule: Callable[[Update, Hyperparameters], Update] = remember,
    *,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
    network: networks.Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """R2D2 with a critic of any representation but implicit, greedy in any statistic.

    `schedule` decides from which sequences it learns. `representation`, `statistic`, `network` and
    `optimiser` take the place of what `hp` describes; see `value_heads` for the outputs of the
    network. Raises an InputError if the hyperparameters do not fit each other, or actions are
    continuous.
    """
    check(spec, hp)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    family = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    values.require_explicit(family, "r2d2")
    if statistic is not values.mean:
        values.require_distribution(family, "A statistic")
    sizes, theta = value_heads(spec.action.num, family.size, hp.dueling)
    net = networks.network(spec, sizes, (1.0,) * len(sizes), **vars(hp.network), own=network)

    def masked(obs: Tree) -> values.Statistic:
        """The statistic of each action [..., A], below all others where it is forbidden."""
        return lambda future: only_allowed(statistic(future), allowed(spec, obs))

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        late, (now, judge) = reread(net, params, batch, hp.burn_in)
        _, (_, following) = reread(net, target, batch, hp.burn_in)
        now, judge, following = theta(now), theta(judge), theta(following)
        future = values.greedy(family, following, masked(late.final), judge)
        discount = hp.discount * late.discount
        targets = fixed(
            values.n_step_distributions(late.reward, discount, late.last, future, hp.n_step)
        )
        taken = values.take(now, late.action)
        error = family.loss(taken, targets)
        value = values.mean(family.decode(taken))
        target_value = values.mean(targets)
        td_error = jnp.abs(target_value - value)
        peak, mean = td_error.max(0), td_error.mean(0)
        priority = hp.priority_peak * peak + (1 - hp.priority_peak) * mean
        metrics = {"loss": error.mean(), "value": value.mean(), "target_value": target_value.mean()}
        metrics |= {"td_error": td_error.mean(), "priority": priority}
        return (late.weight * error).mean(), metrics

    def act(choose, view: Learner, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        heads, after = net.step(view.params, memory, obs)
        scores = masked(obs)(family.decode(theta(heads)))
        return choose(view, obs, scores, key), after, memory

    def explore(view: Learner, obs: Tree, scores: Array, key: Key) -> Array:
        epsilon = annealed(hp.exploration, view.step)
        return epsilon_greedy(scores, epsilon, allowed(spec, obs)).sample(seed=key)

    follow = every(hp.target_period, polyak(hp.target_rate))
    update = descend(net.init, loss, optimiser_for(hp, optimiser), follow)
    exploit = partial(act, lambda view, obs, scores, key: scores.argmax(-1))
    actors = Actor(net.memory, partial(act, explore)), Actor(net.memory, exploit)
    return Agent(*actors, schedule(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "r2d2")
    check_fields(hp)
    require(
        hp.n_step <= hp.sequence_length,
        f"n_step {hp.n_step} must be at most sequence_length {hp.sequence_length}.",
    )
    require_buffer(hp, hp.burn_in + hp.sequence_length)
