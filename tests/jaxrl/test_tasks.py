"""Parameters drawn for each episode, teachers that learn, and environments that see the learner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl.conditioned import Conditioned
from jaxrl.environments import auto_reset, auto_reset_from_pool, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, experiment
from jaxrl.rollouts import random_actions, rollout
from jaxrl.tasks import Played, Sampler, Task, switching, tasked, taught, uniform
from jaxrl.types import Actor, Agent, Discrete, Env, Spec, TimeStep, Update, memoryless
from jaxrl.watching import dependent, latest, watching

LANES, LIMIT = 4, 5


def played(lanes, steps, key=0):
    """A random rollout [steps, LANES] and the first time step."""
    actor = memoryless(lambda view, obs, key: (random_actions(lanes.spec, lanes_of(obs), key), ()))

    def run(key):
        k_init, k_roll = jax.random.split(key)
        state, first = lanes.init(k_init)
        end, data, info = rollout(lanes, actor, None, (state, first, ()), k_roll, steps)
        return first, data, end[0], info

    return jax.device_get(jax.jit(run)(jax.random.key(key)))


def lanes_of(obs):
    return jax.tree.leaves(obs)[0].shape[0]


pendulum = lambda p: envs.make("Pendulum-v1", l=p["l"], m=p["m"], max_steps_in_episode=LIMIT)
BOUNDS = ({"l": 0.5, "m": 0.5}, {"l": 2.0, "m": 1.5})
RESETS = {
    "own": lambda env: auto_reset(vectorize(env, LANES)),
    "pool": lambda env: auto_reset_from_pool(vectorize(env, LANES), size=4 * LANES, refresh=2),
    "taught": lambda env: taught(pendulum, uniform(*BOUNDS), LANES, shown=True),
}


@pytest.mark.parametrize("resets", RESETS)
def test_each_episode_of_each_lane_has_parameters_of_its_own(resets):
    """The equation of motion in numpy, with the parameters that each step is told to have."""
    env = tasked(pendulum, uniform(*BOUNDS), shown=True)
    first, data, _, _ = played(RESETS[resets](env), 4 * LIMIT)
    assert isinstance(data.signals, Task) and isinstance(data.obs, Conditioned)
    length, mass = data.signals.params["l"], data.signals.params["m"]
    sine, speed = data.obs.obs[..., 1], data.obs.obs[..., 2]
    torque = 2 * np.clip(data.action[..., 0], -1, 1)
    push = 15 * sine / length + 3 * torque / (mass * length**2)
    np.testing.assert_allclose(
        data.final.obs[..., 2], np.clip(speed + 0.05 * push, -8, 8), atol=1e-3
    )
    # Constant within episodes, new in the next, and different between lanes.
    np.testing.assert_array_equal(np.flatnonzero(data.last[:, 0]), np.arange(4) * LIMIT + LIMIT - 1)
    assert (data.last == data.last[:, :1]).all() and (data.discount == 1).all()
    for x, (low, high) in zip((length, mass), ((0.5, 2.0), (0.5, 1.5))):
        episodes = x.reshape(4, LIMIT, LANES)
        assert (episodes == episodes[:, :1]).all()
        assert (x >= low).all() and (x <= high).all()
        if resets != "pool":
            assert len(np.unique(episodes[:, 0])) == 4 * LANES
    # What is shown is what holds from there on; a final observation is of the episode that ended.
    for name in ("l", "m"):
        told, seen = data.signals.params[name], data.obs.context[name]
        np.testing.assert_array_equal(told, seen)
        np.testing.assert_array_equal(told, data.final.context[name])
        np.testing.assert_array_equal(first.signals.params[name], told[0])
    inside = ~data.last[:-1]
    np.testing.assert_array_equal(data.final.obs[:-1][inside], data.obs.obs[1:][inside])
    assert (data.final.obs[:-1][~inside] != data.obs.obs[1:][~inside]).any(-1).all()


def coin(params):
    """An endless walk that pays `pay` a step, and that ends with probability `end`."""

    def show(reward, over):
        obs = jnp.zeros(1)
        return TimeStep(obs, jnp.float32(reward), 1.0 - over, over, obs, {})

    def step(state, action, key):
        return state, show(params["pay"], jax.random.bernoulli(key, params["end"]))

    spec = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Discrete(2))
    return Env(lambda key: ((), show(0.0, jnp.bool_(False))), step, spec)


TASKS = {"pay": jnp.array([1.0, 2.0, 4.0]), "end": jnp.array([0.3, 0.5, 0.7])}


@pytest.mark.parametrize(("num", "period"), [(1, 3), (5, 4), (6, 2)])
def test_tasks_switch_after_a_number_of_episodes(num, period):
    """The tasks of all episodes again, from when episodes ended."""
    lanes = taught(coin, switching(TASKS, period), num)
    _, data, _, _ = played(lanes, 120 // num)
    ended = np.cumsum(data.last.sum(1))
    task = np.zeros((len(data.last) + 1, num), int)
    for t in range(len(data.last)):
        new = ended[t] // period % 3
        task[t + 1] = np.where(data.last[t], new, task[t])
    np.testing.assert_array_equal(data.signals.params["pay"], 2.0 ** task[:-1])
    np.testing.assert_array_equal(data.reward, 2.0 ** task[:-1])
    assert len(np.unique(task)) == 3


def test_a_random_order_goes_to_each_other_task_equally_often():
    sampler = switching(TASKS, 1, "random")
    over = Played((), jnp.zeros(2), jnp.zeros(2), jnp.array([True, False]))

    def step(state, _):
        new = sampler.report(state, over)
        return new, (state.task, new.task, sampler.draw(new, state.key)["pay"])

    start = sampler.init(jax.random.key(0))
    before, after, pay = jax.jit(lambda: jax.lax.scan(step, start, None, 3000)[1])()
    np.testing.assert_array_equal(pay, 2.0**after)
    counts = np.histogram2d(before, after, 3, [[0, 3], [0, 3]])[0]
    assert (np.diag(counts) == 0).all()
    off = counts[~np.eye(3, dtype=bool)]
    assert (abs(off - 500) < 5 * np.sqrt(500)).all()


def test_a_teacher_is_told_of_all_that_was_played_before_it_draws():
    """A sampler that counts: each episode is told once, and seen by those that begin with it."""

    def report(state, now):
        end = now.over
        sums = (end.sum(), (end * now.earned).sum(), (end * now.length).sum())
        return jax.tree.map(lambda x, y: x + y.astype(x.dtype), state, sums)

    zero = jnp.float32(0)
    sampler = Sampler(
        lambda key: (zero, zero, zero),
        lambda state, key: {"pay": 1.0 + state[0], "end": jnp.float32(0.4)},
        report,
    )
    _, data, end, _ = played(taught(coin, sampler, 3, told=False), 40)
    assert data.signals == ()
    count, earned, length = end.value
    whole = np.array([np.flatnonzero(data.last[:, i]).max() + 1 for i in range(3)])
    assert count == data.last.sum() and length == whole.sum()
    np.testing.assert_allclose(earned, sum(data.reward[:n, i].sum() for i, n in enumerate(whole)))
    began = data.reward[1:][data.last[:-1]] - 1
    ended = np.broadcast_to(np.cumsum(data.last.sum(1))[:, None], data.last.shape)
    np.testing.assert_array_equal(began, ended[:-1][data.last[:-1]])


def test_processes_in_a_stack_are_tasks_and_one_lane_is_enough_to_evaluate():
    """A chain that is walked to the right earns what the process of its lane pays."""
    stack = jax.tree.map(
        lambda *x: jnp.stack(x), *(envs.tabular_mdp("chain", length=4) for _ in range(2))
    )
    stack = stack._replace(reward=stack.reward * jnp.array([1.0, 5.0])[:, None, None, None])
    make = lambda i: time_limit(envs.from_mdp(jax.tree.map(lambda x: x[i], stack)), 9)
    env = tasked(make, uniform(0, 1))
    right = memoryless(lambda view, obs, key: (jnp.ones(lanes_of(obs), jnp.int32), ()))
    score = jax.jit(lambda key: evaluate(env, right, None, key, 64))(jax.random.key(0))
    assert set(np.asarray(score.returns).tolist()) == {1.0, 5.0}
    envs.check(env)


# A learner that counts its updates, and an environment that pays what it sees of it.
COUNTER = Update(
    lambda key, example: jnp.float32(0),
    lambda state, batch, key: (state + 1, {"paid": batch.reward}),
    lambda state: state,
)
IDLE = Actor(lambda size: (), lambda view, memory, obs, key: (jnp.zeros(len(obs), int), (), ()))
AGENT = Agent(IDLE, IDLE, COUNTER)
pays = lambda value: coin({"pay": value, "end": 0.2})


@pytest.mark.parametrize("period", [1, 3])
def test_an_environment_sees_its_learner_as_it_was_at_the_last_refresh(period):
    lanes = dependent(pays(1.0), 2, pays, lambda key: jnp.float32(-7.0))
    exp = watching(experiment(lanes, AGENT, 4, warmup=2), AGENT, latest(period))

    def run(key):
        step = lambda run, _: exp.step(run)
        return jax.lax.scan(step, exp.init(key), None, 9)[1]["paid"]

    paid = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3))
    frozen = np.arange(9) // period * period  # from the learner that init returned on
    np.testing.assert_array_equal(paid, np.broadcast_to(frozen, (3, 9)))
    whole = jax.jit(lambda key: advance(exp, exp.init(key), 9)[1])(jax.random.key(0))
    np.testing.assert_allclose(whole["paid"], frozen.mean())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: tasked(lambda n: envs.make("gridworld", rows=n), uniform(2, 5)), "index a stack"),
        (
            lambda: tasked(lambda n: envs.make("MemoryChain-bsuite", num_bits=n), uniform(1, 3)),
            "parameters that are traced",
        ),
        (lambda: switching({"x": jnp.ones(1)}, 3), "two parameters or more"),
        (lambda: switching(jnp.ones(2), 3, "sorted"), "cyclic or random, but it is 'sorted'"),
        (lambda: switching(jnp.ones(2), 0), "period must be above zero"),
        (lambda: uniform(jnp.zeros(2), jnp.ones(3)), "low and high must be alike"),
        (lambda: latest(0), "period must be above zero"),
        (
            lambda: jax.eval_shape(
                watching(
                    experiment(auto_reset(vectorize(pays(1.0), 2)), AGENT, 4), AGENT, latest()
                ).init,
                jax.random.key(0),
            ),
            "Only lanes of jaxrl.watching.dependent",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        wrong()
