"""Finite processes: against Gymnasium's tables, against themselves sampled, and by exact values."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.catalogue import TABULAR
from envs.tabular import from_arrays


def solve(mdp, policy, gamma):
    """The value of a policy [S, A], by a linear system."""
    p, r, d = (np.asarray(x, np.float64) for x in mdp[:3])
    reward = np.einsum("sa,sat,sat->s", policy, p, r)
    matrix = gamma * np.einsum("sa,sat,sat->st", policy, p, d)
    return np.linalg.solve(np.eye(len(reward)) - matrix, reward)


def optimal(mdp, gamma, sweeps=5000):
    p, r, d = (np.asarray(x, np.float64) for x in mdp[:3])
    v = np.zeros(p.shape[0])
    for _ in range(sweeps):
        v = (p * (r + gamma * d * v)).sum(-1).max(-1)
    return v


def of_gymnasium(name, **params):
    """Gymnasium's table as arrays: transition [S, A, S], mean reward [S, A], end [S, A, S]."""
    world = gymnasium.make(name, **params).unwrapped
    states, actions = world.observation_space.n, world.action_space.n
    p, end = np.zeros((states, actions, states)), np.zeros((states, actions, states))
    r = np.zeros((states, actions))
    for s in range(states):
        for a in range(actions):
            for weight, new, reward, terminated in world.P[s][a]:
                p[s, a, new] += weight
                r[s, a] += weight * reward
                end[s, a, new] += weight * terminated
    return p, r, end, world.initial_state_distrib


@pytest.mark.parametrize("slippery", [False, True])
@pytest.mark.parametrize(
    ("ours", "params", "theirs"),
    [
        ("FrozenLake", {"map_name": "4x4"}, "FrozenLake-v1"),
        ("FrozenLake", {"map_name": "8x8"}, "FrozenLake-v1"),
        ("Cliff", {}, "CliffWalking-v1"),
    ],
)
def test_against_gymnasiums_table(ours, params, theirs, slippery):
    mdp = envs.tabular_mdp(ours, is_slippery=slippery, **params)
    p, r, end, initial = of_gymnasium(theirs, is_slippery=slippery, **params)
    np.testing.assert_allclose(mdp.transition, p, atol=1e-6)
    np.testing.assert_allclose((mdp.transition * mdp.reward).sum(-1), r, atol=1e-5)
    np.testing.assert_allclose(mdp.transition * (1 - mdp.discount), end, atol=1e-6)
    np.testing.assert_allclose(mdp.initial, initial)


@pytest.mark.parametrize("name", TABULAR)
def test_the_environment_has_the_laws_of_the_process(name):
    """Frequencies of successors of every state and action, and of first states."""
    mdp, env = envs.tabular_mdp(name), envs.from_mdp(envs.tabular_mdp(name))
    states, actions, _ = mdp.transition.shape
    draws = 2000

    def sample(s, a, key):
        _, ts = env.step(s, a, key)
        return ts

    pairs = jnp.stack(jnp.meshgrid(jnp.arange(states), jnp.arange(actions), indexing="ij"), -1)
    pairs = pairs.reshape(-1, 2)
    keys = jax.random.split(jax.random.key(0), (len(pairs), draws))
    run = jax.vmap(jax.vmap(sample, (None, None, 0)), (0, 0, 0))
    ts = jax.jit(run)(pairs[:, 0], pairs[:, 1], keys)
    p = np.asarray(mdp.transition).reshape(-1, states)
    frequency = np.asarray(ts.obs).mean(1)
    spread = np.sqrt(p * (1 - p) / draws)
    assert (np.abs(frequency - p) <= 5.5 * spread + 1e-7).all()
    assert (frequency[p == 0] == 0).all()
    new = np.asarray(ts.obs.argmax(-1))
    rows = np.arange(len(pairs))[:, None]
    flat = lambda x: np.asarray(x).reshape(-1, states)
    np.testing.assert_array_equal(ts.reward, flat(mdp.reward)[rows, new])
    np.testing.assert_array_equal(ts.discount, flat(mdp.discount)[rows, new])
    np.testing.assert_array_equal(ts.last, ts.discount == 0)
    first = jax.vmap(lambda k: env.init(k)[1].obs)(jax.random.split(jax.random.key(1), 4000))
    initial = np.asarray(mdp.initial)
    error = np.abs(np.asarray(first).mean(0) - initial)
    assert (error <= 5 * np.sqrt(initial * (1 - initial) / 4000) + 1e-7).all()


@pytest.mark.parametrize("name", ["garnet", "FrozenLake", "RiverSwim", "chain"])
def test_monte_carlo_agrees_with_the_linear_solution(name):
    mdp = envs.tabular_mdp(name, **({"end": 0.1} if name == "garnet" else {}))
    states, actions, _ = mdp.transition.shape
    gamma, lanes, horizon = 0.9, 20_000, 120  # 0.9**120 < 4e-6
    env = envs.vectorize(envs.from_mdp(mdp), lanes)

    def step(carry, key):
        state, total, weight = carry
        act_key, step_key = jax.random.split(key)
        action = jax.random.randint(act_key, (lanes,), 0, actions)
        state, ts = env.step(state, action, step_key)
        return (state, total + weight * ts.reward, weight * gamma * ts.discount), None

    @jax.jit
    def run(key):
        init_key, run_key = jax.random.split(key)
        state, _ = env.init(init_key)
        carry = (state, jnp.zeros(lanes), jnp.ones(lanes))
        return jax.lax.scan(step, carry, jax.random.split(run_key, horizon))[0][1]

    returns = np.asarray(run(jax.random.key(0)), np.float64)
    exact = np.asarray(mdp.initial) @ solve(mdp, np.full((states, actions), 1 / actions), gamma)
    assert abs(returns.mean() - exact) < 4.5 * returns.std() / np.sqrt(lanes) + 1e-6


def test_known_optimal_values():
    cliff = optimal(envs.tabular_mdp("Cliff"), 1.0)
    assert cliff[36] == -13  # along the edge: Sutton and Barto, example 6.6
    grid = optimal(envs.tabular_mdp("gridworld", slip=0.0), 1.0)
    assert grid[0] == -8
    lake = optimal(envs.tabular_mdp("FrozenLake"), 0.99)
    np.testing.assert_allclose(lake[0], 0.54202593, atol=1e-5)  # as tutorials of it report
    line = optimal(envs.tabular_mdp("chain", length=5), 0.9)
    np.testing.assert_allclose(line[0], 0.9**3)
    # RiverSwim's best policy always swims.
    river = envs.tabular_mdp("RiverSwim")
    always_right = solve(river, np.tile([0.0, 1.0], (6, 1)), 0.99)
    np.testing.assert_allclose(optimal(river, 0.99), always_right, rtol=1e-6)


def test_garnet_is_of_its_seed():
    one, same, other = (envs.tabular_mdp("garnet", seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.transition, same.transition)
    assert (one.transition != other.transition).any()
    assert ((one.transition > 0).sum(-1) == 3).all()


def test_episodes_have_a_limit_that_is_no_termination():
    env = envs.make("RiverSwim", max_steps_in_episode=3)
    state, _ = env.init(jax.random.key(0))
    for i in range(3):
        state, ts = env.step(state, 1, jax.random.key(i))
    assert ts.last and ts.discount == 1


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("CartPole-v1", {}, "no environment called 'CartPole-v1': choose from Cliff"),
        ("chain", {"lenght": 3}, "no parameter 'lenght': did you mean length"),
        ("chain", {"length": 1}, "length of at least 2, not 1"),
        ("chain", {"slip": 2.0}, r"slip in \[0, 1\]"),
        ("gridworld", {"rows": 0}, "two cells"),
        ("garnet", {"branching": 30}, r"branching in 1..20, not 30"),
        ("garnet", {"actions": 0}, "at least one action"),
        ("FrozenLake", {"map_name": "5x5"}, "4x4 and 8x8, not '5x5'"),
        ("RiverSwim", {"length": 2}, "at least 3"),
    ],
)
def test_bad_input(name, params, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.tabular_mdp(name, **params)


def test_a_sparse_process_is_sampled_without_being_made_dense():
    """A repeated successor with two rewards is a random reward, and unused slots never come up."""
    p = np.array([[[0.3, 0.2, 0.5, 0.0]], [[1.0, 0.0, 0.0, 0.0]]])
    r = np.array([[[1.0, -1.0, 5.0, 9.0]], [[2.0, 9.0, 9.0, 9.0]]])
    d = np.array([[[1.0, 1.0, 0.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]]])
    successors = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    mdp = from_arrays(p, r, d, np.array([1.0, 0.0]), successors)
    for form in (mdp, mdp._replace(reward=mdp.reward[..., :1], discount=mdp.discount[..., :1])):
        env = envs.from_mdp(form)
        _, ts = jax.vmap(lambda k: env.step(0, 0, k))(jax.random.split(jax.random.key(0), 4000))
        new = np.asarray(ts.obs.argmax(-1))
        assert abs(new.mean() - 0.5) < 0.04
    _, ts = jax.vmap(lambda k: envs.from_mdp(mdp).step(0, 0, k))(
        jax.random.split(jax.random.key(0), 4000)
    )
    rewards, counts = np.unique(ts.reward, return_counts=True)
    np.testing.assert_array_equal(rewards, [-1, 1, 5])
    np.testing.assert_allclose(counts / 4000, [0.2, 0.3, 0.5], atol=0.04)
    np.testing.assert_array_equal(ts.last, ts.reward == 5)
    state, ts = envs.from_mdp(mdp).step(1, 0, jax.random.key(0))
    assert state == 0 and ts.reward == 2


def test_arrays_are_checked():
    p = np.full((2, 1, 2), 0.5)
    mdp = from_arrays(p, np.ones((2, 1)), p, np.array([1.0, 0.0]))
    assert mdp.reward.shape == (2, 1, 2)
    with pytest.raises(ValueError, match="sum to 1"):
        from_arrays(p * 0.9, p, p, np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"needs transition, reward and discount \[S, A, S\]"):
        from_arrays(p, p[:, :, :1], p, np.array([1.0, 0.0]))
