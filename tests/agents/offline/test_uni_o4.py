"""Uni-O4: policies that are kept apart, what is approved, and PPO that goes on from it."""

from functools import partial
from types import SimpleNamespace

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline import uni_o4
from jaxrl import buffers, models
from jaxrl.continuing import Handed, inherited
from jaxrl.errors import InputError
from jaxrl.models.diagnostics import visited_value
from jaxrl.types import TimeStep, Transition, Update, memoryless
from jaxrl.updates import Learner
from jaxrl.updates.imagined import Imagined
from jaxrl.updates.offpolicy import Replay
from tests.agents.offline.logs import compiled, learner, one_step, spec_of


def test_divergence_from_the_likeliest_policy_has_a_gradient():
    """In numpy, of Gaussians at three places; with the likeliest one fixed, as in the paper.

    The maximum of log-densities alone, with its gradient stopped, as in the authors' code by
    default, would leave (1 + diversity) times the gradient of cloning: its means would not part.
    """
    mean, action = np.array([0.1, -0.2, 0.4]), np.array([0.3, -0.5, 0.2, 0.05])
    policy = lambda own, obs: distrax.Normal(own * jnp.ones_like(obs), 0.5)
    one = jnp.ones(4)
    batch = Transition(one, jnp.asarray(action, jnp.float32), one, one, one < 0, one, (), one)
    losses = lambda m: uni_o4.cloning_losses(policy, m, batch, 0.7)
    m = jnp.asarray(mean, jnp.float32)
    found, slope = losses(m), jax.grad(lambda m: losses(m).sum())(m)
    dense = -((action - mean[:, None]) ** 2) / 0.5 - np.log(0.5 * np.sqrt(2 * np.pi))
    first = mean[dense.argmax(0)]  # [B]
    apart = (mean[:, None] - first) ** 2 / 0.5
    np.testing.assert_allclose(found, (-dense - 0.7 * apart).mean(1), rtol=1e-4, atol=1e-5)
    wanted = ((mean[:, None] - action) - 0.7 * (mean[:, None] - first)) / 0.25
    np.testing.assert_allclose(slope, wanted.mean(1), rtol=1e-4, atol=1e-5)


def test_what_follows_a_termination_counts_as_nothing():
    """On a walk to the right that ends beyond 2, by hand; the mean over survivors would be more."""

    def step(state, action, key):
        state = state + action
        over = state > 2.0
        zero = jnp.zeros(len(over))
        done = 1.0 - over.astype(float)
        return state, TimeStep(state, zero, done, over, state, {})

    spec = spec_of(1, -1)._replace(observation=jax.ShapeDtypeStruct((), jnp.float32))
    model = models.Model(lambda obs, key: obs, step, spec)
    right = memoryless(lambda view, obs, key: (jnp.ones_like(obs), ()))
    value = lambda obs, action: 10.0 * obs + action
    starts = jnp.array([0.0, 2.0])
    found = visited_value(model, right, (), value, starts, jax.random.key(0), 4)
    # From 0 the steps are at 0, 1, 2, and from 2 the first one is the last.
    assert float(found) == pytest.approx((1.0 + 11.0 + 21.0 + 21.0) / 8)


def test_references_move_only_where_the_model_promises_more():
    """Each policy is a number and scores as much; a round of learning changes them by hand."""
    change = jnp.array([1.0, -1.0, 0.0])
    one = jnp.ones((4, 1))
    batch = Transition(one, one, one, one, one < 0, one, (), one)
    begun = Learner(jnp.array([1.0, 5.0, 4.0]), jnp.array([1.0, 5.0, 4.0]), (), SimpleNamespace())

    def init(key, example):
        return Replay(Imagined(begun, ()), buffers.init(example, 4))

    def apply(state, new, key):
        own = state.inner.inner
        own = own._replace(params=own.params + change)
        return state._replace(inner=state.inner._replace(inner=own)), {}

    seen = Update(lambda *_: (), None, lambda state: state)
    update = uni_o4.approved(Update(init, apply, None), seen, lambda views, own, *_: own, 2)
    state = update.init(jax.random.key(0), batch)
    state, told = update.apply(state, batch, jax.random.key(1))
    kept = state.inner.inner.inner
    np.testing.assert_array_equal(kept.target, [2.0, 5.0, 4.0])  # equal ones are not better
    np.testing.assert_array_equal(kept.params, [2.0, 4.0, 4.0])
    assert float(update.read(state).params) == 5.0 and float(told["score"]) == 5.0
    assert float(told["approved"]) == pytest.approx(1 / 3)


def test_policies_climb_from_the_data_and_ppo_goes_on_from_them():
    """Actions are near 0 and the reward falls with the distance to 1, where no data are.

    Cloning stays at 0. Steps are clipped and approved ones, so that the policy comes nearer to 1.
    """
    rng = np.random.default_rng(0)
    spec, size = spec_of(1, -1), 400
    action = np.clip(0.4 * rng.normal(size=size), -1, 1)[:, None]
    data = one_step(np.zeros(size, int), action, -np.abs(action[:, 0] - 1), spec)
    small = dict(
        batch_size=64, updates=20, learning_rate=3e-3, policies=2, members=1, elites=1,
        model_hidden=(), rollouts=16, horizon=1, target_rate=0.05, diversity=0.0,
    )  # fmt: skip
    agent, learn = learner("uni-o4", spec, data, **small)

    def train(key, cloning):
        view, _ = learn(key, 40, cloning_updates=cloning)
        return agent.exploit.step(view, (), jnp.ones((1, 1)), key)[0][0, 0]

    keys = jax.random.split(jax.random.key(0), 4)
    found = compiled(lambda key: jax.vmap(partial(train, key))(jnp.array([300.0, 1e6])))(keys)
    climbed, cloned = np.asarray(found).T
    np.testing.assert_allclose(cloned, 0.0, atol=0.15)
    assert climbed.min() > 0.4, climbed


def test_ppo_takes_over_the_best_policy_and_not_values_or_models():
    spec, small = spec_of(2, -1), dict(hidden=(4,))
    more = dict(members=1, elites=1, model_hidden=(4,), policies=2, warmup=1, buffer_size=4)
    base = uni_o4.uni_o4(spec, uni_o4.Hyperparameters(**small, **more))
    rollout = dict(num_envs=1, rollout_length=4, minibatches=1, normalise_rewards=False)
    new = AGENTS["ppo"].make(spec, AGENTS["ppo"].defaults.replace(**small, **rollout))
    step = one_step(np.zeros(1, int), np.zeros((1, 1)), np.zeros(1), spec)

    @jax.jit
    def both(key):
        old, fresh = (agent.update.init(key, step) for agent in (base, new))
        best = jax.tree.map(lambda x: x + 1.0, old.best.learner.params)
        old = old._replace(best=Handed(old.best.learner._replace(params=best)))
        return best, inherited(fresh, old).params, inherited(old, old).best.learner.params

    best, taken, same = both(jax.random.key(0))
    for other in (taken, same):
        jax.tree.map(np.testing.assert_array_equal, best, other)


def test_bad_input_is_one_sentence():
    entry, spec = AGENTS["uni-o4"], spec_of(2, -1)
    with pytest.raises(InputError, match="elites 9 must be at most members 5"):
        entry.make(spec, entry.defaults.replace(elites=9))
    wide = spec._replace(observation=jax.ShapeDtypeStruct((2, 2), jnp.float32))
    with pytest.raises(InputError, match="observations that are one vector"):
        entry.make(wide, entry.defaults)
