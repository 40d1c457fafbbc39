"""Flow Q-learning: a policy of one step that imitates a flow and climbs the critics.

The flow clones the data and is never differentiated through. Source: Park et al. (2025), "Flow
Q-learning", https://arxiv.org/abs/2502.02538.
"""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents.offline.td3_bc import normalised
from jaxrl import values
from jaxrl.cloning import within
from jaxrl.errors import require_continuous
from jaxrl.fields import FRACTION, NOT_NEGATIVE, check_fields, number, record, static
from jaxrl.generators import Generation, denoiser, generated_policy
from jaxrl.networks import Own, critic_ensemble
from jaxrl.normalise import remembering, shown
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import Learner, descend, optimiser_for, polyak, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of FQL; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target critics move towards the critics; 1 copies them."""
    distillation: float = number(10.0, NOT_NEGATIVE)
    """Weight of the distance to the flow's action in the loss of the policy, beside the value."""
    normalise_value: bool = static(False)
    """Divide the value in the loss of the policy by its mean size."""
    generation: Generation = Generation(process="flow", denoising_steps=10)
    """How actions are made of noise, by the policy that is distilled."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble(reduction="average")
    """Number of critics, and the reduction of their predictions to a target."""
    critic_layer_norm: bool = static(True)
    """Use layer normalisation in the critics, whether or not the actors have it."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(512, 512, 512, 512), activation="gelu")
    """The network's layers."""


def fql(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """FQL for continuous actions in [-1, 1], with critics of any representation.

    For the flow f(s, z), the policy of one step mu(s, z) and noise z, the policy's loss is

        weight |mu(s, z) - f(s, z)|^2 / d - mean Q(s, clip mu(s, z)),

    the critics' targets are r + discount Q'(s', clip mu(s', z')), and the flow clones the data.
    Each has parameters of its own, and all take one gradient step at once. `representation`,
    `network`, which is the flow's, see `jaxrl.generators.denoiser`, and `optimiser` take the place
    of what `hp` describes. Raises an InputError if the hyperparameters do not fit each other, or
    actions are discrete.
    """
    shape = require_continuous(spec, "fql").shape
    check_fields(hp)
    require_buffer(hp)
    seen, layers = shown(spec, hp.normalise_observations), hp.network
    representation = values.critic(hp.critic) if representation is None else representation
    reduced = partial(values.ensemble_critic, representation, hp.ensemble)
    judged = values.ensemble_critic(representation, replace(hp.ensemble, reduction="average"))
    reduced()  # raises
    flow = generated_policy(seen, hp.generation, layers, network)
    one_step = denoiser(shape, seen.observation, layers)
    normal = replace(layers, layer_norm=hp.critic_layer_norm)
    critics = critic_ensemble(seen, representation.size, hp.ensemble.members, normal)

    def mu(params: Tree, obs: Tree, noise: Array) -> Array:
        lead = noise.shape[: noise.ndim - len(shape)]
        return one_step.apply(params["actor"], noise, jnp.zeros(lead, noise.dtype), obs)

    def init(key: Key) -> Tree:
        k_flow, k_actor, k_critics = jax.random.split(key, 3)
        first = {"flow": flow.init(k_flow), "actor": one_step.init(k_actor)}
        return first | {"critics": critics.init(k_critics)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_flow, k_noise, k_make, k_next, k_subset = jax.random.split(key, 5)
        ensemble = reduced(k_subset)
        # Critics: the value of the present policy's next action, by the target critics.
        noise = jax.random.normal(k_next, batch.action.shape)
        action = within(mu(params, batch.final, noise))
        future = ensemble.decode(critics.apply(target["critics"], batch.final, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        theta = critics.apply(params["critics"], batch.obs, batch.action)
        error = ensemble.loss(theta, targets)
        # Policy: the same noise gives what the flow makes of it, and the value of what it makes.
        noise = jax.random.normal(k_noise, batch.action.shape)
        own = mu(params, batch.obs, noise)
        taught = fixed(flow.of_noise(params["flow"], batch.obs, noise, k_make))
        apart = jnp.square(own - taught).reshape(len(own), -1).sum(-1) / math.prod(shape)
        theta = critics.apply(fixed(params["critics"]), batch.obs, within(own))
        value = values.mean(judged.decode(theta))
        worth = normalised(value, batch) if hp.normalise_value else value
        policy = hp.distillation * apart - worth
        cloned = flow.loss(params["flow"], batch, 1.0, k_flow)
        total = (batch.weight * (error + policy + cloned)).mean()
        metrics = {"critic_loss": error.mean(), "policy_loss": policy.mean()}
        return total, metrics | {"flow_loss": cloned.mean(), "value": value.mean()}

    def act(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        lead = jax.tree.leaves(obs)[0].shape[:1]
        noise = jax.random.normal(key, (*lead, *shape))
        return within(mu(view.params, obs, noise)), ()

    update = descend(init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    agent = Agent(memoryless(act), memoryless(act), update)
    return remembering(agent, spec, hp)
