"""Data sets from arrays: whose successors they have, what is refused, and what they cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.offline import from_arrays, offline, shared, stored_data, without_data
from jaxrl.rollouts import random_policy, rollout
from jaxrl.types import Box, Discrete, Spec, population_axes

SPEC = Spec({"a": jax.ShapeDtypeStruct((2,), jnp.float32)}, Box(jnp.zeros(1), 4 * jnp.ones(1)))
ENDS = np.array([0, 0, 1, 0, 1, 0, 0, 0], bool)  # episodes of 3, 2 and 3 steps, the last cut off
DEATH = np.array([0, 0, 1, 0, 0, 0, 0, 0], bool)
SEEN = np.arange(22.0).reshape(11, 2)  # of 3 + 1, 2 + 1 and 3 + 1 observations
FIRST = np.array([0, 1, 2, 4, 5, 7, 8, 9])


def logged(**changes):
    """A log of eight steps, as arguments of `from_arrays`."""
    whole = {
        "observations": {"a": SEEN[FIRST]},
        "actions": np.linspace(0, 4, 8)[:, None],
        "rewards": np.arange(8),
        "terminations": DEATH,
        "truncations": ENDS & ~DEATH,
        "spec": SPEC,
        "next_observations": {"a": SEEN[FIRST + 1]},
    }
    return whole | changes


def test_successors_are_those_that_were_logged():
    given = from_arrays(**logged())
    inside = from_arrays(**logged(observations={"a": SEEN}, next_observations=None))
    for x, y in zip(jax.tree.leaves(given), jax.tree.leaves(inside), strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(given.obs["a"][:, 0], SEEN[FIRST])
    np.testing.assert_array_equal(given.final["a"][:, 0], SEEN[FIRST + 1])
    np.testing.assert_array_equal(given.discount[:, 0], ~DEATH)
    np.testing.assert_array_equal(given.last[:, 0], [0, 0, 1, 0, 1, 0, 0, 1])
    np.testing.assert_allclose(given.action[:, 0, 0], np.linspace(-1, 1, 8), atol=1e-6)
    assert given.reward.dtype == given.action.dtype == given.obs["a"].dtype == jnp.float32


def test_steps_whose_successor_is_unknown_are_left_out():
    cut = logged(terminations=np.zeros(8, bool), truncations=ENDS, next_observations=None)
    data = from_arrays(**cut)
    kept = [0, 1, 3, 5, 6]  # all but the last of each episode
    np.testing.assert_array_equal(data.reward[:, 0], kept)
    np.testing.assert_array_equal(data.obs["a"][:, 0], SEEN[FIRST[kept]])
    np.testing.assert_array_equal(data.final["a"][:, 0], SEEN[FIRST[kept] + 1])
    np.testing.assert_array_equal(data.last[:, 0], [0, 1, 1, 0, 1])
    assert (data.discount == 1).all()
    with pytest.raises(InputError, match=r"^The data set has terminations, but not"):
        from_arrays(**logged(next_observations=None))
    with pytest.raises(InputError, match="no step whose successor is known"):
        from_arrays(**cut | {"truncations": np.ones(8, bool)})


def test_lanes_are_stretches_with_a_boundary_between_them():
    data = from_arrays(**logged(), lanes=2, rows=3)
    np.testing.assert_array_equal(data.reward.T, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(data.last.T, [[0, 0, 1], [0, 1, 1]])
    np.testing.assert_array_equal(data.discount.T, [[1, 1, 0], [1, 1, 1]])


DISCRETE = SPEC._replace(action=Discrete(3))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"observations": {"a": SEEN[:9]}, "next_observations": None},
            "9 observ.* have 11, one mo",
        ),
        ({"observations": {"a": SEEN}}, "has 11 observations, but must have 8"),
        ({"observations": {"a": SEEN[FIRST, :1]}}, r"shape \(1,\), and the environment \(2,\)"),
        ({"observations": {"a": SEEN[FIRST] * np.nan}}, "an observation that is not finite"),
        ({"observations": {"a": SEEN[FIRST] + 1e39}}, "an observation that is not finite"),
        ({"observations": SEEN[FIRST, 0]}, r"shape \(\), and the environment \(2,\)"),
        ({"next_observations": {"a": SEEN}}, "^As next_observations, .* 11 observations, but"),
        ({"next_observations": {"a": SEEN[FIRST] > 0}}, "type bool, and the environment float32"),
        ({"rewards": np.full(8, 1e39)}, "a reward that is not finite"),
        ({"rewards": np.full(8, -1e16)}, r"reward of size 1e\+16, .* 1e15 overflow"),
        ({"rewards": np.ones((8, 1))}, "not one number for each step"),
        ({"rewards": np.ones(7)}, "7 rewards, but its terminations"),
        ({"rewards": []}, "no steps"),
        ({"truncations": np.full(8, 2)}, "truncations are not as many truth values"),
        ({"actions": np.zeros((7, 1))}, "8 rewards and 7 actions"),
        ({"actions": np.full((8, 1), 4.1)}, "actions from 4.1 to 4.1, .* between 0 and 4"),
        ({"spec": DISCRETE}, r"shape \(1,\) and type float64, .* 3 integers"),
        ({"spec": DISCRETE, "actions": np.full(8, 3)}, "from 3 to 3, .* between 0 and 2"),
        ({"spec": SPEC._replace(action=Box(-jnp.ones(1), jnp.full(1, jnp.inf)))}, "finite bounds"),
        ({"lanes": 3, "rows": 3}, "8 transitions, which is too few for 3 lanes of at least 3"),
        ({"lanes": 0}, "lanes must be above zero"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(changes, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        from_arrays(**logged(**changes))
    assert str(error.value).count(". ") == 0


SMALL = dict(hidden=(8,), num_envs=2)


def played(env, steps=200):
    """Random transitions of two lanes, and as a log of one lane after another."""
    agent = assemble(AGENTS["dqn"].make, env, AGENTS["dqn"].defaults.replace(**SMALL)).agent
    lanes = auto_reset(vectorize(env, 2))
    start = (*lanes.init(jax.random.key(0)), ())
    play = lambda key: rollout(lanes, random_policy(env.spec, agent), None, start, key, steps)[1]
    data = jax.device_get(jax.jit(play)(jax.random.key(1)))
    flat = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), data)
    death = flat.discount == 0
    log = {
        "observations": flat.obs, "actions": flat.action, "rewards": flat.reward,
        "terminations": death, "truncations": flat.last & ~death,
        "next_observations": flat.final,
    }  # fmt: skip
    return data, log


def test_what_was_played_comes_back_and_is_learnt_from():
    """A round trip through plain arrays, and a buffer that holds them and nothing else."""
    env = time_limit(envs.make("CartPole-v1"), 20)
    data, log = played(env)
    assert data.last.any() and (data.discount == 0).any()
    back = from_arrays(**log, spec=env, lanes=2)
    for name in ("obs", "action", "reward", "discount", "final", "weight"):
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name), err_msg=name)
    np.testing.assert_array_equal(back.last[:-1], data.last[:-1])
    hp = AGENTS["dqn"].defaults.replace(
        **SMALL, buffer_size=400, warmup=400, batch_size=8, updates=1
    )
    exp = offline(assemble(AGENTS["dqn"].make, env, hp).agent, back)
    run = jax.jit(exp.init)(jax.random.key(0))
    end, metrics = jax.jit(lambda run: advance(exp, run, 3))(run)
    np.testing.assert_array_equal(end.learner.buffer.words, run.learner.buffer.words)
    assert end.learner.inner.step == 3 and np.isfinite(metrics["loss"])


@pytest.mark.parametrize("name", ["ppo", "pqn", "q-learning"])
def test_an_agent_that_does_not_replay_is_refused_before_anything_is_compiled(name):
    env = envs.make("chain")
    data, log = played(env, 8)
    data = from_arrays(**log, spec=env, lanes=2)
    agent = assemble(AGENTS[name].make, env, AGENTS[name].defaults).agent
    with pytest.raises(InputError, match=r"^A data set needs an agent that replays"):
        offline(agent, data)
    none = jax.tree.map(lambda x: x[:0], data)
    with pytest.raises(InputError, match=r"^A data set needs an agent that replays"):
        jax.eval_shape(offline(agent, none).init, jax.random.key(0))


def test_seeds_share_one_copy_of_the_data():
    """Arguments, results and scratch of a compiled program of 32 seeds hold the data once."""
    env, steps = envs.make("chain"), 2**15
    rng = np.random.default_rng(0)
    seen = np.eye(10, dtype=np.float32)[rng.integers(10, size=steps)]
    ends = np.zeros(steps, bool)
    data = from_arrays(
        seen, rng.integers(2, size=steps), rng.random(steps), ends, ends, env,
        next_observations=seen, lanes=2,
    )  # fmt: skip
    hp = AGENTS["dqn"].defaults.replace(
        **SMALL, buffer_size=steps, warmup=steps, batch_size=4, updates=1
    )
    exp = offline(assemble(AGENTS["dqn"].make, env, hp).agent, data)
    stored = stored_data(jax.eval_shape(exp.init, jax.random.key(0)))
    one = jax.eval_shape(lambda key: without_data(exp.init(key)), jax.random.key(0))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(stored))
    assert size > 2**20

    def memory(seeds):
        axes = population_axes(one)
        init = jax.vmap(lambda key: without_data(exp.init(key)), out_axes=axes)
        runs = jax.eval_shape(init, jax.random.split(jax.random.key(0), seeds))
        step = lambda run, stored: shared(exp, stored).step(run)
        step = jax.vmap(step, in_axes=(axes, None), out_axes=(axes, 0))
        found = jax.jit(step).lower(runs, stored).compile().memory_analysis()
        return np.array([found.argument_size_in_bytes, found.output_size_in_bytes,
                         found.temp_size_in_bytes])  # fmt: skip

    few, many = memory(1), memory(32)
    assert size < few[0] < 1.1 * size
    assert (many - few < size / 2).all(), (size, few, many)
