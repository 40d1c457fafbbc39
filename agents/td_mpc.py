"""Planning in a latent model without a decoder, with a value at the end of the plan (TD-MPC2).

States only have to predict the next state, rewards, ends and values. A policy proposes a plan,
which the planner improves, and a critic gives the value of where a plan ends. Source: Hansen, Su
and Wang (2024), "TD-MPC2: scalable, robust world models for continuous control".

It differs from the paper in size; in a plan that starts from the better of the last one and the
policy's, where the paper draws candidates from both; in gradients that are halved along the model's
steps besides the weights that fall with them; in ranges of values that are those of the batch; and
in learning terminations.
"""

from dataclasses import replace
from functools import partial
from typing import cast

import distrax
import jax
import jax.numpy as jnp

from jaxrl import planning, values
from jaxrl.errors import require, require_continuous
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.models.abstract import abstract, abstract_model, discount_loss, simplicial, unrolled
from jaxrl.models.model import Model, reached
from jaxrl.networks import critic_ensemble, network
from jaxrl.policies import tanh_family
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.sharding import gathered
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import descend, optimiser_for, polyak, replayed, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of TD-MPC; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(
        learning_rate=1e-3, schedule="constant", max_gradient_norm=20.0
    )
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target critics move towards the critics; 1 copies them."""
    temporal_decay: float = number(0.5, FRACTION)
    """Factor by which the weight of the losses falls with each step of the model."""
    consistency_coefficient: float = number(20.0, NOT_NEGATIVE)
    """Coefficient of the squared error of predicted states."""
    reward_coefficient: float = number(1.0, NOT_NEGATIVE)
    """Coefficient of the loss of rewards and ends."""
    value_coefficient: float = number(1.0, NOT_NEGATIVE)
    """Coefficient of the critics' loss."""
    entropy_coefficient: float = number(1e-2, NOT_NEGATIVE)
    """Coefficient of the policy's entropy bonus, relative to the range of values."""
    exploration_noise: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of the noise that is added to actions in training."""
    temperature: float = number(0.5, POSITIVE)
    """Temperature of the planner (MPPI), in standard deviations of the return."""
    plan_deviation: float = number(0.5, POSITIVE)
    """Standard deviation of candidate plans around the one that is improved."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic, and of rewards."""
    ensemble: values.Ensemble = values.Ensemble(members=2)
    """Number of critics, and the reduction of their predictions to a target."""
    horizon: int = static(3, POSITIVE)
    """Steps of a plan."""
    candidates: int = static(64, POSITIVE)
    """Candidate plans in a round."""
    rounds: int = static(3, POSITIVE)
    """Rounds of improvement of a plan."""
    state_size: int = static(64, POSITIVE)
    """Size of the model's state, a multiple of 8."""
    sequence_length: int = static(4, POSITIVE)
    """Steps for which the model is unrolled in training."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(batch_size=64)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(128,), activation="elu")
    """The network's layers."""


def td_mpc(spec: Spec, hp: Hyperparameters) -> Agent:
    """Learn a latent model, values and a policy from sequences, and act by planning.

    Raises an InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    box = require_continuous(spec, "td-mpc")
    family, representation, layers = tanh_family(box), values.critic(hp.critic), hp.network
    world = abstract(
        spec, representation, hp.state_size, layers.hidden, layers.activation, layers.encoder,
        scaled=simplicial,
    )  # fmt: skip
    state = jax.ShapeDtypeStruct((hp.state_size,), jnp.float32)
    inner = spec._replace(observation=state, mask=None)
    dense = replace(layers, encoder="auto")
    actor = network(inner, (family.size,), (0.01,), **vars(dense))
    critics = critic_ensemble(inner, representation.size, hp.ensemble.members, dense)
    ensemble = partial(values.ensemble_critic, representation)
    ensemble(hp.ensemble)  # raises
    average = values.ensemble(representation, hp.ensemble.members, values.average)

    def init(key: Key) -> Tree:
        k_world, k_actor, k_critics = jax.random.split(key, 3)
        return {
            "world": world.init(k_world),
            "actor": actor.init(k_actor),
            "critics": critics.init(k_critics),
        }

    def pi(params: Tree, state: Array) -> distrax.Distribution:
        return family.distribution(actor.step(params["actor"], (), state)[0][0], ())

    def score(params: Tree, state: Array, action: Array) -> Array:
        return values.mean(average.decode(critics.apply(params["critics"], state, action)))

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_next, k_subset, k_actor = jax.random.split(key, 3)
        first = jax.tree.map(lambda x: x[0], batch.obs)
        state, step = unrolled(world, params["world"], first, batch.action)
        rate = hp.temporal_decay ** jnp.arange(batch.reward.shape[0])[:, None]
        # Steps after the end of an episode have no targets.
        weight = batch.weight * reached(jnp.ones_like(batch.reward), batch.last) * rate
        over = lambda x: (weight * x).mean() / rate.mean()
        following = fixed(world.encode(params["world"], batch.final))
        consistency = over(jnp.square(step.state - following).sum(-1))
        paid = over(representation.loss(step.reward, values.dirac(batch.reward)))
        ends = over(discount_loss(spec, step.survival, batch.discount))
        reduced = ensemble(hp.ensemble, k_subset)
        action = pi(fixed(params), following).sample(seed=k_next)
        future = reduced.decode(critics.apply(target["critics"], following, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        outputs = critics.apply(params["critics"], state, batch.action)
        error = over(reduced.loss(outputs, targets))
        # No gradient of the policy's loss reaches the model or the critics.
        now, seen = pi(params, fixed(state)), fixed(state)
        own, log_prob = cast(tuple, now.sample_and_log_prob(seed=k_actor))
        scores = score(fixed(params), seen, own)
        low, high = values.sample_quantiles(gathered(fixed(scores)), jnp.array([0.05, 0.95]))
        gain = scores / jnp.maximum(high - low, 1.0) - hp.entropy_coefficient * log_prob
        policy = -over(gain)
        total = hp.consistency_coefficient * consistency + hp.reward_coefficient * (paid + ends)
        metrics = {"consistency_loss": consistency, "reward_loss": paid, "end_loss": ends}
        metrics |= {"critic_loss": error, "policy_loss": policy, "entropy": -log_prob.mean()}
        return total + hp.value_coefficient * error + policy, metrics

    def model(view: Tree) -> Model:
        known = abstract_model(world, view.params["world"], representation, spec)
        return known._replace(enter=lambda state, key: state)  # entered at the model's own states

    def propose(view: Tree, state: Array) -> Array:
        """The plan [B, H, *] of the policy's most likely actions."""

        def onward(state: Array, _: None) -> tuple[Array, Array]:
            action = pi(view.params, state).mode()
            return world.step(view.params["world"], state, action).state, action

        return jnp.moveaxis(jax.lax.scan(onward, state, None, hp.horizon)[1], 0, 1)

    def value(view: Tree, state: Array) -> Array:
        return score(view.params, state, pi(view.params, state).mode())

    improve = planning.path_integral(hp.candidates, hp.temperature, hp.rounds)
    plans = partial(
        planning.planner, model, inner, improve, hp.horizon, hp.discount, hp.plan_deviation,
        value=value, propose=propose,
    )  # fmt: skip

    def seeing(plan: Actor) -> Actor:
        """Plan from the model's state of an observation."""
        encoded = lambda view, obs: world.encode(view.params["world"], obs)
        act = lambda view, memory, obs, key: plan.step(view, memory, encoded(view, obs), key)
        return Actor(plan.init, act)

    update = descend(init, loss, optimiser_for(hp), polyak(hp.target_rate))
    update = replayed(update, hp, hp.sequence_length)
    return Agent(seeing(plans(noise=hp.exploration_noise)), seeing(plans()), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "td-mpc")
    values.require_explicit(values.critic(hp.critic), "td-mpc")
    check_fields(hp)
    require(hp.state_size % 8 == 0, f"state_size must be a multiple of 8, not {hp.state_size}.")
    require_buffer(hp, hp.sequence_length)
