"""Weighted behaviour cloning: policies that imitate actions, each as much as its weight says.

The loss of one action is -weight log pi(a | s). A weight of 1 is behaviour cloning; one that grows
with the advantage makes the policy a better one that stays within the data. Weights carry no
gradient:

    loss = cloning_loss(policy, batch, exponential_weight(advantage, 3.0, largest=100.0))
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import optax

from jaxrl import buffers
from jaxrl.errors import require, require_known
from jaxrl.networks import Own, network
from jaxrl.policies import (
    Family,
    allowed,
    gaussian,
    policy_family,
    straight_through_clip,
    tanh_family,
)
from jaxrl.settings import Layers
from jaxrl.sharding import highest, total
from jaxrl.types import Actor, Array, Box, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import Learner, descend

fixed = jax.lax.stop_gradient

LOSSES = ("likelihood", "squared-error")
MARGIN = 1e-5  # actions are kept that far from their bounds, where squashed densities are infinite


def bounded_family(space: Box, low: float = -5.0, high: float = 2.0) -> Family:
    """Gaussian policies whose mean is squashed to [-1, 1], and whose noise is not.

    The logarithmic standard deviations are free parameters, clipped to [low, high]. Samples may lie
    outside of the bounds. Source: the policy of Kostrikov et al. (2022),
    https://arxiv.org/abs/2110.06169, in the authors' code.
    """
    shape, size = space.shape, math.prod(space.shape)

    def distribution(outputs: Array, free: Array, mask: None = None) -> distrax.Distribution:
        mean = jnp.tanh(outputs.reshape(*outputs.shape[:-1], *shape))
        log_std = straight_through_clip(free.reshape(shape), low, high)
        return gaussian(mean, jnp.broadcast_to(log_std, mean.shape), len(shape))

    return Family(size, jnp.zeros(size), distribution)


POLICIES: dict[str, Callable[[Box], Family]] = {"gaussian": bounded_family, "squashed": tanh_family}


class PolicyNetwork(NamedTuple):
    """A network of distributions over actions, which are in [-1, 1] if they are continuous."""

    init: Callable[[Key], Tree]
    at: Callable[[Tree, Tree], distrax.Distribution]  # (params, obs [..., *]) -> of actions

    def sample(self, params: Tree, obs: Tree, key: Key) -> Array:
        """Actions [..., *action] at obs [..., *], within their bounds."""
        return within(self.at(params, obs).sample(seed=key))


class Imitator(NamedTuple):
    """A policy that learns by imitation, and how it acts: what agents need of it."""

    init: Callable[[Key], Tree]
    loss: Callable[[Tree, Transition, float | Array, Key], Array]
    # loss: (params, batch [B, *], weights [B], key) -> [B]
    explore: Actor  # both see a learner with the policy's parameters as the entry `actor`
    exploit: Actor


def imitator(policy: PolicyNetwork) -> Imitator:
    """The imitation of actions by their likelihood under a policy: see `cloning_loss`."""

    def loss(params: Tree, batch: Transition, weight: float | Array, key: Key) -> Array:
        return cloning_loss(policy.at(params, batch.obs), batch, weight)

    return Imitator(policy.init, loss, *policy_actors(policy))


def within(action: Array) -> Array:
    """Actions [..., *action], of which continuous ones are clipped to [-1, 1]."""
    real = jnp.issubdtype(action.dtype, jnp.floating)
    return jnp.clip(action, -1.0, 1.0) if real else action


def policy_network(
    spec: Spec, kind: str = "gaussian", layers: Layers = Layers(), own: Own = None
) -> PolicyNetwork:
    """The policy of a kind that suits the actions of a spec, without forbidden ones.

    Of continuous actions in [-1, 1] it is gaussian, see `bounded_family`, or squashed, see
    `jaxrl.policies.tanh_family`; of others it is that of `jaxrl.policies.policy_family`. A person's
    `own` network takes the place of the usual one. Raises an InputError for another kind.
    """
    require_known("policy", kind, POLICIES)
    box = spec.action
    family = POLICIES[kind](box) if isinstance(box, Box) else policy_family(box)
    net = network(spec, (family.size,), (0.01,), **vars(layers), own=own)

    def init(key: Key) -> Tree:
        return {"network": net.init(key), "free": family.free}

    def at(params: Tree, obs: Tree) -> distrax.Distribution:
        outputs = net.step(params["network"], (), obs)[0][0]
        return family.distribution(outputs, params["free"], allowed(spec, obs))

    return PolicyNetwork(init, at)


def policy_actors(policy: PolicyNetwork) -> tuple[Actor, Actor]:
    """An actor that samples from the policy of the parameters `actor`, and one of its mode."""

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return policy.sample(view.params["actor"], obs, key), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return policy.at(view.params["actor"], obs).mode(), ()

    return memoryless(explore), memoryless(exploit)


def require_loss(spec: Spec, name: str) -> None:
    """Raise an InputError unless there is such a loss, and the actions of the spec suit it."""
    require_known("loss", name, LOSSES)
    require(
        name == "likelihood" or isinstance(spec.action, Box),
        "A squared error needs continuous actions, but this environment's are discrete: set loss "
        "to likelihood.",
    )


def cloning_loss(
    policy: distrax.Distribution,
    batch: Transition,
    weight: float | Array = 1.0,
    loss: str = "likelihood",
) -> Array:
    """The loss [...] of imitating the actions of a batch with weights [...].

    By likelihood it is -weight log pi(a | s), and by squared error weight |mode(pi) - a|^2 / d for
    d-dimensional continuous actions, which is least at the mean of actions with several modes. The
    weights of the batch itself are left to the caller.
    """
    action = batch.action
    if loss == "squared-error":
        each = jnp.square(policy.mode() - action)
        error = each.reshape(*batch.reward.shape, -1).mean(-1)
    else:
        if jnp.issubdtype(action.dtype, jnp.floating):
            action = jnp.clip(action, MARGIN - 1.0, 1.0 - MARGIN)
        error = -jnp.asarray(policy.log_prob(action))
    return fixed(weight) * error


def cloned(
    policy: PolicyNetwork,
    optimiser: optax.GradientTransformation,
    loss: str = "likelihood",
    metric: str = "cloning_loss",
) -> Update:
    """An update of the parameters `actor` that imitates the actions of batches [B, ...].

    The loss is the mean of `cloning_loss` with the weights of the batch, and is told as `metric`.
    """

    def objective(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        error = cloning_loss(policy.at(params["actor"], batch.obs), batch, loss=loss)
        total = (batch.weight * error).mean()
        return total, {metric: total}

    return descend(lambda key: {"actor": policy.init(key)}, objective, optimiser)


def demonstrated(
    data: buffers.Buffer, coefficient: float | Array, batch_size: int
) -> Callable[[Callable[[Tree, Tree], distrax.Distribution], Tree, Key], Array]:
    """A term of a policy's loss: `coefficient` times that of cloning a batch of a data set.

    It is a function ((params, obs) -> policy, params, key) -> [], as PPO takes it for `auxiliary`.
    Source of cloning concurrently with PPO: Andres et al. (2023), "Using offline data to speed-up
    reinforcement learning in procedurally generated environments",
    https://arxiv.org/abs/2304.09825.
    """

    def term(policy: Callable[[Tree, Tree], distrax.Distribution], params: Tree, key: Key) -> Array:
        batch = buffers.sample(data, key, batch_size)
        error = cloning_loss(policy(params, batch.obs), batch)
        return coefficient * (batch.weight * error).mean()

    return term


def exponential_weight(
    advantage: Array, inverse_temperature: float | Array, largest: float | Array
) -> Array:
    """The weights min(exp(beta A), largest) [...] of advantages [...].

    Source: Kostrikov et al. (2022), https://arxiv.org/abs/2110.06169; the bound is that
    of the authors' code.
    """
    return fixed(jnp.exp(jnp.minimum(inverse_temperature * advantage, jnp.log(largest))))


def softmax_weight(advantage: Array, temperature: float | Array, share: Array) -> Array:
    """The weights exp(A / t) over their mean [B], of advantages [B]: B times their softmax.

    The mean is that of samples with the weights `share` [B] in the batch of all shards. Source: the
    authors' code of Nair et al. (2020), https://arxiv.org/abs/2006.09359.
    """
    scaled = advantage / temperature
    known = jnp.asarray(highest(jnp.where(share > 0, scaled, -jnp.inf).max()))
    top = jnp.where(jnp.isfinite(known), known, 0.0)
    grown = jnp.where(share > 0, jnp.exp(jnp.minimum(scaled - top, 0.0)), 0.0)
    mean = total((share * grown).sum()) / jnp.maximum(total(share.sum()), 1e-8)
    return fixed(grown / jnp.maximum(mean, 1e-30))


def binary_weight(advantage: Array) -> Array:
    """The weights 1{A > 0} [...] of advantages [...]: only actions that are better are imitated.

    Source: Wang et al. (2020), https://arxiv.org/abs/2006.15134.
    """
    return fixed((advantage > 0).astype(advantage.dtype))
