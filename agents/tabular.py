"""Tables of action values: Q-learning, Q(lambda), Sarsa(lambda), expected Sarsa.

They differ in the target alone, see `TARGETS`; traces are forward views within a rollout. Source:
Sutton and Barto (2018), chapters 6 and 12.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl import returns, values
from jaxrl.action_values import ActionValues, annealed, epsilon_actors
from jaxrl.errors import require_fraction, require_positive, require_table, unknown
from jaxrl.policies import epsilon_greedy
from jaxrl.types import Agent, Array, Discrete, Key, Spec, Transition, Update
from jaxrl.updates import Learner

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters:
    """What an agent with a table can be told; what is not static can be swept by vmap."""

    learning_rate: float = 0.5
    """Step size of a pair of state and action when it is first updated."""
    decay_power: float = 0.5
    """The step size falls with this power of a pair's number of updates; 0 keeps it constant."""
    discount: float = 0.99
    """Of rewards, per step."""
    trace_decay: float = 0.9
    """The lambda of the returns."""
    epsilon: float = 0.05
    """Probability of a random action, once exploration has settled."""
    epsilon_updates: float = 1_000.0
    """Updates over which epsilon falls from 1 to its final value."""
    initial_value: float = 0.0
    """Of every pair: high values make it explore."""
    num_envs: int = static(default=4)
    """Environments that run side by side."""
    rollout_length: int = static(default=16)
    """Steps in each environment between two updates; traces are no longer."""
    warmup: int = static(default=0)
    """Environment steps of random acting before learning."""
    target: str = static(default="watkins-q")
    """expected-sarsa, peng-q, sarsa or watkins-q."""


Target = Callable[[Array, Array, Array, Transition, Array, float | Array], Array]
"""(Q(S_t, .), Q(S_{t+1}, .), epsilon, batch, discounts, lambda) -> targets [T, B]."""


def expected(q: Array, epsilon: Array) -> Array:
    """The value [...] of acting epsilon-greedily on action values [..., A]."""
    return jnp.sum(epsilon_greedy(q, epsilon).probs * q, -1)


def expected_sarsa(
    q: Array, q_next: Array, epsilon: Array, batch: Transition, discount: Array, lam: float | Array
) -> Array:
    """Lambda-returns that expect the policy's next action."""
    return returns.lambda_returns(
        batch.reward, discount, batch.last, expected(q_next, epsilon), lam
    )


def sarsa(
    q: Array, q_next: Array, epsilon: Array, batch: Transition, discount: Array, lam: float | Array
) -> Array:
    """Lambda-returns with the action that came next, or where none did with what was expected."""
    action = jnp.concatenate([batch.action[1:], batch.action[-1:]])
    taken = jnp.take_along_axis(q_next, action[..., None], -1)[..., 0]
    unknown_next = batch.last.at[-1].set(True)
    value = jnp.where(unknown_next, expected(q_next, epsilon), taken)
    return returns.lambda_returns(batch.reward, discount, batch.last, value, lam)


def peng_q(
    q: Array, q_next: Array, epsilon: Array, batch: Transition, discount: Array, lam: float | Array
) -> Array:
    """Lambda-returns with greedy values; Q-learning if lambda is 0."""
    return returns.peng_q_lambda(batch.reward, discount, batch.last, q_next, lam)


def watkins_q(
    q: Array, q_next: Array, epsilon: Array, batch: Transition, discount: Array, lam: float | Array
) -> Array:
    """Lambda-returns with greedy values, cut where an action was not greedy."""
    taken = jnp.take_along_axis(q, batch.action[..., None], -1)[..., 0]
    greedy = taken >= q.max(-1)
    return returns.watkins_q_lambda(batch.reward, discount, batch.last, q_next, greedy, lam)


TARGETS: dict[str, Target] = {
    "expected-sarsa": expected_sarsa,
    "peng-q": peng_q,
    "sarsa": sarsa,
    "watkins-q": watkins_q,
}


def tabular(spec: Spec, hp: Hyperparameters) -> Agent:
    """An agent with a table of action values, for one-hot observations [S].

    Of other vectors it learns a linear function. In an update each pair that was visited moves to
    the mean of its targets. Raises an InputError if the hyperparameters do not fit, actions are
    continuous, or observations are no vectors.
    """
    check(spec, hp)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    shape, num = (*spec.observation.shape, spec.action.num), spec.action.num

    def init(key: Key) -> Array:
        return jnp.full(shape, hp.initial_value, float)

    outputs = lambda table, obs, key=None: (obs @ table)[..., None]
    q = ActionValues(init, outputs, values.scalar(), values.mean)

    def begin(key: Key, example: Transition) -> Learner:
        return Learner(init(key), (), jnp.zeros(shape, jnp.int32), jnp.zeros((), jnp.int32))

    def apply(state: Learner, batch: Transition, key: Key) -> tuple[Learner, dict]:
        table, visits = state.params, state.opt
        epsilon = annealed(hp.epsilon, hp.epsilon_updates, state.step)
        now, discount = batch.obs @ table, hp.discount * batch.discount
        goal = TARGETS[hp.target](
            now, batch.final @ table, epsilon, batch, discount, hp.trace_decay
        )
        action = jax.nn.one_hot(batch.action, num)
        error = goal - (now * action).sum(-1)
        at_pairs = lambda x: jnp.einsum("tbs,tba->sa", batch.obs, action * x[..., None])
        count = at_pairs(batch.weight)
        rate = hp.learning_rate / (1.0 + visits) ** hp.decay_power
        table = table + rate * at_pairs(batch.weight * error) / jnp.maximum(count, 1.0)
        metrics = {"loss": jnp.square(error).mean(), "value": now.max(-1).mean()}
        return Learner(table, (), visits + (count > 0), state.step + 1), metrics

    update = Update(begin, apply, lambda state: state)
    return Agent(*epsilon_actors(q, hp.epsilon, hp.epsilon_updates), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_table(spec)
    if hp.target not in TARGETS:
        raise unknown("target", hp.target, TARGETS)
    require_positive(learning_rate=hp.learning_rate, num_envs=hp.num_envs)
    require_positive(rollout_length=hp.rollout_length)
    require_fraction(discount=hp.discount, trace_decay=hp.trace_decay, epsilon=hp.epsilon)
