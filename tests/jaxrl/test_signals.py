"""What an environment tells learners besides the reward, and that policies do not see it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import check
from jaxrl import conformance
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.rollouts import random_actions, rollout
from jaxrl.types import Actor, Discrete, Env, Spec, TimeStep, Update
from jaxrl.updates import epochs, n_step, prepared, prioritised, replay

LANES, STEPS, LIMIT = 4, 12, 5
TWO = jax.ShapeDtypeStruct((2,), jnp.float32)


def purse():
    """Action 0 pays (1, 0) and action 1 pays (0, t) at step t: the reward is the sum of both."""

    def show(t, pair):
        zero, obs = jnp.zeros(()), t[None].astype(jnp.float32)
        return TimeStep(obs, pair.sum(), zero + 1.0, zero > 0, obs, {}, pair)

    def init(key):
        return jnp.int32(0), show(jnp.int32(0), jnp.zeros(2))

    def step(t, action, key):
        pair = jnp.where(action == 0, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]) * t)
        return t + 1, show(t + 1, pair)

    return Env(init, step, Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Discrete(2), signals=TWO))


def intervened(env, corrector):
    """An environment in which somebody may act instead: (obs) -> (whether, the action).

    Learners are told whether it was so, and the action that was taken.
    """

    def init(key):
        state, ts = env.init(key)
        return (state, ts.obs), ts._replace(signals=(jnp.bool_(False), jnp.int32(0)))

    def step(state, action, key):
        inner, obs = state
        takes, other = corrector(obs)
        taken = jnp.where(takes, other, action).astype(jnp.int32)
        inner, ts = env.step(inner, taken, key)
        return (inner, ts.obs), ts._replace(signals=(takes, taken))

    told = (jax.ShapeDtypeStruct((), jnp.bool_), jax.ShapeDtypeStruct((), jnp.int32))
    return env._replace(init=init, step=step, spec=env.spec._replace(signals=told))


def proxied(env, error):
    """An environment whose reward is a proxy, reward + error(obs); learners are told the gold."""

    def told(ts, gold):
        return ts._replace(signals={"gold": gold}, reward=gold + error(ts.final))

    def init(key):
        state, ts = env.init(key)
        return state, ts._replace(signals={"gold": ts.reward})

    def step(state, action, key):
        state, ts = env.step(state, action, key)
        return state, told(ts, ts.reward)

    number = {"gold": jax.ShapeDtypeStruct((), jnp.float32)}
    return env._replace(init=init, step=step, spec=env.spec._replace(signals=number))


def walked(env):
    """Random transitions [STEPS, LANES, ...] with resets."""
    lanes = auto_reset(vectorize(time_limit(env, LIMIT), LANES))
    act = lambda view, memory, obs, key: (random_actions(env.spec, LANES, key), memory, ())
    start = (*lanes.init(jax.random.key(0)), ())
    return rollout(
        lanes, Actor(lambda size: (), act), None, start, jax.random.key(1), STEPS
    )[1]  # fmt: skip


LEARN = Update(
    lambda key, example: (),
    lambda state, batch, key: (state, {"seen": batch, "priority": batch.reward[0] ** 2 + 1.0}),
    lambda state: state,
)
SCHEDULES = {
    "replay": lambda u: replay(u, 24, 20, length=2),
    "prioritised": lambda u: prioritised(u, 24, 20, length=2),
    "n-step": lambda u: replay(n_step(u, 0.9), 24, 20, length=3),
    "epochs": lambda u: epochs(u, 1, 2, 2),
    "prepared": lambda u: prepared(u, lambda view, batch: batch),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_two_rewards_reach_every_kind_of_learner(name):
    """The pair of each step is seen beside its sum, through storing, shuffling and folding."""
    update = SCHEDULES[name](LEARN)

    def run():
        data = walked(purse())
        state = update.init(jax.random.key(2), jax.tree.map(lambda x: x[:0], data))
        return data, update.apply(state, data, jax.random.key(3))[1]["seen"]

    data, seen = jax.tree.map(np.asarray, jax.jit(run)())
    np.testing.assert_array_equal(data.signals.sum(-1), data.reward)
    pair = lambda batch: np.where(batch.action[..., None] == 0, [1.0, 0.0], [0.0, 1.0])
    paid = pair(seen) * np.where(seen.action == 0, 1.0, seen.obs[..., 0])[..., None]
    np.testing.assert_array_equal(seen.signals, paid)
    if name != "n-step":
        np.testing.assert_array_equal(seen.signals.sum(-1), seen.reward)
    assert (seen.signals[..., 0] > 0).any() and (seen.signals[..., 1] > 0).any()
    # At an end the pair is that of the step that ended, not of the reset.
    ended = data.last
    assert ended.any() and (data.signals[ended].sum(-1) > 0).all()


def test_a_learner_sees_gold_beside_its_proxy_and_who_acted():
    wrong = lambda obs: 0.5 * obs[0]
    env = proxied(purse(), wrong)
    data = jax.tree.map(np.asarray, jax.jit(lambda: walked(env))())
    np.testing.assert_allclose(data.reward - data.signals["gold"], 0.5 * data.final[..., 0])
    env = intervened(purse(), lambda obs: (obs[0] >= 3, jnp.int32(1)))
    data = jax.tree.map(np.asarray, jax.jit(lambda: walked(env))())
    takes, taken = data.signals
    np.testing.assert_array_equal(takes, data.obs[..., 0] >= 3)
    np.testing.assert_array_equal(taken, np.where(takes, 1, data.action))
    np.testing.assert_array_equal(data.reward, np.where(taken == 1, data.obs[..., 0], 1.0))


def test_no_signal_is_no_array():
    """What is not told takes no place in the buffer, which is one word for each number."""
    silent = purse()._replace(spec=purse().spec._replace(signals=()))
    quiet = silent._replace(
        init=lambda key: hush(silent.init(key)), step=lambda *x: hush(silent.step(*x))
    )
    update = replay(LEARN, 24, 20, length=2)
    size = lambda env: sum(
        x.size * x.dtype.itemsize
        for x in jax.tree.leaves(jax.eval_shape(
            lambda: update.init(jax.random.key(0), walked(env)).buffer
        ))
    )  # fmt: skip
    assert size(purse()) - size(quiet) == 24 * LANES * 2 * 4
    assert jax.eval_shape(lambda: walked(quiet)).signals == ()


def hush(output):
    state, ts = output
    return state, ts._replace(signals=())


def test_signals_are_as_the_spec_says():
    check(purse())
    with pytest.raises(InputError, match=r"signals as in spec\.signals, \(\), not float32\[2\]"):
        conformance.conforming(purse()._replace(spec=purse().spec._replace(signals=())))
    with pytest.raises(InputError, match="signals must hold one"):
        conformance.conforming(purse()._replace(spec=purse().spec._replace(signals=(3,))))
