"""Agents against exact dynamic programming and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import dqn, ppo, sac
from jaxrl import advance, assemble, dp, values
from jaxrl.environments import time_limit
from jaxrl.types import Transition

KEY = jax.random.key(0)


def optimal_values(mdp, gamma):
    """Value iteration on the arrays of a tabular process: Q* [S, A]."""
    p, r, d = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward, mdp.discount))
    q = np.zeros(p.shape[:2])
    for _ in range(500):
        q = (p * (r + gamma * d * q.max(-1))).sum(-1)
    return q


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"double": False},
        {"dueling": True},
        {"prioritised": True, "importance_exponent": 1.0},
    ],
    ids=["double", "single", "dueling", "prioritised"],
)
def test_dqn_finds_the_optimal_values_though_episodes_are_truncated(options):
    """A linear critic on one-hot states is a table; ends after 4 steps must not be deaths."""
    params = dict(states=6, actions=3, seed=1)
    mdp, gamma = envs.tabular_mdp("garnet", **params), 0.9
    env = envs.make("garnet", **params, max_steps_in_episode=4)
    hp = dqn.Hyperparameters(
        discount=gamma, epsilon=1.0, hidden=(), num_envs=8, rollout_length=4, batch_size=256,
        buffer_size=16_384, warmup=1024, updates=4, learning_rate=5e-3, target_period=20,
        **options,
    )  # fmt: skip
    setup = assemble(dqn.dqn, env, hp)
    run, _ = jax.jit(lambda key: advance(setup.experiment, setup.experiment.init(key), 1200))(KEY)
    states = jnp.eye(6)
    q = critic(env.spec, hp, setup.agent.update.read(run.learner).params, states)
    exact = optimal_values(mdp, gamma)
    dead = optimal_values(mdp, gamma * 0.75)  # what a quarter of deaths would teach, roughly
    assert np.abs(exact - dead).max() > 1.0
    np.testing.assert_allclose(q, exact, atol=0.3)


def critic(spec, hp, params, obs):
    """The action values [S, A] of a DQN with these parameters."""
    from jaxrl.networks import dueling, network

    sizes = (spec.action.num, 1) if hp.dueling else (spec.action.num,)
    out, _ = network(spec, sizes, (1.0,) * len(sizes), hp.network.hidden).step(params, (), obs)
    return dueling(out[0][..., None], out[1])[..., 0] if hp.dueling else out[0]


def batch_of(spec, n, key):
    """Random transitions [n]."""
    keys = jax.random.split(key, 4)
    shape = jax.tree.leaves(spec.observation)[0].shape
    return Transition(
        obs=jax.random.normal(keys[0], (n, *shape)),
        action=jax.random.uniform(keys[1], (n, *spec.action.shape), minval=-1.0),
        reward=jax.random.normal(keys[2], (n,)),
        discount=jnp.ones(n), last=jnp.zeros(n, bool),
        final=jax.random.normal(keys[3], (n, *shape)), extras=(), weight=jnp.ones(n),
    )  # fmt: skip


def test_sac_raises_the_temperature_when_entropy_is_below_the_target():
    """And lowers it when entropy is above."""
    hp = sac.Hyperparameters(num_envs=2, warmup=64, buffer_size=128, hidden=(8,), updates=20)
    env = envs.make("Pendulum-v1")

    def change(target):
        setup = assemble(sac.sac, env, hp.replace(target_entropy=target))
        temperature = lambda run: setup.agent.update.read(run.learner).params["log_temperature"]
        run = setup.experiment.init(KEY)
        return temperature(setup.experiment.step(run)[0]) - temperature(run)

    above, below = jax.jit(jax.vmap(change))(np.array([5.0, -50.0], np.float32))
    assert above > 0 > below


def test_ppo_takes_the_same_first_step_as_the_plain_policy_gradient():
    """At the behaviour policy the ratio is one: the surrogate's gradient is A grad log pi."""
    hp = ppo.Hyperparameters(num_envs=4, rollout_length=8, epochs=1, minibatches=1, hidden=(8,))
    env = envs.make("CartPole-v1")

    def first(clip):
        experiment = assemble(ppo.ppo, env, hp.replace(clip=clip)).experiment
        run, metrics = experiment.step(experiment.init(KEY))
        return jax.tree.leaves(run.learner), metrics["policy_loss"]

    learner, loss = jax.jit(jax.vmap(first))(np.array([0.2, 1e-3], np.float32))
    # No ratio has moved yet, so the clip is without influence; normalised advantages sum to zero.
    for x in learner:
        np.testing.assert_allclose(x[0], x[1], rtol=1e-5, atol=1e-6)
    assert abs(float(loss[1])) < 1e-5


@pytest.mark.parametrize("family", ["scalar", "hl-gauss"])
def test_ppo_values_a_process_without_choices(family):
    """On a ring of one action, V(s) is a closed form; ends after 4 steps must not be deaths."""
    states, gamma = 5, 0.8
    reward = np.array([1.0, -1.0, 0.0, 2.0, 0.5])
    ring = np.roll(np.eye(states), 1, 1)
    exact = np.linalg.solve(np.eye(states) - gamma * ring, ring @ reward)
    p = np.broadcast_to(ring[:, None], (states, 2, states))
    r, d = np.broadcast_to(reward, p.shape), np.ones(p.shape)
    env = time_limit(envs.from_mdp(dp.from_arrays(p, r, d, np.full(states, 0.2))), 4)
    hp = ppo.Hyperparameters(
        discount=gamma, learning_rate=1e-2, num_envs=16, rollout_length=8, hidden=(32,),
        normalise_rewards=False, critic=values.Critic(family, atoms=25, low=-6.0, high=6.0),
    )  # fmt: skip
    setup = assemble(ppo.ppo, env, hp)

    def learnt(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 150)
        view = setup.agent.update.read(run.learner)
        return setup.agent.explore.step(view, (), jnp.eye(states), key)[2].value

    value = jax.jit(jax.vmap(learnt))(jax.random.split(KEY, 3))
    np.testing.assert_allclose(value, np.tile(exact, (3, 1)), atol=0.15)


def test_ppo_learns_cartpole():
    hp = ppo.Hyperparameters(learning_rate=2e-3)
    experiment = assemble(ppo.ppo, envs.make("CartPole-v1"), hp).experiment

    def score(key):
        run, _ = advance(experiment, experiment.init(key), 15)
        return advance(experiment, run, 20)[1]["episode_return"]

    keys = jax.random.split(KEY, 3)
    assert float(jax.jit(jax.vmap(score))(keys).min()) > 150  # from 22 at random
