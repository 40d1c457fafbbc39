"""Networks of the successor features of all tasks, and the policies that are greedy for them.

Of discrete actions the policy is greedy in values; of continuous ones it is a network of its own
that climbs them, as in TD3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import networks
from jaxrl.conditioned import Conditioned
from jaxrl.networks import critic_ensemble
from jaxrl.policies import FORBIDDEN, allowed, epsilon_greedy, only_allowed
from jaxrl.settings import Layers
from jaxrl.types import Actor, Array, Box, Discrete, Key, Spec, Tree, lanes
from jaxrl.zero_shot.measures import excess
from jaxrl.zero_shot.tasks import random_tasks

fixed = jax.lax.stop_gradient

CLIP = 1.5  # of noise in targets, in standard deviations
SAMPLES = 4  # actions of each kind that a penalty compares with those of the data


class Others(NamedTuple):
    """Successors of C actions that could have been taken."""

    successors: Array  # [..., C, E, d]
    allowed: Array | None  # [..., C] bool, None if all are


class Universal(NamedTuple):
    """Successors F(s, a, z) of all tasks by E networks, and the policies of these tasks."""

    init: Callable[[Key], Tree]  # with the entries successors, and actor for continuous actions
    successors: Callable[[Tree, Tree, Array, Array], Array]
    # successors: (params, obs [..., *], action, z [..., d]) -> [..., E, d]
    others: Callable[[Tree, Tree, Tree, Array, Key], Others]
    # others: (params, obs, final, z, key): all discrete actions, or sampled continuous ones
    act: Callable[[Tree, Tree, Array], Array]  # (params, obs, z) -> actions
    near: Callable[[Tree, Tree, Array, Key], Array]  # the same with noise, to explore
    follow: Callable[[Tree, Tree, Array, Key], Array]  # of targets: without noise if discrete
    climb: Callable[[Tree, Tree, Array], Array]
    # climb: (params, obs, z) -> the loss [...] of the network of the policy, 0 if there is none


def task_value(successors: Array, z: Array) -> Array:
    """The values [...] of tasks z [..., d], the least of E successors [..., E, d]."""
    return (successors @ z[..., None])[..., 0].min(-1)


def universal(
    spec: Spec, size: int, layers: Layers, noise: float | Array, members: int = 2
) -> Universal:
    """Successor features of `size` dimensions for discrete actions or those in [-1, 1].

    `noise` is the standard deviation of that on continuous actions, and the probability of random
    discrete ones in exploration.
    """
    context: Any = jax.ShapeDtypeStruct((size,), jnp.result_type(float))
    wider = spec._replace(observation=Conditioned(spec.observation, context), mask=None)
    make = discrete if isinstance(spec.action, Discrete) else continuous
    return make(spec, wider, size, layers, noise, members)


def discrete(
    spec: Spec, wider: Spec, size: int, layers: Layers, noise: float | Array, members: int
) -> Universal:
    """Successors of all actions at once."""
    assert isinstance(spec.action, Discrete)
    actions = spec.action.num
    heads = (actions * size,) * members
    net = networks.network(wider, heads, (1.0,) * members, **vars(layers))

    def every(params: Tree, obs: Tree, z: Array) -> Array:  # [..., A, E, d]
        outputs = net.step(params["successors"], (), Conditioned(obs, z))[0]
        lead = outputs[0].shape[:-1]
        return jnp.stack([x.reshape(*lead, actions, size) for x in outputs], -2)

    def scores(params: Tree, obs: Tree, z: Array) -> Array:  # [..., A]
        return task_value(every(params, obs, z), z[..., None, :])

    def successors(params: Tree, obs: Tree, action: Array, z: Array) -> Array:
        index = action[..., None, None, None]
        return jnp.take_along_axis(every(params, obs, z), index, -3)[..., 0, :, :]

    def others(params: Tree, obs: Tree, final: Tree, z: Array, key: Key) -> Others:
        return Others(every(params, obs, z), allowed(spec, obs))

    def act(params: Tree, obs: Tree, z: Array) -> Array:
        return only_allowed(scores(params, obs, z), allowed(spec, obs)).argmax(-1)

    def near(params: Tree, obs: Tree, z: Array, key: Key) -> Array:
        values = scores(params, obs, z)
        return epsilon_greedy(values, noise, allowed(spec, obs)).sample(seed=key)

    init = lambda key: {"successors": net.init(key)}
    still = lambda params, obs, z: jnp.zeros(z.shape[:-1])
    follow = lambda params, obs, z, key: act(params, obs, z)
    return Universal(init, successors, others, act, near, follow, still)


def continuous(
    spec: Spec, wider: Spec, size: int, layers: Layers, noise: float | Array, members: int
) -> Universal:
    """Successors of one action, and a network of the policy."""
    assert isinstance(spec.action, Box)
    critics = critic_ensemble(wider, size, members, layers)
    shape, width = spec.action.shape, networks.action_size(spec)
    actor = networks.network(wider, (width,), (0.01,), **vars(layers))

    def init(key: Key) -> Tree:
        k_actor, k_critics = jax.random.split(key)
        return {"successors": critics.init(k_critics), "actor": actor.init(k_actor)}

    def successors(params: Tree, obs: Tree, action: Array, z: Array) -> Array:
        theta = critics.apply(params["successors"], Conditioned(obs, z), action)
        return theta.reshape(*theta.shape[:-1], members, size)

    def act(params: Tree, obs: Tree, z: Array) -> Array:
        outputs = actor.step(params["actor"], (), Conditioned(obs, z))[0][0]
        return jnp.tanh(outputs).reshape(*outputs.shape[:-1], *shape)

    def disturbed(action: Array, key: Key) -> Array:
        drift = noise * jnp.clip(jax.random.normal(key, action.shape), -CLIP, CLIP)
        return jnp.clip(action + drift, -1.0, 1.0)

    def near(params: Tree, obs: Tree, z: Array, key: Key) -> Array:
        return disturbed(act(params, obs, z), key)

    def others(params: Tree, obs: Tree, final: Tree, z: Array, key: Key) -> Others:
        k_random, *k_near = jax.random.split(key, 3)
        own = [jnp.broadcast_to(fixed(act(params, x, z)), (SAMPLES, *z.shape[:-1], *shape))
               for x in (obs, final)]  # fmt: skip
        kinds = [jax.random.uniform(k_random, own[0].shape, minval=-1.0)]
        kinds += [disturbed(x, k) for x, k in zip(own, k_near)]
        one = lambda action: successors(params, obs, action, z)
        found = jax.vmap(one)(jnp.concatenate(kinds))  # [C, ..., E, d]
        return Others(jnp.moveaxis(found, 0, -3), None)

    def climb(params: Tree, obs: Tree, z: Array) -> Array:
        return -task_value(successors(fixed(params), obs, act(params, obs, z), z), z)

    return Universal(init, successors, others, act, near, near, climb)


def value_excess(others: Others, taken: Array, z: Array) -> Array:
    """The excess [...] of values of other actions, for successors taken [..., E, d] of tasks z.

    It is summed over networks: VC-FB of Jeen et al. (2024), see `jaxrl.zero_shot.measures.excess`.
    """
    values = jnp.einsum("...ced,...d->...ec", others.successors, z)
    if others.allowed is not None:
        values = jnp.where(others.allowed[..., None, :], values, FORBIDDEN)
    return excess(values, jnp.einsum("...ed,...d->...e", taken, z)).sum(-1)


def measure_excess(others: Others, taken: Array, ahead: Array) -> Array:
    """The mean excess [N] of measures of other actions, over states with features [M, d].

    `taken` are successors [N, E, d]. It is summed over networks: MC-FB of Jeen et al. (2024).
    """
    values = jnp.einsum("nced,md->nmec", others.successors, ahead)
    if others.allowed is not None:
        values = jnp.where(others.allowed[:, None, None], values, FORBIDDEN)
    return excess(values, jnp.einsum("ned,md->nme", taken, ahead)).sum(-1).mean(-1)


def exploring(policy: Universal, size: int) -> Actor:
    """Act for a random task that is drawn anew for each episode, for views that are `Informed`."""

    def step(view: Tree, memory: Array, obs: Tree, key: Key) -> tuple[Array, Array, tuple]:
        k_task, k_act = jax.random.split(key)
        new = random_tasks(k_task, lanes(obs), size)
        # The memory of a new episode is 0, which is no task.
        z = jnp.where((memory == 0).all(-1, keepdims=True), new, memory)
        return policy.near(view.inner.params, obs, z, k_act), z, ()

    return Actor(lambda batch_size: jnp.zeros((batch_size, size)), step)


def pursuing(policy: Universal, z: Array | None = None) -> Actor:
    """Act for a task z [d], by default that of the environment's reward; see `informed`."""

    def step(view: Tree, memory: tuple, obs: Tree, key: Key) -> tuple[Array, tuple, tuple]:
        task = view.task if z is None else z
        wide = jnp.broadcast_to(task, (lanes(obs), task.shape[-1]))
        return policy.act(view.inner.params, obs, wide), memory, ()

    return Actor(lambda batch_size: (), step)
