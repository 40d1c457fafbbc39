"""Tabular action values: Q-learning, Q(lambda), Sarsa(lambda), expected Sarsa.

They differ only in the target, see `TARGETS`; traces are forward views within a rollout. Source:
Sutton and Barto (2018), chapters 6 and 12.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl import returns, values
from jaxrl.action_values import ActionValues, annealed, epsilon_actors
from jaxrl.errors import require, require_known, require_table
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.policies import allowed, epsilon_greedy
from jaxrl.settings import Collection, EpsilonGreedy
from jaxrl.types import Agent, Array, Counter, Discrete, Env, Key, Spec, Transition, Update
from jaxrl.updates import Learner


@record
class Hyperparameters:
    """The hyperparameters of tabular agents; those that are not static can be swept by vmap."""

    learning_rate: float = number(0.5, POSITIVE)
    """Step size of the first update of a state-action pair."""
    decay_power: float = number(0.5, NOT_NEGATIVE)
    """Power of the number of updates of a pair by which its step size is divided."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    trace_decay: float = number(0.9, FRACTION)
    """Trace decay (lambda) of the returns."""
    initial_value: float = number(0.0)
    """Initial value of every pair; optimistic values make the agent explore."""
    target: str = static("watkins-q")
    """Target of the update: expected-sarsa, peng-q, sarsa or watkins-q."""
    exploration: EpsilonGreedy = EpsilonGreedy()
    """How actions are explored at random."""
    collection: Collection = Collection(num_envs=4, rollout_length=16)
    """How experience is collected."""


class Values(NamedTuple):
    """Action values along a rollout, those of forbidden actions being below all others."""

    now: Array  # [T, B, A] Q(S_t, .)
    following: Array  # [T, B, A] Q(S_{t+1}, .)
    expected: Array  # [T, B] the value of acting epsilon-greedily at S_{t+1}


Target = Callable[[Values, Transition, Array, float | Array], Array]
"""(values, batch, discounts, lambda) -> targets [T, B]."""


def expected_sarsa(q: Values, batch: Transition, discount: Array, lam: float | Array) -> Array:
    """Lambda-returns with the expected value of the policy's next action."""
    return returns.lambda_returns(batch.reward, discount, batch.last, q.expected, lam)


def sarsa(q: Values, batch: Transition, discount: Array, lam: float | Array) -> Array:
    """Lambda-returns with the value of the next action taken, or the expected one at an end."""
    action = jnp.concatenate([batch.action[1:], batch.action[-1:]])
    taken = jnp.take_along_axis(q.following, action[..., None], -1)[..., 0]
    unknown_next = batch.last.at[-1].set(True)
    value = jnp.where(unknown_next, q.expected, taken)
    return returns.lambda_returns(batch.reward, discount, batch.last, value, lam)


def peng_q(q: Values, batch: Transition, discount: Array, lam: float | Array) -> Array:
    """Lambda-returns with greedy values; Q-learning if lambda is 0."""
    return returns.peng_q_lambda(batch.reward, discount, batch.last, q.following, lam)


def watkins_q(q: Values, batch: Transition, discount: Array, lam: float | Array) -> Array:
    """Lambda-returns with greedy values, cut where an action was not greedy."""
    taken = jnp.take_along_axis(q.now, batch.action[..., None], -1)[..., 0]
    greedy = taken >= q.now.max(-1)
    return returns.watkins_q_lambda(batch.reward, discount, batch.last, q.following, greedy, lam)


TARGETS: dict[str, Target] = {
    "expected-sarsa": expected_sarsa,
    "peng-q": peng_q,
    "sarsa": sarsa,
    "watkins-q": watkins_q,
}


def tabular(spec: Spec, hp: Hyperparameters) -> Agent:
    """An agent with a table of action values [S, A], for one-hot observations [S].

    In an update each pair that was visited moves towards the mean of its targets, weighted by
    `Transition.weight`. Other vectors are not refused here, since a spec does not tell them from
    one-hot ones, but step sizes are then meaningless: see `world`. Raises an InputError if the
    hyperparameters do not fit, actions are continuous, or observations are not vectors.
    """
    check(spec, hp)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    shape, num = (*spec.observation.shape, spec.action.num), spec.action.num

    def init(key: Key) -> Array:
        return jnp.full(shape, hp.initial_value, float)

    outputs = lambda table, obs, key=None: (obs @ table)[..., None]
    q = ActionValues(init, outputs, values.scalar(), values.mean, partial(allowed, spec))

    def begin(key: Key, example: Transition) -> Learner:
        return Learner(
            init(key), (), jnp.zeros(shape, jnp.int32), Counter(jnp.zeros((), jnp.int32))
        )

    def apply(state: Learner, batch: Transition, key: Key) -> tuple[Learner, dict]:
        table, visits = state.params, state.opt
        now, following = q.scores(table, batch.obs), q.scores(table, batch.final)
        epsilon = annealed(hp.exploration, state.step)
        policy = epsilon_greedy(following, epsilon, q.allowed(batch.final))
        expected = (policy.probs * following).sum(-1)
        discount = hp.discount * batch.discount
        targets = TARGETS[hp.target](
            Values(now, following, expected), batch, discount, hp.trace_decay
        )
        action = jax.nn.one_hot(batch.action, num)
        error = targets - (now * action).sum(-1)
        at_pairs = lambda x: jnp.einsum("tbs,tba->sa", batch.obs, action * x[..., None])
        count = at_pairs(batch.weight)
        rate = hp.learning_rate / (1.0 + visits) ** hp.decay_power
        table = table + rate * at_pairs(batch.weight * error) / jnp.maximum(count, 1.0)
        metrics = {"loss": jnp.square(error).mean(), "td_error": jnp.abs(error).mean()}
        metrics |= {"value": now.max(-1).mean(), "target_value": targets.mean()}
        return Learner(table, (), visits + (count > 0), Counter(state.step + 1)), metrics

    update = Update(begin, apply, lambda state: state)
    return Agent(*epsilon_actors(q, hp.exploration), update)


def world(env: Env, hp: Any) -> Env:
    """The environment itself; an InputError if an initial observation is not one-hot."""
    with jax.ensure_compile_time_eval():
        obs = jax.tree.leaves(env.init(jax.random.key(0))[1].obs)
    if len(obs) == 1 and not isinstance(obs[0], Tracer):
        given = np.asarray(obs[0])
        one_hot = given.ndim == 1 and np.isin(given, (0, 1)).all() and given.sum() == 1
        require(
            bool(one_hot or given.ndim != 1),  # other shapes are refused by the spec
            "A table needs one-hot observations, as of chain, gridworld or FrozenLake: try dqn.",
        )
    return env


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_table(spec)
    check_fields(hp)
    require_known("target", hp.target, TARGETS)
