"""Implicit Q-learning: values of the best actions in the data, and a policy that imitates these.

No action is ever valued that is not in the data: a state value regresses on an expectile of the
critics over the actions that were taken, the critics regress on it, and the policy clones actions
with weights that grow with their advantage. Source: Kostrikov et al. (2022), "Offline reinforcement
learning with implicit Q-learning", https://arxiv.org/abs/2110.06169.

RIQL of Yang et al. (2024), "Towards robust offline RL under diverse data corruption",
https://arxiv.org/abs/2310.12955, is the same with a Huber loss, a quantile over five critics and
standardised observations: see `agents.AGENTS`. It does not clip targets as the authors' code does.
XQL of Garg et al. (2023), https://arxiv.org/abs/2301.02328, and SQL of Xu et al. (2023),
https://arxiv.org/abs/2303.15810, are the same with other weights of the state's value.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.cloning import Imitator, exponential_weight, imitator, policy_network
from jaxrl.errors import require_known
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.logged import require_one_action
from jaxrl.networks import Own
from jaxrl.normalise import Schedule, remembering, shown
from jaxrl.pair_values import pair_values
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.state_values import expectile_weight, gumbel_weight, sparse_weight, state_values
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import descend, optimiser_for, polyak, require_buffer, separate

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of IQL; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="cosine", decay=1.0)
    """How parameters descend the gradient; the learning rate falls for the policy alone."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target critics move towards the critics; 1 copies them."""
    expectile: float = number(0.7, FRACTION)
    """Level of the expectile over actions: 0.5 is the behaviour's value, 1 that of the best."""
    value: str = static("expectile")
    """Value of a state: expectile; gumbel, the log-mean-exponential of XQL; or sparse, that of SQL,
    by which actions are then cloned too."""
    temperature: float = number(1.0, POSITIVE)
    """Temperature of gumbel and sparse values: 0 is the value of the best, infinity the mean."""
    inverse_temperature: float = number(3.0, NOT_NEGATIVE)
    """Factor of advantages in the exponent of the weights of cloned actions."""
    largest_weight: float = number(100.0, POSITIVE)
    """Largest weight of a cloned action."""
    huber_width: float = static(0.0, NOT_NEGATIVE)
    """Error of a critic's mean above which its loss is no longer squared, but linear; 0 leaves the
    loss to the representation."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic, and in the state value."""
    ensemble: values.Ensemble = values.Ensemble()
    """Number of critics, and the reduction of their predictions to one."""
    policy: str = static("gaussian")
    """Policy of continuous actions: gaussian, with a mean in bounds and deviations that do not
    depend on the observation, or squashed, which is that of SAC."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


VALUES: dict[str, Callable[[Array, Hyperparameters], Array]] = {
    "expectile": lambda advantage, hp: expectile_weight(advantage, hp.expectile),
    "gumbel": lambda advantage, hp: gumbel_weight(advantage, hp.temperature),
    "sparse": lambda advantage, hp: sparse_weight(advantage, hp.temperature),
}


def iql(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    policy: Imitator | None = None,
    network: Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
    schedule: Schedule | None = None,
) -> Agent:
    """IQL for discrete actions or continuous ones in [-1, 1], with critics of any representation.

    For the target critics' Q, the losses of V, of the critics and of the policy are

        |level - 1{Q < V}| (Q(s, a) - V(s))^2,  (r + discount V(s') - Q(s, a))^2,
        -min(exp(beta (Q - V)), largest) log pi(a | s).

    Gumbel and sparse values have other weights in the first loss, see `jaxrl.state_values`, and
    with sparse ones actions are cloned by the weights min(max(1 + (Q - V) / (2 temperature), 0),
    largest). With a `huber_width` the second loss is that of Huber. All three take one gradient
    step at once. `representation`, `policy`, whose loss is then that of an `Imitator`, `network`,
    which is the policy's, `critic_encoder`, see `jaxrl.networks.critic_ensemble`, `optimiser` and
    `schedule`, by which it replays, take the place of what `hp` describes. Raises an InputError if
    the hyperparameters do not fit each other or the actions.
    """
    own = partial(learner, network=network, critic_encoder=critic_encoder, optimiser=optimiser)
    seen = shown(spec, hp.normalise_observations)
    agent = own(seen, hp, representation, policy=policy)
    return remembering(agent, spec, hp, schedule=schedule)


def learner(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    policy: Imitator | None = None,
    network: Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """IQL without a replay buffer: it learns from the batches [B, ...] that it is given.

    The arguments are those of `iql`.
    """
    check(spec, hp)
    layers = hp.network
    representation = values.critic(hp.critic) if representation is None else representation
    judge = values.huber_means(representation, hp.huber_width) if hp.huber_width else representation
    reduced = partial(values.ensemble_critic, judge, hp.ensemble)
    reduced()  # raises
    if policy is None:
        policy = imitator(policy_network(spec, hp.policy, layers, network))
    critics = pair_values(spec, representation, hp.ensemble.members, layers, critic_encoder)
    v = state_values(spec, representation, **vars(layers))

    def init(key: Key) -> Tree:
        k_actor, k_critics, k_value = jax.random.split(key, 3)
        first = {"actor": policy.init(k_actor), "critics": critics.init(k_critics)}
        return first | {"value": v.init(k_value)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_subset, k_policy = jax.random.split(key)
        ensemble = reduced(k_subset)
        # V: a high mean of what the target critics say of the actions in the data.
        taken = critics.outputs(target["critics"], batch.obs, batch.action)
        worth = fixed(ensemble.decode(taken))
        theta = v.outputs(params["value"], batch.obs)
        value = values.mean(representation.decode(theta))
        advantage = fixed(values.mean(worth) - value)
        value_error = representation.loss(theta, worth)
        value_error = VALUES[hp.value](advantage, hp) * value_error
        # Critics: the expectation of V at the successors.
        future = v.distribution(params["value"], batch.final)
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = ensemble.loss(critics.outputs(params["critics"], batch.obs, batch.action), targets)
        # Policy: the actions of a large advantage.
        if hp.value == "sparse":
            grown = jnp.maximum(1 + advantage / (2 * hp.temperature), 0.0)
            weight = jnp.minimum(grown, hp.largest_weight)
        else:
            weight = exponential_weight(advantage, hp.inverse_temperature, hp.largest_weight)
        cloned = policy.loss(params["actor"], batch, weight, k_policy)
        total = (batch.weight * (value_error + error + cloned)).mean()
        metrics = {"critic_loss": error.mean(), "value_loss": value_error.mean()}
        metrics |= {"policy_loss": cloned.mean(), "value": value.mean()}
        return total, metrics | {"advantage": advantage.mean(), "clone_weight": weight.mean()}

    rule = falling_actor(hp) if optimiser is None else optimiser
    update = descend(init, loss, rule, polyak(hp.target_rate))
    return Agent(policy.explore, policy.exploit, update)


def falling_actor(hp: Hyperparameters) -> optax.GradientTransformation:
    """The optimiser of `hp`, whose learning rate falls for the entry `actor` of the parameters."""
    steady = replace(hp.optimisation, schedule="constant", decay=0.0, decay_steps=0.0)
    return separate(optimiser_for(replace(hp, optimisation=steady)), actor=optimiser_for(hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_known("value", hp.value, VALUES)
    require_buffer(hp)
