"""Deterministic policy gradients with critics of any return representation.

The default is TD3 (Fujimoto et al. 2018). D4PG (Barth-Maron et al. 2018) is the same with one
distributional critic, n-step returns, no noise in targets and no delay: see `agents.AGENTS`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.errors import require_continuous
from jaxrl.fields import ENTRIES, FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, static
from jaxrl.networks import Critics, critic_ensemble, network
from jaxrl.types import Agent, Array, Box, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import delayed, descend, every, n_step, polyak, replay
from jaxrl.updates.offpolicy import check_buffer

fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of TD3; those that are not static can be swept by vmap."""

    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the actor and the critics."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target networks move towards the parameters; 1 copies them."""
    exploration_noise: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of exploration noise on actions in [-1, 1]."""
    target_noise: float = number(0.2, NOT_NEGATIVE)
    """Standard deviation of the noise on the next action in targets."""
    noise_clip: float = number(0.5, NOT_NEGATIVE)
    """Largest absolute noise on the next action in targets."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble()
    """Number of critics, and the reduction of their predictions to a target."""
    actor_period: int = static(2, POSITIVE)
    """Gradient steps of the critics for each update of the actor and the target networks."""
    num_envs: int = static(1, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(1, POSITIVE)
    """Steps in each environment between two rounds of gradient steps."""
    updates: int = static(1, POSITIVE)
    """Gradient steps after each rollout."""
    batch_size: int = static(256, POSITIVE)
    """Transitions in a batch."""
    buffer_size: int = static(100_000, ENTRIES)
    """Capacity of the replay buffer, in transitions."""
    warmup: int = static(1_000, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""
    n_step: int = static(1, POSITIVE)
    """Number of rewards in an n-step return before it bootstraps."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer."""
    activation: str = static("relu")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""


Penalty = Callable[[Critics, Tree, Tree, Transition, Array], Array]
"""(critics, params, target, batch, next action) -> a term of the critics' loss [B]."""


def td3(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    penalty: Penalty | None = None,
) -> Agent:
    """TD3 for continuous actions in [-1, 1], with an ensemble of critics of any representation.

    `representation` overrides `hp.critic`; a `penalty` is added to the critics' loss. Raises an
    InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    assert isinstance(spec.action, Box)  # checked above; for the type checker
    representation = values.critic(hp.critic) if representation is None else representation
    members, space, layers = hp.ensemble.members, spec.action, (hp.hidden, hp.activation)
    actor = network(spec, (space.low.size,), (0.01,), *layers)
    critics = critic_ensemble(spec, representation.size, members, *layers)
    ensemble = partial(values.ensemble_critic, representation, hp.ensemble)
    ensemble()  # raises
    q = lambda params, obs, action: critics.apply(params["critics"], obs, action)  # [..., E * K]

    def mu(params: Tree, obs: Tree) -> Array:
        outputs = actor.step(params["actor"], (), obs)[0][0]
        return jnp.tanh(outputs).reshape(*outputs.shape[:-1], *space.shape)

    def near(action: Array, deviation: float | Array, clip: float | Array, key: Key) -> Array:
        noise = jnp.clip(deviation * jax.random.normal(key, action.shape), -clip, clip)
        return jnp.clip(action + noise, -1.0, 1.0)

    def init(key: Key) -> Tree:
        k_actor, k_critics = jax.random.split(key)
        return {"actor": actor.init(k_actor), "critics": critics.init(k_critics)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_noise, k_subset = jax.random.split(key)
        # Critics: the pessimistic value of an action close to the policy's next one.
        reduced = ensemble(k_subset)
        action = near(mu(target, batch.final), hp.target_noise, hp.noise_clip, k_noise)
        future = reduced.decode(q(target, batch.final, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = reduced.loss(q(params, batch.obs, batch.action), targets)
        metrics = {"critic_loss": error.mean(), "target_value": values.mean(targets).mean()}
        if penalty is not None:
            extra = penalty(critics, params["critics"], target["critics"], batch, action)
            error, metrics = error + extra, metrics | {"penalty": extra.mean()}
        # Actor: its gradient passes through the first critic, whose parameters are fixed.
        theta = q(fixed(params), batch.obs, mu(params, batch.obs))[..., : representation.size]
        value = values.mean(representation.decode(theta))
        total = (batch.weight * (error - value)).mean()
        return total, metrics | {"policy_loss": -value.mean(), "value": value.mean()}

    def explore(view: Tree, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return near(mu(view.params, obs), hp.exploration_noise, jnp.inf, key), ()

    exploit = lambda view, obs, key: (mu(view.params, obs), ())
    optimiser = delayed(optax.adam(hp.learning_rate), hp.actor_period, ("actor",))
    follow = every(hp.actor_period, polyak(hp.target_rate))
    update = n_step(descend(init, loss, optimiser, follow), hp.discount)
    rows = hp.buffer_size // hp.num_envs
    update = replay(update, rows, hp.batch_size, hp.updates, hp.n_step)
    return Agent(memoryless(explore), memoryless(exploit), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "td3")
    check_fields(hp)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, hp.n_step, hp.warmup)
