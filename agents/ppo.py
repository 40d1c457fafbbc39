"""Proximal policy optimisation (Schulman et al. 2017), feed-forward or recurrent."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import optax

from jaxrl import networks, values
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.normalise import normalise_observations, normalise_rewards, shown
from jaxrl.policies import allowed, policy_family
from jaxrl.returns import gae
from jaxrl.settings import Collection, Optimisation, Passes, Recurrent
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import (
    Learner,
    descend,
    explained_variance,
    in_passes,
    optimiser_for,
    prepared,
    require_passes,
)
from jaxrl.updates.gradient import Loss
from jaxrl.updates.onpolicy import check_sequences, standardised


@record
class Hyperparameters:
    """The hyperparameters of PPO; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=1e-3, max_gradient_norm=0.5, eps=1e-5)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    gae_lambda: float = number(0.95, FRACTION)
    """Trace decay (lambda) of generalised advantage estimation."""
    clip: float = number(0.2, POSITIVE)
    """Distance from 1 at which the policy's probability ratio is clipped."""
    entropy_coefficient: float = number(0.01, NOT_NEGATIVE)
    """Coefficient of the entropy bonus in the loss."""
    value_coefficient: float = number(0.5, NOT_NEGATIVE)
    """Coefficient of the critic's loss."""
    critic: values.Critic = values.Critic(low=-10.0, high=10.0)
    """Critic's representation of the return; its range is that of normalised rewards."""
    sequence_length: int = static(1, POSITIVE)
    """Steps of backpropagation through time; more than 1 if there is a memory."""
    actor_sees: tuple[int, ...] = static(())
    """Indices of the features of the observation that the actor sees; none means all of them. The
    critic sees them all."""
    normalise_observations: bool = static(False)
    """Standardise observations with running statistics."""
    normalise_rewards: bool = static(True)
    """Divide rewards by the running standard deviation of the discounted return."""
    collection: Collection = Collection(num_envs=16, rollout_length=128)
    """How experience is collected."""
    passes: Passes = Passes(epochs=4, minibatches=4)
    """How each rollout is learnt from."""
    network: Recurrent = Recurrent(activation="tanh")
    """The network's layers."""


class Extras(NamedTuple):
    """What the actor reports of each step."""

    log_prob: Array
    value: Array
    memory: Tree  # before the step


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    action: Array
    last: Array
    memory: Tree
    log_prob: Array
    advantage: Array
    target: Array
    weight: Array


class Parts(NamedTuple):
    """What PPO is made of, for what learns by its loss from other samples."""

    init: Callable[[Key], Tree]
    loss: Loss  # (params, target, samples [L, B, ...], key) -> (loss [], metrics)
    prepare: Callable[[Learner, Transition], Sample]  # (view, rollout [T, B, ...]) -> samples
    policy: Callable[[Tree, Tree], distrax.Distribution]  # (params, obs), without a memory
    explore: Actor
    exploit: Actor


Auxiliary = Callable[[Callable[[Tree, Tree], distrax.Distribution], Tree, Key], Array]
"""((params, obs [B, *]) -> policy, params, key) -> a term of the loss []."""


def ppo(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    actor_sees: networks.See | None = None,
    network: networks.Own = None,
    optimiser: optax.GradientTransformation | None = None,
    auxiliary: Auxiliary | None = None,
) -> Agent:
    """PPO for discrete or continuous actions, with a critic of any representation but implicit.

    Every mean over transitions is weighted by `Transition.weight`. `representation`, `actor_sees`,
    `network` and `optimiser` take the place of what `hp` describes; the network has two outputs,
    for the policy and the critic. An `auxiliary` term, such as `jaxrl.cloning.demonstrated`, is
    added to the loss of each minibatch. If the actor sees only a part of the observation, such as
    `actor_sees=lambda obs: obs["camera"]`, the critic has a network of its own. Raises an
    InputError if the hyperparameters do not fit each other or the spec.
    """
    check(spec, hp)
    require(
        auxiliary is None or (hp.network.memory == "none" and not hp.normalise_observations),
        "An auxiliary loss is of single observations as they are: leave memory at none and "
        "normalise_observations off.",
    )
    seen = shown(spec, hp.normalise_observations)
    own = parts(seen, hp, representation, actor_sees, network, auxiliary)

    def fit(batch: Transition, sample: Sample) -> dict:
        explained = explained_variance(batch.extras.value, sample.target, batch.weight)
        return {"explained_variance": explained}

    update = descend(own.init, own.loss, optimiser_for(hp, optimiser))
    update = in_passes(update, hp, hp.sequence_length)
    agent = Agent(own.explore, own.exploit, prepared(update, own.prepare, fit))
    agent = normalise_observations(agent, spec) if hp.normalise_observations else agent
    return normalise_rewards(agent, hp.discount) if hp.normalise_rewards else agent


def parts(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    actor_sees: networks.See | None = None,
    network: networks.Own = None,
    auxiliary: Auxiliary | None = None,
) -> Parts:
    """The networks, the loss and the actors of PPO for what it sees; the arguments are its own."""
    representation = values.critic(hp.critic) if representation is None else representation
    values.require_explicit(representation, "ppo")
    family = policy_family(spec.action)
    sizes, scales = (family.size, representation.size), (0.01, 1.0)
    make = partial(networks.network, **vars(hp.network), own=network)
    see = hp.actor_sees if actor_sees is None else actor_sees
    if callable(see) or see:
        require(network is None, "actor_sees and a network of your own exclude each other.")
        actor = networks.partly(see, spec, lambda part: make(part, sizes[:1], scales[:1]))
        net = networks.paired(actor, make(spec, sizes[1:], scales[1:]))
    else:
        net = make(spec, sizes, scales)
    v = lambda theta: values.mean(representation.decode(theta))

    def pi(params: Tree, outputs: Array, obs: Tree) -> distrax.Distribution:
        return family.distribution(outputs, params["free"], allowed(spec, obs))

    def alone(params: Tree, obs: Tree) -> distrax.Distribution:
        outputs = net.step(params["network"], (), obs)[0][0]
        return pi(params, outputs, obs)

    def init(key: Key) -> Tree:
        return {"network": net.init(key), "free": family.free}

    def act(choose, view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Extras]:
        (outputs, theta), after = net.step(view.params["network"], memory, obs)
        action, log_prob = choose(pi(view.params, outputs, obs), key)
        return action, after, Extras(log_prob, v(theta), memory)

    def advantages(view: Tree, batch: Transition) -> Sample:
        params, (log_prob, value, memory) = view.params["network"], batch.extras
        _, after = net.step(params, memory, batch.obs)
        (_, theta), _ = net.step(params, after, batch.final)
        discount = hp.discount * batch.discount
        advantage = gae(batch.reward, discount, batch.last, value, v(theta), hp.gae_lambda)
        normal, target = standardised(advantage, batch.weight), advantage + value
        return Sample(
            batch.obs, batch.action, batch.last, memory, log_prob, normal, target, batch.weight
        )

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        over = lambda x: (batch.weight * x).mean()
        memory = jax.tree.map(lambda x: x[0], batch.memory)
        (outputs, theta), _ = net.unroll(params["network"], memory, batch.obs, batch.last)
        policy = pi(params, outputs, batch.obs)
        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        ratio = jnp.exp(log_ratio)
        near = jnp.clip(ratio, 1 - hp.clip, 1 + hp.clip)
        surrogate = over(jnp.minimum(ratio * batch.advantage, near * batch.advantage))
        error = over(representation.loss(theta, values.dirac(batch.target)))
        entropy = over(policy.entropy())
        total = hp.value_coefficient * error - surrogate - hp.entropy_coefficient * entropy
        if auxiliary is not None:
            total = total + auxiliary(alone, params, key)
        return total, {
            "policy_loss": -surrogate,
            "value_loss": error,
            "entropy": entropy,
            # Schulman's estimate of KL(old, new): its terms are never negative.
            "approximate_kl": over(ratio - 1 - log_ratio),
            "clip_fraction": over(jnp.abs(ratio - 1) > hp.clip),
        }

    explore = partial(act, lambda policy, key: policy.sample_and_log_prob(seed=key))
    exploit = partial(act, lambda policy, key: (policy.mode(), jnp.zeros(())))
    actors = (Actor(net.memory, act) for act in (explore, exploit))
    return Parts(init, loss, advantages, alone, *actors)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    check_fields(hp)
    require_passes(hp, hp.sequence_length)
    if hp.network.memory != "none":
        own = hp.collection
        steps, lanes = own.rollout_length, own.num_envs
        check_sequences(steps, lanes, hp.passes.minibatches, hp.sequence_length)
