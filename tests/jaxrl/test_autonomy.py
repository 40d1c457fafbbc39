"""Tasks in turn and verdicts, each by a loop in numpy over what happened or by closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl.autonomy import Task, autonomous, by_verdict, classifier, misjudged
from jaxrl.environments import vectorize
from jaxrl.errors import InputError
from jaxrl.evaluation import evaluate
from jaxrl.rollouts import rollout
from jaxrl.settings import Layers
from tests.jaxrl.test_steering import line, policy_of


def test_tasks_follow_each_other_from_where_the_last_one_ended():
    """Right to 3, then left to 0, at one a step, against a loop; every fourth task resets."""
    tasks = [
        Task(lambda obs: -jnp.ones(()), lambda obs: obs[0] >= 3.0),
        Task(lambda obs: jnp.abs(obs[0]), lambda obs: obs[0] <= 0.0),
    ]
    env = autonomous(line(end=6.0), tasks, limit=3, turns=4)
    lanes = vectorize(env, 2)
    actor = policy_of(lambda obs: jnp.where(obs.context[:, :1] > 0, 1.0, -1.0))
    state, now = lanes.init(jax.random.key(0))
    _, data, _ = rollout(lanes, actor, None, (state, now, ()), jax.random.key(1), 40)
    for lane in range(2):
        place, task, elapsed, turns = float(now.obs.obs[lane, 0]), 0, 0, 0
        for t in range(40):
            row = jax.tree.map(lambda x, t=t, lane=lane: np.asarray(x[t, lane]), data)
            assert row.obs.context.argmax() == row.final.context.argmax() == task
            np.testing.assert_allclose(row.obs.obs[0], place, atol=1e-4)
            place += 1 - 2 * task
            solved = place >= 3 if task == 0 else place <= 0
            np.testing.assert_allclose(row.final.obs[0], place, atol=1e-4)
            np.testing.assert_allclose(row.reward, abs(place) if task else -1, atol=1e-4)
            elapsed += 1
            assert row.discount == (not solved) and row.last == (solved or elapsed == 3)
            if row.last:
                task, elapsed, turns = 1 - task, 0, turns + 1
                if turns == 4:
                    task, turns = 0, 0
                    place = float(data.obs.obs[t + 1, lane, 0]) if t < 39 else place
                    assert 0 <= place < 1
    with pytest.raises(InputError, match="at least two tasks, but it has 1"):
        autonomous(line(), tasks[:1], 3)


def test_a_classifier_errs_at_its_rates_and_the_truth_is_told():
    """On a line where every step beyond 3 succeeds: shares of 4000 steps, and who is judged how."""
    paid = line()
    succeed = lambda ts: ts._replace(reward=(ts.final[0] > 3).astype(jnp.float32))
    step = lambda state, action, key: (lambda x: (x[0], succeed(x[1])))(
        paid.step(state, action, key)
    )
    env = misjudged(paid._replace(step=step), 0.1, 0.3)
    lanes = vectorize(env, 1000)
    actor = policy_of(lambda obs: jnp.full_like(obs, 1.0))
    state, now = lanes.init(jax.random.key(0))
    _, data, _ = rollout(lanes, actor, None, (state, now, ()), jax.random.key(1), 8)
    true = np.asarray(data.signals.reward) > 0
    np.testing.assert_array_equal(true, data.final[..., 0] > 3)
    reward = np.asarray(data.reward)
    assert set(np.unique(reward)) == {0, 1}
    assert reward[~true].mean() == pytest.approx(0.1, abs=0.03)
    assert reward[true].mean() == pytest.approx(0.7, abs=0.03)
    score = evaluate(env.trial.env, actor, None, jax.random.key(3), 2, 8)
    assert (score.returns == 6).all()
    with pytest.raises(InputError, match="false_positive must lie between 0 and 1"):
        misjudged(paid, 1.5, 0.0)


def test_a_classifier_of_two_normal_distributions_has_the_slope_of_bayes_rule():
    """At +-1 with variance one, log p / (1 - p) = 2 x, whose loss is that of a loop in numpy."""
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    obs = (2 * labels - 1 + rng.normal(size=4000)).astype(np.float32)[:, None]
    model = classifier(line().spec, Layers(hidden=()))
    rule = optax.adam(0.05)

    @jax.jit
    def fit(key):
        def step(state, _):
            slope = jax.grad(lambda params: model.loss(params, obs, labels).mean())(state[0])
            change, opt = rule.update(slope, state[1])
            return (optax.apply_updates(state[0], change), opt), None

        first = model.init(key)
        params = jax.lax.scan(step, (first, rule.init(first)), None, 300)[0][0]
        return params, model.loss(params, obs, labels), model.probability(params, obs)

    params, loss, p = fit(jax.random.key(0))
    p = np.asarray(p, float)
    np.testing.assert_allclose(loss, -np.log(np.where(labels, p, 1 - p)), rtol=1e-3, atol=1e-5)
    logit = np.log(p / (1 - p))
    slope, offset = np.polyfit(obs[:, 0], logit, 1)
    assert abs(slope - 2) < 0.3 and abs(offset) < 0.2  # four standard errors
    # The task is paid and ends where the probability is above the threshold.
    task = by_verdict(lambda obs: model.probability(params, obs), 0.8)
    seen = jnp.linspace(-2, 2, 41)[:, None]
    wanted = np.asarray(model.probability(params, seen)) > 0.8
    np.testing.assert_array_equal(task.solved(seen), wanted)
    np.testing.assert_array_equal(task.reward(seen), wanted.astype(float))
    assert wanted.any() and not wanted.all()
