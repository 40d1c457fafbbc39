"""What to believe of an ensemble: ways to make one next state of the candidates of M members."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import normalise
from jaxrl.models.dynamics import Dynamics, Prediction, View, in_units, predict
from jaxrl.models.model import Model
from jaxrl.networks import joined
from jaxrl.types import Array, Key, Spec, TimeStep, Tree, lanes


class Candidates(NamedTuple):
    """What each member proposes as the outcome of a step."""

    final: Array  # [M, B, D]
    reward: Array  # [M, B]
    discount: Array  # [M, B] 0 or 1


class Choice(NamedTuple):
    """A rule that makes one outcome [B, ...] of the candidates [M, B, ...] of a step."""

    init: Callable[[int, Array, Key], Tree]  # (B, elite [M], key) -> memory
    pick: Callable[[Tree, tuple[Tree, Array], Candidates, Array, Key], tuple[Candidates, dict]]
    # pick: (memory, (obs, action), candidates, elite [M], key) -> (outcome [B, ...], info)


def ensemble_model(dynamics: Dynamics, view: View, choice: Choice, noise: bool = True) -> Model:
    """The model that a dynamics with members makes, by a choice among their candidates.

    Candidates are samples, or with `noise=False` what members expect. `info` has, at each
    step, how far the elite disagree: `disagreement`, the largest distance between what two
    members expect (Kidambi et al. 2020, section 4), `deviation`, the root of the summed variances
    between members (Pathak et al. 2019), and `aleatoric`, the largest norm of a member's own
    deviation (Yu et al. 2020, equation 8). All are in the environment's units.
    """
    spec = dynamics.spec

    def enter(obs: Tree, key: Key) -> tuple:
        return obs, choice.init(lanes(obs), view.elite, key)

    def step(state: tuple, action: Array, key: Key) -> tuple[tuple, TimeStep]:
        obs, memory = state
        k_sample, k_pick = jax.random.split(key)
        seen = predict(dynamics, view, obs, action)
        candidates = sampled(seen, k_sample) if noise else expected(seen)
        out, info = choice.pick(memory, (obs, action), candidates, view.elite, k_pick)
        now = shown(spec, out, uncertainty(seen, view.elite) | info)
        return (now.final, memory), now

    return Model(enter, step, spec)


def shown(spec: Spec, out: Candidates, info: dict) -> TimeStep:
    """The time step of an outcome [B, ...]; a `stop` in the info ends it without a termination."""
    final = jax.tree.unflatten(jax.tree.structure(spec.observation), [out.final])
    last = (out.discount == 0) | info.pop("stop", jnp.zeros_like(out.discount) > 0)
    return TimeStep(final, out.reward, out.discount, last, final, info)


def dispersed(dynamics: Dynamics, view: View, elites: int, noise: bool = True) -> Model:
    """The model of an ensemble in which each lane asks one random elite member, and no other.

    As `ensemble_model` with `random_member()`, at the price of one network however many members
    there are; so it cannot tell how uncertain they are. `elites` is how many are believed. Each
    lane's member is uniformly random and new at each step, but lanes that are neighbours share it.
    """
    spec, scales = dynamics.spec, view.scales
    best = jnp.argsort(~view.elite)[:elites]
    params = jax.tree.map(lambda x: x[best], view.params)

    def step(obs: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_shift, k_sample = jax.random.split(key)
        count = lanes(action)
        group = -(-count // elites)  # lanes of a member, the last ones filled up
        shift = jax.random.randint(k_shift, (), 0, group * elites)
        x = normalise.standardise(scales.inputs, joined(spec, obs, action))
        x = jnp.roll(jnp.pad(x, ((0, group * elites - count), (0, 0))), shift, 0)
        found = dynamics.apply(params, x.reshape(elites, group, -1))
        merge = lambda y: jnp.roll(y.reshape(elites * group, *y.shape[2:]), -shift, 0)[:count]
        seen = in_units(spec, scales, obs, jax.tree.map(merge, found))
        now = shown(spec, sampled(seen, k_sample) if noise else expected(seen), {})
        return now.final, now

    return Model(lambda obs, key: obs, step, spec)


def sampled(seen: Prediction, key: Key) -> Candidates:
    """A draw of each member."""
    k_state, k_end = jax.random.split(key)
    x = seen.mean + seen.std * jax.random.normal(k_state, seen.mean.shape)
    alive = jax.random.bernoulli(k_end, seen.survival)
    return Candidates(x[..., :-1], x[..., -1], alive.astype(float))


def expected(seen: Prediction) -> Candidates:
    """What each member thinks most likely."""
    alive = (seen.survival >= 0.5).astype(float)
    return Candidates(seen.mean[..., :-1], seen.mean[..., -1], alive)


def uncertainty(seen: Prediction, elite: Array) -> dict:
    """Measures [B] of what the elite do not know, or not agree upon."""
    mask = elite[:, None, None]
    apart = jnp.linalg.norm(seen.mean[:, None] - seen.mean[None], axis=-1)
    pairs = elite[:, None, None] & elite[None, :, None]
    centre = (mask * seen.mean).sum(0) / elite.sum()
    spread = (mask * jnp.square(seen.mean - centre)).sum(0) / elite.sum()
    return {
        "disagreement": (pairs * apart).max((0, 1)),
        "deviation": jnp.sqrt(spread.sum(-1)),
        "aleatoric": (elite[:, None] * jnp.linalg.norm(seen.std, axis=-1)).max(0),
    }


def draw_members(elite: Array, batch_size: int, key: Key) -> Array:
    """A random elite member [B] for each lane."""
    return jax.random.categorical(key, jnp.where(elite, 0.0, -jnp.inf), shape=(batch_size,))


def take(candidates: Candidates, member: Array) -> Candidates:
    """The candidates of one member [B] in each lane."""
    return jax.tree.map(lambda x: x[member, jnp.arange(member.shape[0])], candidates)


def random_member() -> Choice:
    """Another random elite member in each lane at each step. Source: Janner et al. (2019)."""

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        return take(candidates, draw_members(elite, candidates.reward.shape[1], key)), {}

    return Choice(lambda batch_size, elite, key: (), pick)


def trajectory_member() -> Choice:
    """One random elite member for each lane's whole rollout: TS-infinity, Chua et al. (2018)."""

    def init(batch_size: int, elite: Array, key: Key) -> Array:
        return draw_members(elite, batch_size, key)

    def pick(member: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        return take(candidates, member), {}

    return Choice(init, pick)


def average() -> Choice:
    """The mean over the elite; episodes end when most say so."""

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        share = elite / elite.sum()
        mean = jax.tree.map(lambda x: jnp.tensordot(share, x, 1), candidates)
        return mean._replace(discount=(mean.discount >= 0.5).astype(float)), {}

    return Choice(lambda batch_size, elite, key: (), pick)


def median() -> Choice:
    """The median over the elite of each coordinate; episodes end when most say so."""

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        def middle(x: Array) -> Array:
            mask = elite.reshape(-1, *(1,) * (x.ndim - 1))
            return jnp.nanmedian(jnp.where(mask, x, jnp.nan), 0)

        found = jax.tree.map(middle, candidates)
        return found._replace(discount=(found.discount >= 0.5).astype(float)), {}

    return Choice(lambda batch_size, elite, key: (), pick)


Score = Callable[..., Array]
"""(obs [B, D], action [B, *], successors [M, B, D]) -> how credible they are [M, B]."""


def best_scored(
    score: Score, stop_below: float | Array = -jnp.inf, temperature: float | Array = 0.0
) -> Choice:
    """The most credible candidate of the elite, and an end where none is credible enough.

    With a `temperature`, candidates are drawn in proportion to exp(score / temperature). Rollouts
    are truncated where the score of what was chosen is below `stop_below`. With one member and no
    such bound, nothing is changed. Source: the transition filter of Luo et al. (2024), section 4.2.
    """

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        found = jnp.where(elite[:, None], score(*where, candidates.final), -jnp.inf)
        noise = jax.random.gumbel(key, found.shape)
        member = (found + temperature * noise).argmax(0)
        chosen = jnp.take_along_axis(found, member[None], 0)[0]
        return take(candidates, member), {"score": chosen, "stop": chosen < stop_below}

    return Choice(lambda batch_size, elite, key: (), pick)
