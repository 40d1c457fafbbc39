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

from jaxrl import networks, values
from jaxrl.errors import require, require_discrete
from jaxrl.fields import FRACTION, POSITIVE, check_fields, number, record, static
from jaxrl.networks import encoders
from jaxrl.networks.layers import Tower, initialise
from jaxrl.policies import allowed, epsilon_greedy
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Discrete, Key, Spec, Transition, Tree, lanes, memoryless
from jaxrl.updates import Learner, descend, optimiser_for, polyak, replayed, require_buffer
from jaxrl.values import take

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of proto-value learning; vmap can sweep those that are not static."""

    optimisation: Optimisation = Optimisation(schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    share: float = number(0.01, FRACTION)
    """Share of states in which a task has reward 1."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    tasks: int = static(100, POSITIVE)
    """Number of tasks, random rewards whose values are learnt."""
    collection: Collection = Collection(num_envs=8, rollout_length=4, warmup=1_024)
    """How experience is collected."""
    replay: Replay = Replay(updates=4, batch_size=128, buffer_size=65_536)
    """How stored experience is learnt from."""
    network: Layers = Layers()
    """The network's layers."""


def modules(spec: Spec, hp: Hyperparameters) -> tuple[Tower, Tower]:
    """The network of values, and the random network that defines the tasks."""
    assert isinstance(spec.action, Discrete)
    torso = encoders.torso(spec.observation, **vars(hp.network))
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
    update = descend(init, loss, optimiser_for(hp), polyak(hp.target_rate))
    return Agent(act, act, replayed(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "proto-value")
    check_fields(hp)
    require(
        len(hp.network.hidden) > 0,
        "proto-value needs a hidden layer, whose units are the features.",
    )
    require_buffer(hp)
