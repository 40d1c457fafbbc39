"""Deterministic policy gradients with critics of any return representation.

By default TD3 (Fujimoto et al. 2018); D4PG (Barth-Maron et al. 2018) is the same with one
distributional critic, returns of several steps, and neither noise nor delay: see `agents.AGENTS`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.errors import require_continuous, require_fraction, require_positive
from jaxrl.networks import Critics, critic_ensemble, network
from jaxrl.types import Agent, Array, Box, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import delayed, descend, every, n_step, polyak, replay
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)
fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """What TD3 can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam, of actor and critics."""
    discount: float = 0.99
    """Of rewards, per step."""
    target_rate: float = 0.01
    """How far the target networks move to the parameters when they move."""
    exploration_noise: float = 0.1
    """Standard deviation of what is added to actions in [-1, 1] while exploring."""
    target_noise: float = 0.2
    """Standard deviation of what is added to the next action in targets."""
    noise_clip: float = 0.5
    """The most that is added to the next action in targets."""
    critic: values.Critic = values.Critic()
    """What each critic predicts of the return."""
    ensemble: values.Ensemble = values.Ensemble()
    """How many critics, and what to believe where they disagree."""
    actor_period: int = static(default=2)
    """Gradient steps of the critics for one of the actor and the target networks."""
    num_envs: int = static(default=1)
    """Environments that run side by side."""
    rollout_length: int = static(default=1)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=1)
    """Gradient steps in a round of learning."""
    batch_size: int = static(default=256)
    """Transitions in a gradient step."""
    buffer_size: int = static(default=100_000)
    """Transitions that are kept."""
    warmup: int = static(default=1_000)
    """Environment steps of random acting before learning."""
    n_step: int = static(default=1)
    """Steps of reward before the bootstrap."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""


Penalty = Callable[[Critics, Tree, Tree, Transition, Array], Array]
"""(critics, params, target, batch, next action) -> what to add to the critics' loss [B]."""


def td3(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    penalty: Penalty | None = None,
) -> Agent:
    """TD3 for continuous actions in [-1, 1], with an ensemble of critics of any representation.

    `representation` is that of `hp` unless given; a `penalty` is added to the loss. Raises a
    InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    assert isinstance(spec.action, Box)  # checked above; for the type checker
    representation = values.critic(hp.critic) if representation is None else representation
    members, space, layers = hp.ensemble.members, spec.action, (hp.hidden, hp.activation)
    actor = network(spec, (space.low.size,), (0.01,), *layers)
    critics = critic_ensemble(spec, representation.size, members, *layers)
    ensemble = partial(values.ensemble, representation, members)
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
        # Critics: the pessimistic future of an action close to the next one.
        believed = ensemble(values.reduction(hp.ensemble, k_subset))
        action = near(mu(target, batch.final), hp.target_noise, hp.noise_clip, k_noise)
        future = believed.decode(q(target, batch.final, action))
        goal = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = believed.loss(q(params, batch.obs, batch.action), goal)
        metrics = {"critic_loss": error.mean()}
        if penalty is not None:
            extra = penalty(critics, params["critics"], target["critics"], batch, action)
            error, metrics = error + extra, metrics | {"penalty": extra.mean()}
        # The actor, through the first of the critics, which it cannot change.
        theta = q(fixed(params), batch.obs, mu(params, batch.obs))[..., : representation.size]
        value = values.mean(representation.decode(theta))
        total = (batch.weight * (error - value)).mean()
        return total, metrics | {"policy_loss": -value.mean()}

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
    values.reduction(hp.ensemble)  # raises
    require_positive(learning_rate=hp.learning_rate, batch_size=hp.batch_size, n_step=hp.n_step)
    require_positive(updates=hp.updates, num_envs=hp.num_envs, actor_period=hp.actor_period)
    require_fraction(discount=hp.discount, target_rate=hp.target_rate)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, hp.n_step, hp.warmup)
