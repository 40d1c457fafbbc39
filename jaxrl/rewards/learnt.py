"""Rewards that are learnt from preferences while an agent learns from them.

    model = reward_model(spec)
    learning = preference_learner(model, annotator(rational(partial_return())), Preferences())
    update = replay(rewarded(update, learning, model), rows, batch_size, length=16)

The replay keeps the environment's rewards, which a simulated judge looks at; whatever is learnt
from is labelled when it is sampled, so that no old label is ever learnt from.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.continuing import restarted
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.networks import flat
from jaxrl.rewards.judges import (
    Annotator,
    annotator,
    boltzmann,
    budgeted,
    indifferent,
    mistaken,
    rational,
)
from jaxrl.rewards.losses import LOSSES, preference_loss
from jaxrl.rewards.models import RewardModel, disagreement, preference_fitted, reward_model
from jaxrl.rewards.novelty import exploring
from jaxrl.rewards.segments import Comparisons, halves, partial_return, within_episode
from jaxrl.settings import Layers
from jaxrl.types import (
    Agent,
    Array,
    Counter,
    Key,
    Spec,
    Transition,
    Tree,
    Update,
    count,
)
from jaxrl.updates import imagined, n_step, replayed
from jaxrl.updates.gradient import Learner


@record
class Preferences:
    """How a reward is learnt from comparisons of segments while an agent learns."""

    labels: int = static(500, POSITIVE)
    """Comparisons that the judge answers in all."""
    queries: int = static(20, POSITIVE)
    """Comparisons in a round of questions."""
    period: int = static(200, POSITIVE)
    """Gradient steps of the agent between two rounds."""
    segment: int = static(16, POSITIVE)
    """Steps of a segment, or fewer where an episode ends."""
    exploration: int = static(0, NOT_NEGATIVE)
    """Gradient steps of the agent before the first round, in which it is paid for being far from
    other observations of the batch."""
    restart_critics: bool = static(False)
    """Let critics begin anew after the exploration, and keep the policy."""
    neighbours: int = static(5, POSITIVE)
    """Which of the nearest other observations that distance is to."""
    choice: str = static("disagreement")
    """Which of the sampled pairs are asked about: those of the largest disagreement between the
    members of the ensemble, or uniform."""
    members: int = static(3, POSITIVE)
    """Number of reward networks."""
    reduction: str = static("average")
    """Reduction of their rewards to one: average, minimum, or lower-confidence."""
    level: float = number(1.0, NOT_NEGATIVE)
    """Standard deviations over members that the lower-confidence reduction subtracts."""
    bound: float = number(1.0, POSITIVE)
    """Largest absolute value of a reward."""
    loss: str = static("bradley-terry")
    """Loss of a preference: bradley-terry, hinge or identity."""
    fits: int = static(100, POSITIVE)
    """Gradient steps of the reward networks after each round."""
    pairs: int = static(64, POSITIVE)
    """Comparisons in a batch of one of them."""
    rate: float = number(1e-3, POSITIVE)
    """Learning rate of the reward networks."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer of the reward networks."""
    noise: float = number(0.0, NOT_NEGATIVE)
    """Temperature of the simulated judge, in units of the return of a segment; 0 is without
    noise."""
    mistakes: float = number(0.0, FRACTION)
    """Probability that the judge says the opposite."""
    ties: float = number(0.0, NOT_NEGATIVE)
    """Difference of returns up to which the judge calls segments equal."""


class Asking(NamedTuple):
    """The state of a reward that is learnt, and of what was asked."""

    learner: Learner
    annotator: Tree
    answers: Comparisons  # leaves [rounds, ...], of queries pairs each
    calls: Counter
    asked: Counter  # rounds
    told: dict  # the metrics of the last round


def preference_learner(
    model: RewardModel,
    judge: Annotator,
    settings: Preferences,
    rounds: int | None = None,
) -> Update:
    """Learn a reward from batches (sequences [L, B, ...], view), by asking about pairs of them.

    At every `period`-th call, the B / 2 pairs of sequences, cut at the ends of episodes, are
    candidates; those whose order the members agree on least are shown to the annotator, and the
    networks are fitted to all answers so far; the first round is that of the first such call after
    the exploration. After `rounds` rounds, by default those in which the
    labels run out, the reward stays what it is. The view is the parameters. Source: Lee et al.
    (2021), "PEBBLE", https://arxiv.org/abs/2106.05091.
    Raises an InputError if settings do not fit each other.
    """
    check_preferences(settings)
    if rounds is None:
        rounds = max(settings.labels // settings.queries, 1)
    number = settings.queries
    fit = preference_fitted(model, preference_loss(settings.loss), optax.adam(settings.rate))
    # A judge may look at what the environment told, but not at what the actor reported.
    lean = lambda segments: segments._replace(extras=())

    def init(key: Key, example: Transition) -> Asking:
        one = jax.tree.map(
            lambda x: jnp.zeros((settings.segment, number, *x.shape[2:]), x.dtype), lean(example)
        )
        blank = Comparisons(one, one, jnp.zeros(number), jnp.zeros(number))
        answers = jax.tree.map(lambda x: jnp.zeros((rounds, *x.shape), x.dtype), blank)
        told = {"preference_loss": jnp.zeros(()), "preference_accuracy": jnp.zeros(())}
        learner = fit.init(key, example)
        return Asking(learner, judge.init(one), answers, count(), count(), told)

    def ask(state: Asking, batch: Transition, key: Key) -> Asking:
        k_choose, k_judge, k_fit = jax.random.split(key, 3)
        pairs = halves(within_episode(lean(batch)))
        doubt = disagreement(model, state.learner.params, *pairs)
        if settings.choice == "uniform":
            doubt = jax.random.uniform(k_choose, doubt.shape)
        index = jax.lax.top_k(doubt, number)[1]
        first, second = (jax.tree.map(lambda x: x[:, index], segments) for segments in pairs)
        memory, found = judge.ask(state.annotator, k_judge, first, second)
        at = state.asked.value
        answers = jax.tree.map(lambda old, new: old.at[at].set(new), state.answers, found)

        def one(learner: Learner, key: Key) -> tuple[Learner, dict]:
            k_row, k_column, k_learn = jax.random.split(key, 3)
            row = jax.random.randint(k_row, (settings.pairs,), 0, at + 1)
            column = jax.random.randint(k_column, (settings.pairs,), 0, number)
            return fit.apply(learner, drawn(answers, row, column), k_learn)

        keys = jax.random.split(k_fit, settings.fits)
        learner, seen = jax.lax.scan(one, state.learner, keys)
        told = {name: seen[name][-1] for name in state.told}
        return Asking(learner, memory, answers, state.calls, Counter(at + 1), told)

    def apply(state: Asking, batch: tuple[Transition, Tree], key: Key) -> tuple[Asking, dict]:
        length, size = batch[0].reward.shape
        require(
            length == settings.segment and size // 2 >= number,
            f"Segments of {settings.segment} steps and {number} queries need sequences of as many "
            f"steps and a batch_size of at least {2 * number}, not {length} and {size}.",
        )
        # Neither number depends on a key, so that under vmap only one branch is computed.
        due = (state.calls.value % settings.period == 0) & (state.asked.value < rounds)
        due &= state.calls.value >= settings.exploration
        state = jax.lax.cond(due, ask, lambda state, *_: state, state, batch[0], key)
        state = state._replace(calls=Counter(state.calls.value + 1))
        return state, state.told | {"labels": (state.answers.weight > 0).sum().astype(float)}

    return Update(init, apply, lambda state: state.learner.params)


def drawn(answers: Comparisons, row: Array, column: Array) -> Comparisons:
    """Some of the comparisons [n] of rounds, whose segments have leaves [rounds, L, queries, *]."""
    of = lambda x: jnp.moveaxis(x[row, :, column], 0, 1)
    first, second = (jax.tree.map(of, segments) for segments in (answers.first, answers.second))
    return Comparisons(first, second, answers.label[row, column], answers.weight[row, column])


def rewarded(
    update: Update, learning: Update, model: RewardModel, steps: int | None = None
) -> Update:
    """Learn a reward from each batch of sequences [L, B, ...], and learn from what it pays.

    The update sees the first step [B, ...] of each sequence, or the first `steps` [steps, B, ...].
    This is `jaxrl.updates.imagined`, with a dream of no steps.
    """

    def dream(params: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        head = jax.tree.map(lambda x: x[0] if steps is None else x[:steps], batch)
        return head._replace(reward=model.reward(params, head.obs, head.action))

    return imagined(update, learning, dream)


def preferring(
    make: Callable[..., Agent], settings: Preferences, judge: Annotator | None = None
) -> Callable[[Spec, Any], Agent]:
    """The constructor of the same agent, with a reward that is learnt from preferences.

    `make(spec, hp, schedule=...)` makes an agent that replays uniformly. The judge is the one that
    the settings describe, unless one is given. Agents are evaluated by the environment's rewards.
    Raises an InputError if the agent does not replay, or settings do not fit.
    """
    check_preferences(settings)
    require(
        "schedule" in inspect.signature(make).parameters,
        "Preferences are learnt by agents that replay, such as sac, td3, dqn, discrete-sac or iql.",
    )
    judge = simulated(settings) if judge is None else judge

    def made(spec: Spec, hp: Any) -> Agent:
        ensemble = values.Ensemble(settings.members, settings.reduction, level=settings.level)
        layers = Layers(hidden=tuple(settings.hidden))
        model = reward_model(spec, ensemble, layers, settings.bound)
        learning = preference_learner(model, judge, settings)

        def around(update: Update, length: int | None) -> Update:
            if settings.restart_critics:
                update = restarted(update, settings.exploration)
            if settings.exploration:
                seen = partial(flat, spec.observation)
                update = exploring(update, settings.exploration, settings.neighbours, seen)
            return rewarded(update, learning, model, length)

        def schedule(update: Update, hp: Any, length: int | None = None) -> Update:
            return replayed_sequences(update, around, hp, length, settings.segment, "Preferences")

        return make(spec, hp, schedule=schedule)

    return made


def replayed_sequences(
    update: Update,
    around: Callable[[Update, int | None], Update],
    hp: Any,
    length: int | None,
    steps: int,
    who: str,
) -> Update:
    """Replay sequences of `steps` steps to what `around(update, length)` makes of an update.

    The update learns from the first steps [length, B, ...] of each, or from its first [B, ...].
    Raises an InputError in the name of `who` if the replay is not uniform or sequences are short.
    """
    update, length = folding(update, hp, length, who)
    require(
        (length or 1) <= steps,
        f"n_step {length} must be at most the segment of {steps} steps.",
    )
    return replayed(around(update, length), hp, steps)


def folding(update: Update, hp: Any, length: int | None, who: str) -> tuple[Update, int | None]:
    """An update that folds steps if its agent leaves that to the schedule, and what it learns from.

    That is sequences of the length that is returned, or single steps if it is None. Raises an
    InputError in the name of `who` if the replay is not uniform.
    """
    require(
        not getattr(hp, "prioritised", False),
        f"{who} need a uniform replay: leave prioritised off.",
    )
    if length is None and hasattr(hp, "n_step"):
        return n_step(update, hp.discount), hp.n_step
    return update, length


def simulated(settings: Preferences) -> Annotator:
    """The annotator that settings describe: a judge of returns, its mistakes and its patience."""
    score = partial_return()
    judge = boltzmann(score, settings.noise) if settings.noise else rational(score)
    judge = mistaken(indifferent(judge, score, settings.ties), settings.mistakes)
    return budgeted(annotator(judge), settings.labels)


def check_preferences(settings: Preferences) -> None:
    """Raise an InputError if settings do not fit each other, or a name is unknown."""
    check_fields(settings)
    known = [name for name in LOSSES if name != "squared"]
    require(
        settings.loss in known,
        f"loss must be one of {', '.join(known)}, but it is {settings.loss!r}.",
    )
    require(
        settings.choice in ("disagreement", "uniform"),
        f"choice must be disagreement or uniform, but it is {settings.choice!r}.",
    )
    require(
        settings.choice == "uniform" or settings.members > 1,
        "One network cannot disagree with itself: set members above 1, or choice to uniform.",
    )
    require(
        settings.exploration > 0 or not settings.restart_critics,
        "Critics restart after an exploration: set exploration above 0, or leave restart_critics "
        "off.",
    )
    require(
        settings.queries <= settings.labels,
        f"queries {settings.queries} must be at most labels {settings.labels}.",
    )
