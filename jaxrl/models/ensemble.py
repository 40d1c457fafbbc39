"""Models of ensembles: rules that choose one next state among the candidates of M members."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl import normalise
from jaxrl.models.dynamics import Dynamics, Prediction, View, in_units, predict
from jaxrl.models.model import Model
from jaxrl.networks import joined
from jaxrl.types import Array, Key, Spec, TimeStep, Tree, lanes


class Candidates(NamedTuple):
    """The outcome of a step that each member proposes."""

    final: Array  # [M, B, D]
    reward: Array  # [M, B]
    discount: Array  # [M, B] 0 or 1


class Choice(NamedTuple):
    """A rule that makes one outcome [B, ...] from the candidates [M, B, ...] of a step."""

    init: Callable[[int, Array, Key], Tree]  # (B, elite [M], key) -> memory
    pick: Callable[[Tree, tuple[Tree, Array], Candidates, Array, Key], tuple[Candidates, dict]]
    # pick: (memory, (obs, action), candidates, elite [M], key) -> (outcome [B, ...], info)


def ensemble_model(dynamics: Dynamics, view: View, choice: Choice, noise: bool = True) -> Model:
    """The model of an ensemble, by a choice among its members' candidates.

    Candidates are samples, or with `noise=False` the members' means. At each step `info` reports
    the uncertainty of the elite members: `disagreement`, the largest distance between two
    members' means (Kidambi et al. 2020, section 4), `deviation`, the root of the summed variances
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
    """The time step of an outcome [B, ...]; a `stop` [B] in the info truncates the rollout."""
    final = jax.tree.unflatten(jax.tree.structure(spec.observation), [out.final])
    last = (out.discount == 0) | info.get("stop", False)
    return TimeStep(final, out.reward, out.discount, last, final, info)


def dispersed(dynamics: Dynamics, view: View, elites: int, noise: bool = True) -> Model:
    """The model of an ensemble in which each lane evaluates one random elite member only.

    It is `ensemble_model` with `random_member()` at the cost of one network, whatever the number
    of members, but without measures of uncertainty. `elites` is the number of elite members. Each
    lane's member is uniformly random and redrawn at each step; neighbouring lanes share it.
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
    """A sample of each member's prediction."""
    k_state, k_end = jax.random.split(key)
    x = seen.mean + seen.std * jax.random.normal(k_state, seen.mean.shape)
    alive = jax.random.bernoulli(k_end, seen.survival)
    return Candidates(x[..., :-1], x[..., -1], alive.astype(float))


def expected(seen: Prediction) -> Candidates:
    """The most likely outcome according to each member."""
    alive = (seen.survival >= 0.5).astype(float)
    return Candidates(seen.mean[..., :-1], seen.mean[..., -1], alive)


def uncertainty(seen: Prediction, elite: Array) -> dict:
    """Measures [B] of the uncertainty of the elite members; see `ensemble_model`."""
    mask = elite[:, None, None]
    # Members that are not elite may have diverged: zeros in their place cannot spread.
    mean, std = (jnp.where(mask, x, 0.0) for x in (seen.mean, seen.std))
    pairs = elite[:, None, None] & elite[None, :, None]
    apart = distance(jnp.where(pairs[..., None], mean[:, None] - mean[None], 0.0))
    centre = mean.sum(0) / elite.sum()
    spread = jnp.where(mask, mean - centre, 0.0) / jnp.sqrt(elite.sum())
    return {
        "disagreement": apart.max((0, 1)),
        "deviation": distance(jnp.moveaxis(spread, 0, -2).reshape(*spread.shape[1:-1], -1)),
        "aleatoric": distance(std).max(0),
    }


def distance(x: Array) -> Array:
    """The Euclidean norm [...] of vectors [..., D], with gradient zero (not NaN) at zero."""
    return optax.safe_norm(x, 0.0, axis=-1)


def draw_members(elite: Array, batch_size: int, key: Key) -> Array:
    """A random elite member [B] for each lane."""
    return jax.random.categorical(key, jnp.where(elite, 0.0, -jnp.inf), shape=(batch_size,))


def take(candidates: Candidates, member: Array) -> Candidates:
    """The candidates of one member [B] in each lane."""
    return jax.tree.map(lambda x: x[member, jnp.arange(member.shape[0])], candidates)


def random_member() -> Choice:
    """A new random elite member in each lane at each step. Source: Janner et al. (2019)."""

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        return take(candidates, draw_members(elite, candidates.reward.shape[1], key)), {}

    return Choice(lambda batch_size, elite, key: (), pick)


def trajectory_member() -> Choice:
    """One random elite member for each lane's whole rollout: TS-infinity of Chua et al. (2018)."""

    def init(batch_size: int, elite: Array, key: Key) -> Array:
        return draw_members(elite, batch_size, key)

    def pick(member: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        return take(candidates, member), {}

    return Choice(init, pick)


def average() -> Choice:
    """The mean over the elite; episodes end when the majority of members says so."""

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        def centre(x: Array) -> Array:
            mask = elite.reshape(-1, *(1,) * (x.ndim - 1))
            return jnp.where(mask, x, 0.0).sum(0) / elite.sum()

        mean = jax.tree.map(centre, candidates)
        return mean._replace(discount=(mean.discount >= 0.5).astype(float)), {}

    return Choice(lambda batch_size, elite, key: (), pick)


def median() -> Choice:
    """The median over the elite of each coordinate; episodes end by majority."""

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        def middle(x: Array) -> Array:
            mask = elite.reshape(-1, *(1,) * (x.ndim - 1))
            return jnp.nanmedian(jnp.where(mask, x, jnp.nan), 0)

        found = jax.tree.map(middle, candidates)
        return found._replace(discount=(found.discount >= 0.5).astype(float)), {}

    return Choice(lambda batch_size, elite, key: (), pick)


Score = Callable[..., Array]
"""(obs [B, D], action [B, *], successors [M, B, D]) -> scores [M, B] of their credibility."""


def best_scored(
    score: Score, stop_below: float | Array = -jnp.inf, temperature: float | Array = 0.0
) -> Choice:
    """The elite candidate of the highest score; rollouts are truncated where it is too low.

    With a `temperature`, candidates are drawn in proportion to exp(score / temperature). Rollouts
    are truncated where the score of the chosen candidate is below `stop_below`; a score that is
    not a number is the lowest. With one member and no such bound, nothing is changed. Source: the
    transition filter of Luo et al. (2024), section 4.2.
    """

    def pick(memory: Tree, where: tuple, candidates: Candidates, elite: Array, key: Key):
        found = score(*where, candidates.final)
        found = jnp.where(jnp.isnan(found), jnp.finfo(found.dtype).min, found)
        found = jnp.where(elite[:, None], found, -jnp.inf)
        noise = jax.random.gumbel(key, found.shape)
        member = (found + temperature * noise).argmax(0)
        chosen = jnp.take_along_axis(found, member[None], 0)[0]
        return take(candidates, member), {"score": chosen, "stop": chosen < stop_below}

    return Choice(lambda batch_size, elite, key: (), pick)
