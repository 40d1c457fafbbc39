"""Environments without resets, and without a true reward: tasks in turn, classifiers that err.

- `autonomous`: tasks follow each other from where the last one ended, without resets.
- `misjudged`: a classifier that errs at given rates says what succeeded.
- `classifier`, `by_verdict`: a classifier that is fitted to labelled examples says it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.conditioned import Conditioned
from jaxrl.environments import composed, strong, trial_of
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.networks import network
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep, Tree, select


class Task(NamedTuple):
    """What is to be done from wherever one is."""

    reward: Callable[[Tree], Array]  # successor [*] -> []
    solved: Callable[[Tree], Array]  # successor [*] -> [] bool, which ends the task


class InTurn(NamedTuple):
    """The state of a lane that does tasks in turn."""

    inner: Tree
    task: Array  # [] int32
    elapsed: Array  # [] int32, steps of this task so far
    turns: Array  # [] int32, tasks since the last reset


def autonomous(env: Env, tasks: Sequence[Task], limit: int, turns: int = 0) -> Env:
    """A lane that does tasks in turn, each from where the one before has ended.

    A task ends where it is solved, which is a termination, or after `limit` steps, which is a
    truncation; then the next one begins in the same state. Observations are `Conditioned`: their
    context is the task, one-hot. Rewards are those of the task. The lane is reset where the
    environment itself ends, and after every `turns` tasks, if they are not 0. Since it goes on by
    itself, lanes are made of it by `vectorize` alone: `assemble(..., lanes=vectorize)`. It is
    evaluated in its first task, from a reset. Source of going forward and backward: Yang et al.
    (2023), "Robot fine-tuning made easy", https://arxiv.org/abs/2310.15145. Raises an InputError if
    there are fewer than two tasks.
    """
    require(len(tasks) > 1, f"autonomous needs at least two tasks, but it has {len(tasks)}.")
    require_positive(limit=limit)
    count, kind = len(tasks), jnp.result_type(float)

    def seen(obs: Tree, task: Array) -> Conditioned:
        return Conditioned(obs, jax.nn.one_hot(task, count, dtype=kind))

    def init(key: Key) -> tuple[InTurn, TimeStep]:
        state, ts = strong(env.init(key))
        zero = jnp.int32(0)
        shown = seen(ts.obs, zero)
        return InTurn(state, zero, zero, zero), ts._replace(obs=shown, final=shown)

    def step(state: InTurn, action: Array, key: Key) -> tuple[InTurn, TimeStep]:
        k_step, k_reset = jax.random.split(key)
        inner, ts = strong(env.step(state.inner, action, k_step))
        at = lambda rule: jnp.stack([jnp.asarray(rule(task)(ts.final)) for task in tasks])
        solved = at(lambda task: task.solved)[state.task].astype(bool)
        reward = at(lambda task: task.reward)[state.task].astype(jnp.float32)
        over = solved | (state.elapsed + 1 >= limit) | ts.last
        done = state.turns + over
        fresh, first = init(k_reset)
        renewed = ts.last | ((turns > 0) & over & (done >= max(turns, 1)))
        task = jnp.where(over, (state.task + 1) % count, state.task)
        on = InTurn(inner, task, jnp.where(over, 0, state.elapsed + 1), done)
        shown = ts._replace(
            obs=select(renewed, first.obs, seen(ts.obs, task)),
            final=seen(ts.final, state.task),
            reward=reward,
            discount=jnp.where(solved, 0.0, ts.discount),
            last=over,
        )
        return select(renewed, fresh, on), shown

    context = jax.ShapeDtypeStruct((count,), kind)
    spec = env.spec._replace(
        observation=Conditioned(env.spec.observation, context),
        mask=composed(env.spec.mask, lambda obs: obs.obs),
    )
    return Env(init, step, spec, trial=None)


class Judged(NamedTuple):
    """What learners are told beside a reward that may be wrong."""

    reward: Any  # [...] the true one
    signals: Tree  # of the environment itself


def misjudged(env: Env, false_positive: float | Array, false_negative: float | Array) -> Env:
    """An environment of one lane whose reward is the verdict of a classifier that errs.

    A step succeeds where its reward is above 0. A success is paid 1, or 0 with the rate of false
    negatives, and any other step 0, or 1 with the rate of false positives. Episodes end as they
    did, and the true reward is told in the signals, as `Judged`. Agents are evaluated by it.
    """
    require_fraction(false_positive=false_positive, false_negative=false_negative)

    def told(ts: TimeStep, paid: Array) -> TimeStep:
        return ts._replace(reward=paid, signals=Judged(ts.reward, ts.signals))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return state, told(ts, ts.reward)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_step, k_judge = jax.random.split(key)
        state, ts = env.step(state, action, k_step)
        success = ts.reward > 0
        wrong = jax.random.uniform(k_judge) < jnp.where(success, false_negative, false_positive)
        return state, told(ts, (success ^ wrong).astype(jnp.float32))

    number = jax.ShapeDtypeStruct((), jnp.float32)
    spec = env.spec._replace(signals=Judged(number, env.spec.signals))
    return env._replace(init=init, step=step, spec=spec, trial=trial_of(env))


class Classifier(NamedTuple):
    """A model of whether an observation shows a success."""

    init: Callable[[Key], Tree]
    loss: Callable[[Tree, Tree, Array], Array]  # (params, obs [N, *], labels [N]) -> [N]
    probability: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> [...]


def classifier(spec: Spec, layers: Layers = Layers(hidden=(64, 64))) -> Classifier:
    """A classifier of observations, to be fitted to examples with labels 0 and 1.

    The loss is the cross-entropy -y log p(s) - (1 - y) log(1 - p(s)). `spec` is that of the
    environment. Raises an InputError for layers that do not exist.
    """
    net = network(spec._replace(action=Discrete(1)), (1,), (0.01,), **vars(layers))
    logit = lambda params, obs: net.step(params, (), obs)[0][0][..., 0]

    def loss(params: Tree, obs: Tree, labels: Array) -> Array:
        return optax.sigmoid_binary_cross_entropy(logit(params, obs), jnp.asarray(labels, float))

    return Classifier(net.init, loss, lambda params, obs: jax.nn.sigmoid(logit(params, obs)))


def by_verdict(probability: Callable[[Tree], Array], threshold: float | Array = 0.5) -> Task:
    """The task that is paid 1, and ends, where a probability of success is above a threshold.

    So a robot that goes on by itself needs nobody to say what has succeeded. A low threshold pays
    where nothing has. Source: Yang et al. (2023), https://arxiv.org/abs/2310.15145, whose
    classifier is a large model that is fine-tuned to examples.
    """
    there = lambda obs: probability(obs) > threshold
    return Task(lambda obs: there(obs).astype(jnp.float32), there)
