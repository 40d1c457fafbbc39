"""Simulated judges of pairs of segments, and annotators that are slow or answer only so often.

    judge = mistaken(indifferent(boltzmann(partial_return(), 0.5), partial_return(), 0.1), 0.1)

prefers segments by their returns with noise, calls near returns equal, and errs in a tenth of the
answers. Source of the kinds of mistakes: Lee et al. (2021), "B-Pref: benchmarking preference-based
reinforcement learning", https://arxiv.org/abs/2111.03026.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import (
    require,
    require_fraction,
    require_non_negative,
    require_positive,
    require_values,
)
from jaxrl.rewards.segments import Comparisons, Score
from jaxrl.rewards.shaping import lexicographic
from jaxrl.types import Array, Counter, Key, Transition, Tree, count


class Verdict(NamedTuple):
    """What a judge says of N pairs."""

    label: Array  # [N] chance that the first is preferred: 1, 0, or 1/2 where neither is
    weight: Array  # [N] 0 where the judge does not answer


Judge = Callable[[Key, Transition, Transition], Verdict]
"""(key, first segments [L, N, ...], second ones) -> the verdict on each pair."""


def answered(label: Array) -> Verdict:
    """A verdict with an answer to every pair."""
    return Verdict(label, jnp.ones_like(label))


def rational(score: Score) -> Judge:
    """Prefer the segment of the higher score, always; equal scores have the label 1/2."""

    def judge(key: Key, first: Transition, second: Transition) -> Verdict:
        difference = score(first) - score(second)
        return answered((1 + jnp.sign(difference)) / 2)

    return judge


def boltzmann(score: Score, temperature: float | Array = 1.0, sampled: bool = True) -> Judge:
    """Prefer the first with probability sigmoid((score(first) - score(second)) / temperature).

    Unless `sampled`, the labels are these probabilities themselves. Raises an InputError unless
    the temperature is above zero: without noise the judge is `rational`.
    """
    require_positive(temperature=temperature)

    def judge(key: Key, first: Transition, second: Transition) -> Verdict:
        chance = jax.nn.sigmoid((score(first) - score(second)) / temperature)
        if sampled:
            chance = (jax.random.uniform(key, chance.shape) < chance).astype(chance.dtype)
        return answered(chance)

    return judge


def hierarchical(factors: Score, margins: Array | float = 0.0, relative: bool = False) -> Judge:
    """Prefer by the first factor [N, K] that differs by more than its margin [K]; else no answer.

    With `relative`, margins are multiples of each factor's standard deviation over the segments,
    so that the units of factors do not matter. Source: see `lexicographic`.
    """

    def judge(key: Key, first: Transition, second: Transition) -> Verdict:
        one, other = factors(first), factors(second)
        width = jnp.concatenate([one, other]).std(0) if relative else 1.0
        better = lexicographic(one, other, margins * width)
        return Verdict((1 + better) / 2, jnp.abs(better))

    return judge


def cyclic(kind: Callable[[Transition], Array], chances: Array) -> Judge:
    """Prefer the first with probability chances[kind(first), kind(second)], for kinds [N] int.

    Preferences [K, K] need not be transitive, and then no score explains them. Raises an InputError
    unless chances [i, j] and [j, i] sum to one.
    """
    opposite = lambda x: np.isclose(x + x.T, 1.0, atol=1e-5)
    require_values(opposite, "sum to one with those of the opposite order", chances=chances)

    def judge(key: Key, first: Transition, second: Transition) -> Verdict:
        chance = chances[kind(first), kind(second)]
        return answered((jax.random.uniform(key, chance.shape) < chance).astype(chance.dtype))

    return judge


def mistaken(judge: Judge, rate: float | Array) -> Judge:
    """Say the opposite with probability `rate`, independently for each pair.

    A score that is fitted to such labels says logit((1 - rate) p + rate (1 - p)) where the true one
    says logit(p).
    """
    require_fraction(rate=rate)

    def judged(key: Key, first: Transition, second: Transition) -> Verdict:
        k_judge, k_err = jax.random.split(key)
        label, weight = judge(k_judge, first, second)
        errs = jax.random.uniform(k_err, label.shape) < rate
        return Verdict(jnp.where(errs, 1 - label, label), weight)

    return judged


def indifferent(judge: Judge, score: Score, band: float | Array) -> Judge:
    """Call segments equal, by the label 1/2, whose scores differ by at most `band`."""
    require_non_negative(band=band)

    def judged(key: Key, first: Transition, second: Transition) -> Verdict:
        label, weight = judge(key, first, second)
        near = jnp.abs(score(first) - score(second)) <= band
        return Verdict(jnp.where(near, 0.5, label), weight)

    return judged


def abstaining(judge: Judge, score: Score, least: float | Array) -> Judge:
    """Do not answer where neither segment has a score of at least `least`."""

    def judged(key: Key, first: Transition, second: Transition) -> Verdict:
        label, weight = judge(key, first, second)
        shows = jnp.maximum(score(first), score(second)) >= least
        return Verdict(label, weight * shows)

    return judged


def users(judges: Sequence[Judge], shares: Sequence[float] | None = None) -> Judge:
    """A crowd: each pair is judged by one of several judges, drawn with probabilities `shares`.

    Raises an InputError unless there is a share for each judge.
    """
    own = jnp.ones(len(judges)) if shares is None else jnp.asarray(shares, float)
    require(
        len(judges) > 0 and own.shape == (len(judges),),
        f"A crowd needs a share for each judge, but there are {own.shape[0]} for {len(judges)}.",
    )

    def judged(key: Key, first: Transition, second: Transition) -> Verdict:
        k_who, *keys = jax.random.split(key, len(judges) + 1)
        found = [judge(k, first, second) for judge, k in zip(judges, keys)]
        who = jax.random.categorical(k_who, jnp.log(own), shape=found[0].label.shape)
        pick = lambda *x: jnp.take_along_axis(jnp.stack(x), who[None], 0)[0]
        return jax.tree.map(pick, *found)

    return judged


class Annotator(NamedTuple):
    """A judge with a memory, such as of how many labels are left."""

    init: Callable[[Transition], Tree]  # from an example of segments [L, N, ...]
    ask: Callable[[Tree, Key, Transition, Transition], tuple[Tree, Comparisons]]


def annotator(judge: Judge) -> Annotator:
    """The annotator that answers at once, and as often as it is asked."""

    def ask(
        state: Tree, key: Key, first: Transition, second: Transition
    ) -> tuple[Tree, Comparisons]:
        return state, Comparisons(first, second, *judge(key, first, second))

    return Annotator(lambda example: (), ask)


def budgeted(annotator: Annotator, labels: int | Array) -> Annotator:
    """Answer at most `labels` times in all; abstentions do not count, and later pairs have none.

    The state ends with the number [] of labels that are left. Raises an InputError for a negative
    number.
    """
    require_non_negative(labels=labels)

    def init(example: Transition) -> tuple[Tree, Array]:
        return annotator.init(example), jnp.asarray(labels, jnp.int32)

    def ask(
        state: tuple[Tree, Array], key: Key, first: Transition, second: Transition
    ) -> tuple[tuple[Tree, Array], Comparisons]:
        inner, left = state
        inner, found = annotator.ask(inner, key, first, second)
        answers = (found.weight > 0).astype(jnp.int32)
        granted = jnp.cumsum(answers) <= left
        left = jnp.maximum(left - answers.sum(), 0)
        return (inner, left), found._replace(weight=found.weight * granted)

    return Annotator(init, ask)


class Waiting(NamedTuple):
    """The comparisons that an annotator has yet to return."""

    inner: Tree
    queue: Comparisons  # [rounds, ...]
    place: Counter


def delayed(annotator: Annotator, rounds: int) -> Annotator:
    """Return the answers to pairs that were asked `rounds` calls before; at first there are none.

    Raises an InputError unless `rounds` is above zero.
    """
    require_positive(rounds=rounds)

    def init(example: Transition) -> Waiting:
        number = example.reward.shape[1]
        blank = Comparisons(example, example, jnp.zeros(number), jnp.zeros(number))
        zeros = lambda x: jnp.zeros((rounds, *x.shape), x.dtype)
        return Waiting(annotator.init(example), jax.tree.map(zeros, blank), count())

    def ask(
        state: Waiting, key: Key, first: Transition, second: Transition
    ) -> tuple[Waiting, Comparisons]:
        inner, new = annotator.ask(state.inner, key, first, second)
        at = state.place.value
        found = jax.tree.map(lambda queue: queue[at], state.queue)
        queue = jax.tree.map(lambda queue, x: queue.at[at].set(x), state.queue, new)
        return Waiting(inner, queue, Counter((at + 1) % rounds)), found

    return Annotator(init, ask)
