"""Discrete SAC against soft value iteration, and against the same numbers in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, discrete_sac
from jaxrl import advance, assemble, dp, evaluate
from jaxrl.environments import time_limit
from jaxrl.types import Transition

GAMMA, TEMPERATURE = 0.8, 0.5
TABLE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)  # [S, A]
HP = AGENTS["discrete-sac"].defaults.replace(discount=GAMMA, hidden=())
PROCESS = dict(states=5, actions=3, seed=2)


def world(masked):
    """A random process, in episodes that are truncated; masked, forbidden actions pay 5 more."""
    mdp = dp.dense(envs.tabular_mdp("garnet", **PROCESS))
    if not masked:
        return mdp, time_limit(envs.from_mdp(mdp), 4)
    mdp = mdp._replace(reward=mdp.reward + 5.0 * ~TABLE[..., None])
    env = time_limit(envs.from_mdp(mdp), 4)
    allow = lambda obs: obs @ jnp.asarray(TABLE, float) > 0
    return mdp, env._replace(spec=env.spec._replace(mask=allow))


def soft_values(mdp, masked):
    """Q [S, A] of the best policy with an entropy bonus, over allowed actions."""
    p, r, d = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward, mdp.discount))
    q = np.zeros((5, 3))
    for _ in range(300):
        scaled = np.where(TABLE | (not masked), q / TEMPERATURE, -np.inf)
        q = (p * (r + GAMMA * d * TEMPERATURE * np.log(np.exp(scaled).sum(-1)))).sum(-1)
    return q


@pytest.mark.parametrize("masked", [False, True])
def test_at_a_fixed_temperature_the_values_are_those_of_soft_value_iteration(masked):
    """A linear critic on one-hot states is a table; the policy is the softmax of its values."""
    mdp, env = world(masked)
    hp = HP.replace(
        learn_temperature=False, initial_temperature=TEMPERATURE, num_envs=8, rollout_length=4,
        batch_size=256, buffer_size=16_384, warmup=2048, updates=4, learning_rate=1e-2,
        target_rate=0.05,
    )  # fmt: skip
    setup = assemble(discrete_sac.discrete_sac, env, hp)

    def learnt(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 600)
        return setup.agent.update.read(run.learner).params

    params = jax.jit(jax.vmap(learnt))(jax.random.split(jax.random.key(0), 3))
    found, logits = tables(params)
    wanted = soft_values(mdp, masked)
    if not masked:
        exact = dp.soft_value_iteration(mdp, GAMMA, TEMPERATURE, tolerance=1e-6).theta
        np.testing.assert_allclose(wanted, exact, atol=1e-4)
    some = TABLE if masked else np.ones_like(TABLE)
    assert np.abs(found - wanted)[..., some].max() < 0.3
    policy = softmax(np.where(some, logits, -np.inf))
    assert np.abs(policy - softmax(np.where(some, wanted / TEMPERATURE, -np.inf))).max() < 0.1


def tables(params):
    """The values [..., E, S, A] of linear critics, and the logits [..., S, A] of a linear actor."""
    table = lambda layer: np.asarray(layer["kernel"]) + np.asarray(layer["bias"])[..., None, :]
    critics, actor = (params[name]["params"]["Dense_0"] for name in ("critics", "actor"))
    return table(critics), table(actor)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("masked", [False, True])
def test_targets_and_losses_are_expectations_over_the_allowed_actions(masked):
    """Of one batch, with random parameters, in numpy."""
    _, env = world(masked)
    some = TABLE if masked else np.ones_like(TABLE)
    agent = discrete_sac.learner(env.spec, HP.replace(initial_temperature=TEMPERATURE))
    rng, size = np.random.default_rng(0), 64
    (state, after), reward = rng.integers(5, size=(2, size)), rng.normal(size=size)
    action = np.array([rng.choice(np.flatnonzero(some[s])) for s in state])
    alive = rng.integers(2, size=size).astype(float)
    batch = Transition(
        jnp.eye(5)[state], jnp.asarray(action), jnp.asarray(reward, jnp.float32),
        jnp.asarray(alive, jnp.float32), jnp.zeros(size, bool), jnp.eye(5)[after], (),
        jnp.ones(size),
    )  # fmt: skip

    @jax.jit
    def measured(key):
        learner = agent.update.init(key, batch)
        noise = lambda x: x + jax.random.normal(jax.random.key(x.size), x.shape) * (x.ndim > 0)
        params = jax.tree.map(noise, learner.params)
        learner = learner._replace(params=params, target=params)
        return params, agent.update.apply(learner, batch, key)[1]

    params, metrics = measured(jax.random.key(0))
    critics, logits = tables(params)
    policy = softmax(np.where(some, logits, -np.inf))
    entropy = -(policy * np.log(policy, where=policy > 0, out=np.zeros_like(policy))).sum(-1)
    value = (policy * critics.min(0)).sum(-1)
    target = reward + GAMMA * alive * (value + TEMPERATURE * entropy)[after]
    error = 0.5 * np.square(critics[:, state, action] - target).sum(0)
    wanted = {
        "target_value": target.mean(), "entropy": entropy[state].mean(),
        "value": value[state].mean(), "critic_loss": error.mean(),
        "policy_loss": -(value + TEMPERATURE * entropy)[state].mean(),
    }  # fmt: skip
    for name, number in wanted.items():
        np.testing.assert_allclose(metrics[name], number, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(("share", "sign"), [(1.0, 1), (0.1, -1)])
def test_the_temperature_rises_while_entropy_is_below_its_share_of_the_allowed(share, sign):
    """Among allowed actions a new policy is nearly uniform, which is a share of nearly 1."""
    _, env = world(masked=True)
    agent = discrete_sac.learner(env.spec, HP.replace(target_entropy=share))
    obs, ones = jnp.eye(5)[:3], jnp.ones(3)
    batch = Transition(obs, jnp.array([1, 0, 0]), ones, ones, ones < 0, obs, (), ones)

    @jax.jit
    def change(key):
        learner = agent.update.init(key, batch)
        after = agent.update.apply(learner, batch, key)[0]
        return after.params["log_temperature"] - learner.params["log_temperature"]

    assert np.sign(float(change(jax.random.key(0)))) == sign


def test_cartpole_is_learnt():
    """In all of three seeds, from 22 at random."""
    hp = AGENTS["discrete-sac"].defaults.replace(num_envs=8, learning_rate=2e-3, updates=4)
    setup = assemble(discrete_sac.discrete_sac, envs.make("CartPole-v1"), hp)

    def score(key):
        k_run, k_evaluate = jax.random.split(key)
        run, _ = advance(setup.experiment, setup.experiment.init(k_run), 300)
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, setup.agent.exploit, view, k_evaluate, 16, 500).returns.mean()

    found = jax.jit(jax.vmap(score))(jax.random.split(jax.random.key(0), 3))
    assert float(found.min()) > 90, found
