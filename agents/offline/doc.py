"""Cloning conditioned on what can be controlled of the future (Yang et al. 2023, "DoC").

A latent says which of several plans followed, and carries no information on rewards and successors
beyond what state and action tell. So its value is what it earns on average, and not by luck.
Source: "Dichotomy of control: Separating what you can control from what you cannot",
https://arxiv.org/abs/2210.13435. The constraint falls by the latents and rises by the energy, and
values do not shape latents; the authors' code has neither.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
import optax

from agents.offline import bc
from agents.offline.decision_transformer import weightless
from jaxrl import networks, returns
from jaxrl.cloning import POLICIES, cloning_loss, within
from jaxrl.errors import require, require_known
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.networks import action_size, flat, flat_action
from jaxrl.normalise import replaying, shown
from jaxrl.policies import allowed, policy_family
from jaxrl.settings import Layers, Optimisation
from jaxrl.types import Agent, Array, Box, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import Learner, descend, enriched, optimiser_for, replayed, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(bc.Hyperparameters):
    """The hyperparameters of DoC: those of cloning, and of latents of the future."""

    constraint: float = number(0.1)
    """Weight of the mutual information of latents with rewards and successors; below zero it is
    increased, as in the authors' code. The game with the energy is not stable where it is large."""
    return_scale: float = number(1.0, POSITIVE)
    """Number by which returns are divided before a value is fitted to them."""
    rarest: float = number(0.03, NOT_NEGATIVE)
    """Prior probability below which a latent is not acted on, unless all are."""
    latents: int = static(8, POSITIVE)
    """Number of latents."""
    sequence_length: int = static(8, POSITIVE)
    """Steps of the future that a latent is of."""
    negatives: int = static(8, POSITIVE)
    """Rewards and successors of other steps with which those of a step are compared."""
    optimisation: Optimisation = Optimisation()
    """How parameters descend the gradient."""
    network: Layers = Layers(hidden=(64, 64))
    """The layers of each network."""


class Latents(NamedTuple):
    """The networks of DoC, for latents z = 0, ..., K - 1."""

    init: Callable[[Key], Tree]
    posterior: Callable[[Tree, Transition], Array]
    # posterior: (params, steps [L, B, *]) -> logits [L, B, K] of the steps up to each
    policy: Callable[[Tree, Tree], distrax.Distribution]  # (params, obs [..., *]) -> [..., K]
    value: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> [..., K] in units of scale
    prior: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> logits [..., K]
    energy: Callable[[Tree, Transition], Array]  # (params, steps [..., *]) -> [..., K]


def latents(spec: Spec, hp: Hyperparameters) -> Latents:
    """The networks that hyperparameters describe, for actions of a spec."""
    box, number = spec.action, hp.latents
    family = POLICIES[hp.policy](box) if isinstance(box, Box) else policy_family(box)
    own = vars(hp.network)
    real = jnp.result_type(float)
    size = flat(spec.observation, networks.blank(spec)).size
    row = jax.ShapeDtypeStruct((2 * size + action_size(spec) + 1,), real)
    wide = spec._replace(observation=row, mask=None)
    reader = networks.network(wide, (number,), (1.0,), **own, memory="gru")
    judge = networks.network(wide, (number,), (1.0,), **own)
    seer = networks.network(spec, (number * family.size, number, number), (1.0, 1.0, 0.01), **own)

    def told(steps: Transition) -> Array:
        obs, final = (flat(spec.observation, x) for x in (steps.obs, steps.final))
        action = flat_action(spec, steps.action)
        return jnp.concatenate([obs, action, steps.reward[..., None], final], -1)

    def posterior(params: Tree, steps: Transition) -> Array:
        blank = reader.memory(steps.reward.shape[1])
        (logits,), _ = reader.unroll(params["reader"], blank, told(steps), steps.last)
        return logits

    def policy(params: Tree, obs: Tree) -> distrax.Distribution:
        outputs = seer.step(params["seer"], (), obs)[0][0]
        outputs = outputs.reshape(*outputs.shape[:-1], number, family.size)
        mask = allowed(spec, obs)
        return family.distribution(outputs, params["free"], None if mask is None else _each(mask))

    def init(key: Key) -> Tree:
        parts = {"reader": reader, "judge": judge, "seer": seer}
        keys = jax.random.split(key, len(parts))
        made = {name: net.init(k) for (name, net), k in zip(parts.items(), keys)}
        return made | {"free": family.free}

    return Latents(
        init,
        posterior,
        policy,
        lambda params, obs: seer.step(params["seer"], (), obs)[0][1],
        lambda params, obs: seer.step(params["seer"], (), obs)[0][2],
        lambda params, steps: judge.step(params["judge"], (), told(steps))[0][0],
    )


def _each(mask: Any) -> Array:
    return mask[..., None, :]


def best(net: Latents, rarest: float | Array, params: Tree, obs: Tree) -> Array:
    """The latent [...] of the highest value, among those whose prior is not below `rarest`."""
    prior = jax.nn.softmax(net.prior(params, obs))
    likely = prior >= jnp.minimum(rarest, prior.max(-1, keepdims=True))
    return jnp.where(likely, net.value(params, obs), -jnp.inf).argmax(-1)


def objective(
    net: Latents,
    hp: Hyperparameters,
    params: Tree,
    steps: Transition,
    key: Key,
    detached: Callable[[Array], Array] = fixed,
) -> tuple[Array, dict]:
    """The loss of windows [L, B, ...] of steps, whose `extras` are returns to go, and its metrics.

    With q(z | tau) of the steps of the first episode of a window it is the mean of

        E_q[-log pi(a | s, z) + 1/2 (V(s, z) - R)^2 - log p(z | s)] + w E_q[f - log mean exp f'],

    of which the value and the prior leave q alone, and the last term falls by q and rises by f,
    the energy of (s, a, r, s'), where f' is that of r and s' of other steps. `detached` is what the
    value's gradient sees of q: `lambda q: q` lets it shape the latents.
    """
    length = steps.reward.shape[0]
    over = jnp.cumsum(steps.last, 0) - steps.last  # boundaries before each step
    inside = (over == 0) & jnp.isfinite(steps.extras)
    weight = steps.weight * inside
    end = jnp.clip((over == 0).sum(0) - 1, 0, length - 1)
    read = jnp.take_along_axis(net.posterior(params, steps), end[None, :, None], 0)[0]
    q = jax.nn.softmax(read)  # [B, K]
    # Policies of all latents, at every step of the window.
    spread = lambda x: jnp.broadcast_to(x, (*steps.reward.shape, hp.latents, *x.shape[3:]))
    each = steps._replace(
        action=spread(steps.action[:, :, None]), reward=spread(steps.reward[..., None])
    )
    cloned = cloning_loss(net.policy(params, steps.obs), each, loss=hp.loss)
    total = jnp.maximum(weight.sum(), 1e-8)
    policy = (weight[..., None] * q * cloned).sum() / total
    # What is worth how much, and how often it follows, at the first step.
    first = jax.tree.map(lambda x: x[0], steps)
    known = (weight[0] / jnp.maximum(weight[0].sum(), 1e-8))[:, None]
    aim = jnp.asarray(jnp.where(inside[0], first.extras, 0.0)) / hp.return_scale
    error = 0.5 * jnp.square(net.value(params, first.obs) - jnp.expand_dims(aim, 1))
    value = (known * detached(q) * error).sum()
    follows = jax.nn.log_softmax(net.prior(params, first.obs))
    prior = -(known * fixed(q) * follows).sum()
    # Information on rewards and successors beyond state and action.
    gap = _gap(net, hp.negatives, params, steps, key)
    information = (weight[..., None] * q * fixed(gap)).sum() / total
    learnt = (weight[..., None] * fixed(q) * gap).sum() / total
    loss = policy + value + prior + hp.constraint * information - learnt
    metrics = {"policy_loss": policy, "value_loss": value, "prior_loss": prior}
    return loss, metrics | {"information": information}


def _gap(net: Latents, number: int, params: Tree, steps: Transition, key: Key) -> Array:
    """f - log mean exp f' [L, B, K]: f' has the rewards and successors of `number` other steps."""
    count = steps.reward.size
    place = jnp.arange(count).reshape(steps.reward.shape)
    turns = jax.random.randint(key, (number, *steps.reward.shape), 0, count)
    pick = lambda x, at: x.reshape(count, *x.shape[2:])[at]

    def against(turn: Array) -> Array:
        at = (place + turn) % count
        other = steps._replace(
            reward=pick(steps.reward, at), final=jax.tree.map(lambda x: pick(x, at), steps.final)
        )
        return net.energy(params, other)

    others = jax.vmap(against)(turns)
    return net.energy(params, steps) - jax.nn.logsumexp(others, 0) + jnp.log(number)


def doc(
    spec: Spec,
    hp: Hyperparameters,
    *,
    optimiser: optax.GradientTransformation | None = None,
    detached: Callable[[Array], Array] = fixed,
) -> Agent:
    """Cloning conditioned on latents of the future, of which the best is acted on at each step.

    Actions are discrete, or continuous ones in [-1, 1]. Only a data set teaches it. The loss is
    `objective`, to which `detached` belongs; `optimiser` takes the place of what `hp` describes.
    Raises an InputError as `bc` does.
    """
    check(spec, hp)
    net = latents(shown(spec, hp.normalise_observations), hp)
    choose = partial(best, net, hp.rarest)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        return objective(net, hp, params, batch, key, detached)

    def act(sampled: bool, view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        policies, latent = net.policy(view.params, obs), choose(view.params, obs)
        drawn: Any = policies.sample(seed=key) if sampled else policies.mode()
        index = latent.reshape(*latent.shape, *(1,) * (drawn.ndim - latent.ndim))
        chosen = jnp.take_along_axis(drawn, index, latent.ndim)
        return within(jnp.squeeze(chosen, latent.ndim)), ()

    share = partial(bc.best_episodes, share=hp.best_share)

    def remember(update: Update) -> Update:
        known = lambda data: returns_to_go(share(data) if hp.best_share < 1 else data)
        later = lambda steps: weightless(steps._replace(extras=jnp.zeros_like(steps.reward)))
        return enriched(replayed(update, hp, hp.sequence_length), known, later)

    update = descend(net.init, loss, optimiser_for(hp, optimiser))
    actors = memoryless(partial(act, True)), memoryless(partial(act, False))
    return replaying(Agent(*actors, update), spec, remember, hp.normalise_observations)


def returns_to_go(data: Transition) -> Transition:
    """The data set [T, B, ...] with the sum of rewards to the end of the episode as `extras`."""
    one, none = jnp.ones_like(data.reward), jnp.zeros_like(data.reward)
    total = returns.lambda_returns(data.reward, one, data.last, none, 1.0)
    return data._replace(extras=total)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    bc.check(spec, hp)
    require_known("policy", hp.policy, POLICIES)
    require(hp.latents > 1, f"doc needs at least 2 latents, but it has {hp.latents}.")
    require_buffer(hp, hp.sequence_length)
