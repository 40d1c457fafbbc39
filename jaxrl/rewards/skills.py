"""Skills: behaviours that are told apart, or that go far apart, without a reward.

A skill z is drawn for each episode and shown with the observation, and what a step pays under it is
learnt. Source: Eysenbach et al. (2019), "Diversity is all you need", https://arxiv.org/abs/1802.06070
(DIAYN); Park, Rybkin and Levine (2024), "METRA: scalable unsupervised RL with metric-aware
abstraction", https://arxiv.org/abs/2310.08887.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl import networks
from jaxrl.conditioned import Condition, constant
from jaxrl.errors import require, require_known
from jaxrl.fields import POSITIVE, group, number, static
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import descend, imagined, without_context

fixed = jax.lax.stop_gradient

KINDS = ("metra", "diayn", "none")


@group
class Skills:
    """The skills that are learnt, and what they are paid."""

    kind: str = static("metra")
    """What a skill is paid: metra, for going far in a direction of its own; diayn, for being told
    apart from the others; or none."""
    skills: int = static(8, POSITIVE)
    """Number of discrete skills, or dimensions of continuous ones."""
    continuous: bool = static(False)
    """Draw skills uniformly from directions, instead of from a finite number of them."""
    slack: float = number(1e-3, POSITIVE)
    """Largest room below the constraint of METRA that counts, so that its multiplier falls slowly
    and grows fast."""
    multiplier: float = number(30.0, POSITIVE)
    """Initial multiplier of the constraint of METRA."""
    skill_rate: float = number(1e-3, POSITIVE)
    """Learning rate of the networks that pay skills."""
    centred: bool = static(True)
    """Pay discrete skills of METRA by directions that sum to zero."""


class SkillReward(NamedTuple):
    """What steps pay under skills, and how that is learnt."""

    init: Callable[[Key], Tree]
    pay: Callable[[Tree, Tree, Tree, Array], Array]  # (params, obs, final, skill [..., D]) -> [...]
    loss: Callable[[Tree, Tree, Transition, Key], tuple[Array, dict]]


def skill_condition(settings: Skills) -> Condition:
    """Skills [D] that are drawn for each episode: one-hot vectors, or directions of length 1."""
    size = settings.skills
    context: Any = jax.ShapeDtypeStruct((size,), jnp.float32)

    def init(key: Key, obs: Tree) -> Array:
        if settings.continuous:
            z = jax.random.normal(key, (size,), jnp.float32)
            return z / jnp.linalg.norm(z)
        return jax.nn.one_hot(jax.random.randint(key, (), 0, size), size, dtype=jnp.float32)

    return constant(context, init)


def directions(skill: Array, settings: Skills) -> Array:
    """The directions [..., D] of skills: those that are one-hot become (z - 1/D) D / (D - 1).

    These are as far from each other as possible. Source: the code of METRA,
    https://github.com/seohongpark/METRA.
    """
    if settings.continuous or not settings.centred or settings.skills == 1:
        return skill
    size = settings.skills
    return (skill - 1 / size) * size / (size - 1)


def told_apart(spec: Spec, settings: Skills, layers: Layers) -> SkillReward:
    """The reward of DIAYN, log q(z | s') + log D, for a discriminator q of D discrete skills.

    Its mean is a lower bound of the information that states have about skills, and log D if they
    never share a state. The constant makes it positive where q is better than chance.
    """
    net = networks.network(spec, (settings.skills,), (1.0,), **vars(layers))

    def likelihood(params: Tree, final: Tree, skill: Array) -> Array:
        logits = net.step(params, (), final)[0][0]
        return (skill * jax.nn.log_softmax(logits)).sum(-1)

    def pay(params: Tree, obs: Tree, final: Tree, skill: Array) -> Array:
        return likelihood(params, final, skill) + math.log(settings.skills)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        each = -likelihood(params, batch.final.obs, batch.final.context)
        return (batch.weight * each).mean(), {"skill_loss": each.mean()}

    return SkillReward(net.init, pay, loss)


def going_far(spec: Spec, settings: Skills, layers: Layers) -> SkillReward:
    """The reward of METRA, (phi(s') - phi(s))'z, for features that move at most 1 in a step.

    phi maximises the mean reward plus lambda times that of min(slack, 1 - |phi(s') - phi(s)|^2),
    and log lambda descends the latter mean, so that lambda grows while the constraint is violated.
    The return of an episode is (phi(s_T) - phi(s_0))'z: how far it leads in its direction, in
    steps. The released code divides the squared norm by the number of dimensions, which makes its
    constraint weaker.
    """
    net = networks.network(spec, (settings.skills,), (1.0,), **vars(layers))
    features = lambda params, obs: cast(Array, net.step(params["features"], (), obs)[0][0])

    def init(key: Key) -> Tree:
        start = jnp.log(jnp.asarray(settings.multiplier, float))
        return {"features": net.init(key), "log_multiplier": start}

    def pay(params: Tree, obs: Tree, final: Tree, skill: Array) -> Array:
        moved = features(params, final) - features(params, obs)
        return (moved * directions(skill, settings)).sum(-1)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        now, after = batch.obs, batch.final
        moved = features(params, after.obs) - features(params, now.obs)
        paid = (moved * directions(now.context, settings)).sum(-1)
        room = jnp.minimum(settings.slack, 1 - jnp.square(moved).sum(-1))
        return metra_loss(params["log_multiplier"], paid, room, batch.weight)

    return SkillReward(init, pay, loss)


def metra_loss(
    log_multiplier: Array, paid: Array, room: Array, weight: Array
) -> tuple[Array, dict]:
    """The loss [] of rewards [B] and of the room [B] that a constraint leaves, and its metrics.

    Rewards plus multiplier times room are maximised, and the logarithm of the multiplier descends
    the mean room: with the gradient of room itself, and not of the multiplier times it.
    """
    multiplier = jnp.exp(log_multiplier)
    mean = lambda x: (weight * x).mean()
    total = -mean(paid + fixed(multiplier) * room) + log_multiplier * fixed(mean(room))
    return total, {"skill_room": mean(room), "skill_multiplier": multiplier}


def unpaid(spec: Spec, settings: Skills, layers: Layers) -> SkillReward:
    """No reward, for comparison."""
    none = lambda params, obs, final, skill: jnp.zeros(skill.shape[:-1])
    loss = lambda params, target, batch, key: (jnp.zeros(()), {})
    return SkillReward(lambda key: {"none": jnp.zeros(())}, none, loss)


def skill_reward(spec: Spec, settings: Skills, layers: Layers = Layers()) -> SkillReward:
    """The reward that the settings describe, of observations `spec` without a skill.

    Raises an InputError for an unknown kind, or for one that does not take continuous skills.
    """
    require_known("kind", settings.kind, KINDS)
    require(
        settings.kind != "diayn" or not settings.continuous,
        "diayn tells discrete skills apart: leave continuous off, or choose metra.",
    )
    kinds = {"metra": going_far, "diayn": told_apart, "none": unpaid}
    return kinds[settings.kind](spec, settings, layers)


def paid_by_skills(update: Update, reward: SkillReward, rate: float | Array) -> Update:
    """Learn what skills pay from each batch [B, ...], and learn from what it pays for the batch.

    Observations are `jaxrl.conditioned.Conditioned` by the skill. This is
    `jaxrl.updates.imagined`, with a dream of no steps: no stored reward is ever an old one.
    """
    fit = without_context(descend(reward.init, reward.loss, optax.adam(rate)))

    def dream(view: Tree, learner: Tree, batch: Transition, key: Key) -> Transition:
        now, after = batch.obs, batch.final
        paid = reward.pay(view.params, now.obs, after.obs, now.context)
        return batch._replace(reward=paid)

    return imagined(update, fit, dream)
