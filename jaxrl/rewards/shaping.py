"""Transforms of rewards that leave the task what it is, and others that bound or replace them.

The same transforms of exact processes, and what they leave unchanged, are in `jaxrl.dp.rewards`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.conditioned import Condition
from jaxrl.environments import composed, trial_of
from jaxrl.errors import require, require_positive
from jaxrl.types import Array, Env, Key, TimeStep, Tree, Trial


class Gold(NamedTuple):
    """What learners of an environment that pays a proxy are told: its own reward."""

    reward: Any  # [...]
    signals: Tree  # of the environment itself


def shaped(env: Env, potential: Callable[[Tree], Array], gamma: float | Array) -> Env:
    """Add gamma d Phi(s') - Phi(s) to the rewards of one lane, for a potential Phi of observations.

    d is the discount of the step, so that the potential of a terminal state counts as 0; that of a
    state in which an episode is truncated counts. With the agent's discount factor as `gamma`, the
    returns of all policies from a state change by -Phi(s), and the best policies stay the best.
    Agents are still evaluated by the rewards of the environment. Source: Ng, Harada and Russell
    (1999), "Policy invariance under reward transformations".
    """

    def pays(obs: Tree, action: Array, ts: TimeStep) -> Array:
        return ts.reward + gamma * ts.discount * potential(ts.final) - potential(obs)

    return _repaid(env, pays)


def rewarded_by(env: Env, reward: Callable[[Tree, Tree, Tree], Array]) -> Env:
    """One lane that pays `reward(obs, action, final)` [] instead, such as a learnt reward.

    Learners are told the environment's own reward as the signal `Gold`, and agents are evaluated by
    it. With a proxy that errs it shows how far optimising one raises the other.
    """

    def pays(obs: Tree, action: Array, ts: TimeStep) -> Array:
        return reward(obs, action, ts.final)

    return _repaid(env, pays, tells=True)


def _repaid(env: Env, pays: Callable[[Tree, Array, TimeStep], Array], tells: bool = False) -> Env:
    """One lane whose steps pay `pays(obs, action, step)`, and which is evaluated by its own."""
    require(
        env.spec.players == 1,
        "Rewards are transformed in environments of one player, but here two take turns.",
    )

    def told(ts: TimeStep, gold: Array) -> TimeStep:
        return ts._replace(signals=Gold(gold, ts.signals)) if tells else ts

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = own.init(key)
        return state, told(ts, ts.reward)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        new, ts = own.step(state, action, key)
        paid = jnp.asarray(pays(state[1], action, ts), jnp.float32)
        return new, told(ts._replace(reward=paid), ts.reward)

    own, spec = observing(env), env.spec
    trial = trial_of(env)
    within = trial.within
    judged = Trial(observing(trial.env), lambda state: (within(state[0]), state[1]))
    if tells:
        signals = Gold(jax.ShapeDtypeStruct((), jnp.float32), spec.signals)
        spec = spec._replace(signals=signals)
    return env._replace(init=init, step=step, spec=spec, trial=judged)


def observing(env: Env) -> Env:
    """The same environment, whose state is (its own state, the observation that it shows)."""

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return (state, ts.obs), ts

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, ts = env.step(state[0], action, key)
        return (inner, ts.obs), ts

    return env._replace(init=init, step=step)


def marginal_gains(
    items: int,
    found: Callable[[Array, TimeStep], Array],
    value: Callable[[Array], Array],
    weight: float | Array = 1.0,
) -> Condition:
    """The condition of an environment that also pays the marginal gains of a set function.

        reward + weight (value(set after the step) - value(set before it))

    `found(action, step)` [items] bool says which items a step adds to the set of the episode, and
    `value` maps a set [..., items] bool to a number [...]. The gains of an episode add up to
    weight (value(last set) - value(none)), whatever the order. `jaxrl.conditioned.conditioned`
    makes the environment, which shows the set, and `unseen` hides it. Source: Prajapat et al.
    (2024), "Submodular reinforcement learning", https://arxiv.org/abs/2307.13372.
    """
    require_positive(items=items)

    def after(context: Array, action: Array, step: TimeStep) -> Array:
        return context | found(action, step)

    def judge(context: Array, action: Array, step: TimeStep) -> TimeStep:
        gain = value(context | found(action, step)) - value(context)
        return step._replace(reward=step.reward + weight * gain)

    shape = jax.ShapeDtypeStruct((items,), jnp.bool_)
    return Condition(shape, lambda key, obs: jnp.zeros(items, bool), after, judge)


def bonus_once(
    options: int, ended: Callable[[Array, TimeStep], Array], bonus: float | Array
) -> Condition:
    """The condition of an environment that pays a bonus where an option ends, once an episode.

    r + c 1[the option ended with this step, for the first time in the episode], for each of the
    options [options] that `ended(action, step)` judges. A bonus at each end could be earned for
    ever by going back and forth; this one is at most options c. These are `marginal_gains` of the
    number of options that have ended. Source: Pignatelli et al. (2024), "Assessing the zero-shot
    capabilities of LLMs for action evaluation in RL", https://arxiv.org/abs/2409.12798.
    """
    return marginal_gains(options, ended, lambda done: done.sum(-1).astype(jnp.float32), bonus)


def unseen(env: Env) -> Env:
    """An environment made by `jaxrl.conditioned.conditioned` that does not show the context."""
    show = lambda ts: ts._replace(obs=ts.obs.obs, final=ts.final.obs)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return state, show(ts)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.step(state, action, key)
        return state, show(ts)

    spec = env.spec
    mask = composed(spec.mask, lambda obs: spec.observation._replace(obs=obs, context=()))
    spec = spec._replace(observation=spec.observation.obs, mask=mask)
    return env._replace(init=init, step=step, spec=spec)


def capped(reward: Array, threshold: float | Array) -> Array:
    """The rewards min(r - threshold, 0) [...]: no step is worth more than to end.

    Steps that are good enough pay nothing, so that a return is never raised by taking more of them.
    Source: the mechanism "Clip" of Gao et al. (2024), https://arxiv.org/abs/2410.15115.
    """
    return jnp.minimum(reward - threshold, 0.0)


def differenced(reward: Array, last: Array) -> Array:
    """The differences r_t - r_{t+1} [T, ...] of the scores of steps within an episode.

    Where `last` [T, ...] ends the episode, and at the end of the data, the score itself is left.
    The undiscounted return from a step on is the score of that step, however many steps follow, so
    that repeating a step that scores well gains nothing. Source: the mechanism "Delta" of Gao et
    al. (2024), https://arxiv.org/abs/2410.15115.
    """
    following = jnp.concatenate([reward[1:], jnp.zeros_like(reward[:1])])
    return reward - jnp.where(last, 0.0, following)


def relative_to(
    reward: Array, reference: Array, scale: float | Array = 1.0, logarithmic: bool = False
) -> Array:
    """The mean over references [..., M] of sigmoid(scale (r - reference)) [...], of rewards [...].

    It is the chance, in the model of Bradley and Terry, that the reward is preferred to that of a
    reference: in (0, 1), steepest near the references and flat far above them. With `logarithmic`
    it is the mean log sigmoid, which is below 0 and falls linearly far below the references.
    Source: Fu et al. (2025), "Reward shaping to mitigate reward hacking in RLHF",
    https://arxiv.org/abs/2502.18770.
    """
    margin = scale * (reward[..., None] - reference)
    each = jax.nn.log_sigmoid(margin) if logarithmic else jax.nn.sigmoid(margin)
    return each.mean(-1)


def lexicographic(first: Array, second: Array, margins: Array | float = 0.0) -> Array:
    """Which of two vectors [..., K] is better in the order of importance: 1, -1, or 0 [...].

    The first entry whose difference exceeds its margin [K] decides; where none does, it is 0.
    Scaling an entry and its margin changes nothing. With margins the order is not transitive.
    With a reference as the second vector it is a reward. Source: Bukharin et al. (2024), "Deep
    reinforcement learning from hierarchical preference design", https://arxiv.org/abs/2309.02632.
    """
    difference = first - second
    decides = jnp.abs(difference) > margins
    earliest = decides & (jnp.cumsum(decides, -1) == 1)
    return jnp.where(earliest, jnp.sign(difference), 0.0).sum(-1)
