"""Features for any reward, from the values of many random ones (Farebrother et al. 2023).

Each task has the reward 1 where a random network is above a threshold, and 0 elsewhere; the
threshold is learnt so that this holds in a given share of all states. The values of the uniform
policy for these rewards are a sketch of its successor measure, and the features in which they are
linear are proto-value features.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import networks, values
from jaxrl.errors import require, require_discrete
from jaxrl.fields import ENTRIES, FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, static
from jaxrl.layers import Tower, initialise
from jaxrl.policies import allowed, epsilon_greedy
from jaxrl.types import Agent, Array, Discrete, Key, Spec, Transition, Tree, lanes, memoryless
from jaxrl.updates import Learner, descend, polyak, replay
from jaxrl.updates.offpolicy import check_buffer
from jaxrl.values import take

fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of proto-value learning; vmap can sweep those that are not static."""

    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    share: float = number(0.01, FRACTION)
    """Share of states in which a task has reward 1."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    tasks: int = static(100, POSITIVE)
    """Number of tasks, random rewards whose values are learnt."""
    num_envs: int = static(8, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(4, POSITIVE)
    """Steps in each environment between two rounds of gradient steps."""
    updates: int = static(4, POSITIVE)
    """Gradient steps after each rollout."""
    batch_size: int = static(128, POSITIVE)
    """Transitions in a batch."""
    buffer_size: int = static(65_536, ENTRIES)
    """Capacity of the replay buffer, in transitions."""
    warmup: int = static(1_024, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer; those of the last are the features."""
    activation: str = static("relu")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static("auto")
    """Encoder of observations: mlp, cnn, or auto, which is cnn for images and mlp otherwise."""


def modules(spec: Spec, hp: Hyperparameters) -> tuple[Tower, Tower]:
    """The network of values, and the random network that defines the tasks."""
    assert isinstance(spec.action, Discrete)
    torso = networks.torso(spec.observation, hp.hidden, hp.activation, hp.encoder)
    return Tower(torso, spec.action.num * hp.tasks), Tower(torso, hp.tasks)


def features(spec: Spec, hp: Hyperparameters) -> Callable[[Learner, Tree], Array]:
    """The function from a learner and observations [..., *] to features [..., hidden[-1]]."""
    learnt, _ = modules(spec, hp)

    def of(view: Learner, obs: Tree) -> Array:
        x = networks.inputs(spec, learnt.torso, obs)
        return learnt.apply(view.params["values"], x, method="features")  # pyright: ignore

    return of


def proto_value(spec: Spec, hp: Hyperparameters) -> Agent:
    """An agent that acts at random and learns features.

    Raises an InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    learnt, drawn = modules(spec, hp)
    family, x = values.scalar(), partial(networks.inputs, spec, learnt.torso)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    actions = spec.action.num

    def uniform(obs: Tree) -> Array:
        """The probabilities [..., 1, A] of a uniform policy over the allowed actions."""
        mask = allowed(spec, obs)
        if mask is None:
            return jnp.full(actions, 1 / actions)
        return (mask / mask.sum(-1, keepdims=True))[..., None, :]

    def theta(params: Tree, obs: Tree) -> Array:
        outputs = jnp.asarray(learnt.apply(params["values"], x(obs)))
        return outputs.reshape(*outputs.shape[:-1], hp.tasks, actions, 1)

    def height(params: Tree, obs: Tree) -> Array:
        """The random network above its threshold [..., tasks]: the reward is 1 above zero."""
        return fixed(jnp.asarray(drawn.apply(params["tasks"], x(obs)))) + params["threshold"]

    def init(key: Key) -> Tree:
        k_values, k_tasks = jax.random.split(key)
        blank = x(networks.blank(spec))
        return {
            "values": initialise(learnt, k_values, blank),
            "tasks": initialise(drawn, k_tasks, blank),
            "threshold": jnp.zeros(hp.tasks),
        }

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        above = height(params, batch.obs)
        reward = fixed((above > 0).astype(float))  # [B, tasks]
        future = values.expected(family, theta(target, batch.final), uniform(batch.final))
        discount = jnp.broadcast_to(hp.discount * batch.discount[:, None], reward.shape)
        targets = fixed(values.push(future, reward, discount))
        weight = batch.weight[:, None]
        taken = take(theta(params, batch.obs), batch.action[:, None])
        error = (weight * family.loss(taken, targets)).mean()
        # Its minimum leaves `share` of all states above: the quantile loss of Farebrother et al.
        quantile = (weight * above * ((1 - hp.share) - (above < 0))).mean(0).sum()
        return error + quantile, {"loss": error, "share": reward.mean()}

    def random(view: Tree, obs: Tree, key: Key) -> tuple[Array, tuple]:
        alike = jnp.zeros((lanes(obs), actions))
        return epsilon_greedy(alike, 1.0, allowed(spec, obs)).sample(seed=key), ()

    act = memoryless(random)
    update = descend(init, loss, optax.adam(hp.learning_rate), polyak(hp.target_rate))
    update = replay(update, hp.buffer_size // hp.num_envs, hp.batch_size, hp.updates)
    return Agent(act, act, update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "proto-value")
    check_fields(hp)
    require(len(hp.hidden) > 0, "proto-value needs a hidden layer, whose units are the features.")
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
