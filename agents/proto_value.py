"""Features for any reward, from the values of many random ones (Farebrother et al. 2023).

Each of many tasks pays where a random network is above a threshold, which is learnt so that this
is in a given share of all states. The values of the uniform policy for these payments are a sketch
of its successor measure, and the features in which they are linear are proto-value features.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import networks, values
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.layers import Tower, initialise
from jaxrl.loop import random_actions
from jaxrl.types import Agent, Array, Discrete, Key, Spec, Transition, Tree, lanes, memoryless
from jaxrl.updates import Learner, descend, polyak, replay
from jaxrl.updates.offpolicy import check_buffer
from jaxrl.values import take

static = partial(struct.field, pytree_node=False)
fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """What proto-value learning can be told; numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    discount: float = 0.99
    """Of payments, per step."""
    share: float = 0.01
    """Of states, in which a task pays."""
    target_rate: float = 0.01
    """How fast the target network follows."""
    tasks: int = static(default=100)
    """Random payments whose values are learnt."""
    num_envs: int = static(default=8)
    """Environments that run side by side."""
    rollout_length: int = static(default=4)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=4)
    """Gradient steps in a round of learning."""
    batch_size: int = static(default=128)
    """Transitions in a gradient step."""
    buffer_size: int = static(default=65_536)
    """Transitions that are kept."""
    warmup: int = static(default=1_024)
    """Environment steps before learning."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer; the last are the features."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static(default="auto")
    """mlp, cnn, or auto: a cnn for images and an mlp for anything else."""


def modules(spec: Spec, hp: Hyperparameters) -> tuple[Tower, Tower]:
    """The network that learns, and the one whose outputs decide where tasks pay."""
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
    """Learn features from random acting; it never acts otherwise.

    Raises an InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    learnt, drawn = modules(spec, hp)
    family, x = values.scalar(), partial(networks.inputs, spec, learnt.torso)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    actions = spec.action.num
    uniform = jnp.full(actions, 1 / actions)

    def theta(params: Tree, obs: Tree) -> Array:
        outputs = jnp.asarray(learnt.apply(params["values"], x(obs)))
        return outputs.reshape(*outputs.shape[:-1], hp.tasks, actions, 1)

    def height(params: Tree, obs: Tree) -> Array:
        """How far [..., tasks] above its threshold each task is: it pays above zero."""
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
        payment = fixed((above > 0).astype(float))  # [B, tasks]
        future = values.expected(family, theta(target, batch.final), uniform)
        discount = jnp.broadcast_to(hp.discount * batch.discount[:, None], payment.shape)
        goal = fixed(values.push(future, payment, discount))
        error = family.loss(take(theta(params, batch.obs), batch.action[:, None]), goal).mean()
        # Its minimum leaves `share` of all states above: the quantile loss of Farebrother et al.
        quantile = (above * ((1 - hp.share) - (above < 0))).mean(0).sum()
        return error + quantile, {"loss": error, "share": payment.mean()}

    act = memoryless(lambda view, obs, key: (random_actions(spec, lanes(obs), key), ()))
    update = descend(init, loss, optax.adam(hp.learning_rate), polyak(hp.target_rate))
    update = replay(update, hp.buffer_size // hp.num_envs, hp.batch_size, hp.updates)
    return Agent(act, act, update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require(
        isinstance(spec.action, Discrete),
        "proto-value needs discrete actions, but this environment's are continuous.",
    )
    require_positive(learning_rate=hp.learning_rate, tasks=hp.tasks, batch_size=hp.batch_size)
    require_positive(updates=hp.updates, num_envs=hp.num_envs, rollout_length=hp.rollout_length)
    require_fraction(discount=hp.discount, share=hp.share, target_rate=hp.target_rate)
    require(len(hp.hidden) > 0, "proto-value needs a hidden layer, whose units are the features.")
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
