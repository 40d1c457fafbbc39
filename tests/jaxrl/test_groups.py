"""Groups of lanes with a shared start, and the baselines of their members."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.errors import InputError
from jaxrl.groups import (
    by_group,
    compared,
    grouped,
    leave_one_out,
    relative,
    standardised_by_group,
)
from jaxrl.loop import experiment
from jaxrl.rollouts import rollout
from jaxrl.types import Actor, Agent, Discrete, Env, Spec, TimeStep, Update, memoryless

GROUPS, MEMBERS, STEPS = 5, 4, 40


def walk():
    """Begins at a random number; action a adds it, and an episode ends after 1 + a steps."""

    def show(state):
        place, age, life = state
        done = (age >= life) & (age > 0)
        reward = jnp.where(age > 0, place, 0.0)
        obs = jnp.stack([place, age.astype(jnp.float32)])
        return TimeStep(obs, reward, 1.0 - done, done, obs, {})

    def init(key):
        state = (jax.random.uniform(key), jnp.int32(0), jnp.int32(9))
        return state, show(state)

    def step(state, action, key):
        place, age, life = state
        life = jnp.where(age == 0, 1 + action, life)  # the first action of an episode decides
        state = (place + 1.0, age + 1, life)
        return state, show(state)

    return Env(init, step, Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(4)))


def explored(env):
    """Random transitions [STEPS, G * M] of groups, in numpy."""
    number = GROUPS * MEMBERS
    act = lambda view, memory, obs, key: (jax.random.randint(key, (number,), 0, 4), memory, ())

    def run(key):
        start = (*env.init(key), ())
        actor = Actor(lambda size: (), act)
        return rollout(env, actor, None, start, jax.random.key(1), STEPS)[1:]

    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(0)))


@pytest.fixture(scope="module")
def batch():
    return explored(grouped(walk(), GROUPS, MEMBERS))


def by_loops(batch):
    """The episodes of each group, by loops: lists of (first step, lengths, returns)."""
    data, _ = batch
    found = []
    for g in range(GROUPS):
        lanes = range(g * MEMBERS, (g + 1) * MEMBERS)
        t = 0
        while t < STEPS:
            lives = [1 + int(data.action[t, lane]) for lane in lanes]
            length = max(lives)
            if t + length > STEPS:
                break
            start = data.obs[t, lanes[0], 0]
            # The place after the k-th step is start + k.
            returns = [sum(start + k for k in range(1, n + 1)) for n in lives]
            found.append((g, t, length, lives, returns))
            t += length
    return found


def test_members_share_their_start_and_groups_do_not(batch):
    data, _ = batch
    obs = data.obs.reshape(STEPS, GROUPS, MEMBERS, 2)
    starts = []
    for g, t, _, _, _ in by_loops(batch):
        assert (obs[t, g] == obs[t, g, 0]).all() and (obs[t, g, :, 1] == 0).all()
        starts.append(obs[t, g, 0, 0])
    assert len(starts) > 3 * GROUPS and len(np.unique(starts)) == len(starts)


def test_who_has_ended_waits_for_its_group(batch):
    data, info = batch
    active, over, earned, _ = data.signals
    split = lambda x: x.reshape(STEPS, GROUPS, MEMBERS)
    active, over, earned, last = map(split, (active, over, earned, data.last))
    reward = split(data.reward)
    for g, t, length, lives, returns in by_loops(batch):
        part = slice(t, t + length)
        assert (over[part, g].all(-1) == (np.arange(length) == length - 1)).all()
        for m, life in enumerate(lives):
            assert (active[part, g, m] == (np.arange(length) < life)).all()
            assert (last[part, g, m] == (np.arange(length) >= life - 1)).all()
            assert (reward[part, g, m][life:] == 0).all()
            np.testing.assert_allclose(earned[part, g, m][life - 1 :], returns[m], rtol=1e-5)
    np.testing.assert_array_equal(info["active"], data.signals.active)


def test_returns_of_unequal_length_do_not_mix(batch):
    data, _ = batch
    prepare = jax.jit(by_group(relative(), MEMBERS))
    compared = jax.tree.map(np.asarray, prepare(None, data))
    advantage = compared.advantage.reshape(STEPS, GROUPS, MEMBERS)
    weight = compared.batch.weight.reshape(STEPS, GROUPS, MEMBERS)
    done = np.zeros((STEPS, GROUPS), bool)
    for g, t, length, lives, returns in by_loops(batch):
        for m in range(MEMBERS):
            rest = (sum(returns) - returns[m]) / (MEMBERS - 1)
            np.testing.assert_allclose(
                advantage[t : t + length, g, m], returns[m] - rest, rtol=1e-3, atol=1e-4
            )
            np.testing.assert_array_equal(
                weight[t : t + length, g, m], np.arange(length) < lives[m]
            )
        done[t : t + length, g] = True
    # What goes on beyond the batch is left out.
    assert (weight[~done] == 0).all() and (~done).any()


def test_baselines_of_a_group():
    returns = np.float32([[1, 2, 6], [3, 3, 3]])
    np.testing.assert_allclose(leave_one_out(returns)[0], [1 - 4, 2 - 3.5, 6 - 1.5])
    np.testing.assert_allclose(leave_one_out(returns)[1], 0)
    np.testing.assert_allclose(leave_one_out(returns[:, :1]), 0)
    z = np.asarray(standardised_by_group(returns))
    np.testing.assert_allclose(z[0], (returns[0] - 3) / returns[0].std(), rtol=1e-5)
    np.testing.assert_array_equal(z[1], 0)
    slope = jax.jacobian(standardised_by_group)(jnp.float32(returns[1]))
    assert np.isfinite(slope).all()


def bandit(pays):
    """An episode of one step, whose reward is that of the arm."""

    def show(reward, done):
        obs = jnp.zeros(1)
        return TimeStep(obs, reward, 1.0 - done, done > 0, obs, {})

    zero = jnp.zeros(())
    return Env(
        lambda key: ((), show(zero, zero)),
        lambda state, action, key: ((), show(jnp.asarray(pays)[action], zero + 1.0)),
        Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Discrete(len(pays))),
    )


def test_the_leave_one_out_gradient_is_unbiased_with_the_variance_of_a_covariance():
    """It is the sample covariance of returns and scores, whose moments have a closed form.

    With the mean of all members as baseline it would be (M - 1) / M of the gradient.
    """
    pays, logits = np.array([1.0, 3.0, 0.0]), np.array([0.2, -0.3, 0.1])
    policy = np.exp(logits) / np.exp(logits).sum()
    score = (np.arange(3) == 0) - policy[0]  # of the first logit, for each arm
    members, groups = 3, 20_000
    mean = lambda x: (policy * x).sum()
    r, s = pays - mean(pays), score - mean(score)
    truth = mean(r * s)  # the gradient of the expected return
    variance = (
        mean(r * r * s * s) / members
        - truth**2 * (members - 2) / members / (members - 1)
        + mean(r * r) * mean(s * s) / members / (members - 1)
    )
    # The closed form, against all outcomes of a group.
    outcomes = list(itertools.product(range(3), repeat=members))
    chance = np.array([policy[list(x)].prod() for x in outcomes])
    each = np.array([
        (np.asarray(leave_one_out(np.float32(pays[list(x)]))) * score[list(x)]).mean()
        for x in outcomes
    ])  # fmt: skip
    np.testing.assert_allclose(chance @ each, truth, atol=1e-6)
    np.testing.assert_allclose(chance @ (each - truth) ** 2, variance, rtol=1e-5)
    # The same of sampled groups.
    env = grouped(bandit(pays), groups, members)
    act = lambda view, obs, key: (
        jax.random.categorical(key, jnp.float32(logits), shape=(groups * members,)), ()
    )  # fmt: skip
    see = Update(lambda *_: (), lambda s, batch, key: (s, {"seen": batch}), lambda s: s)
    learn = compared(see, members)

    def run(key):
        actor = memoryless(act)
        data = rollout(env, actor, None, (*env.init(key), ()), key, 1)[1]
        return learn.apply((), data, key)[1]["seen"]

    seen = jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(0)))
    assert (seen.batch.weight == 1).all()
    found = (seen.advantage * score[seen.batch.action]).reshape(groups, members).mean(-1)
    assert abs(found.mean() - truth) < 5 * np.sqrt(variance / groups)
    np.testing.assert_allclose(found.var(), variance, rtol=0.1)


def test_in_the_loop_each_episode_counts_once():
    """A learner of groups in `experiment`, whose metrics are those of whole episodes."""
    env = grouped(bandit([2.0, 2.0]), 3, 2)
    act = memoryless(lambda view, obs, key: (jax.random.randint(key, (6,), 0, 2), ()))
    update = compared(
        Update(lambda *_: (), lambda s, b, k: (s, {"advantage": b.advantage}), lambda s: s), 2
    )
    exp = experiment(env, Agent(act, act, update), 5)
    metrics = jax.jit(lambda key: exp.step(exp.init(key))[1])(jax.random.key(0))
    assert metrics["episodes"] == 1 and metrics["advantage"] == 0


def test_bad_input():
    with pytest.raises(InputError, match="members must be"):
        grouped(bandit([1.0]), 2, 0)
    prepare = by_group(lambda view, batch: batch, 4)
    with pytest.raises(InputError, match="6 lanes do not divide into groups of 4"):
        prepare(None, np.zeros((2, 6)))
