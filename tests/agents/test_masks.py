"""Forbidden actions are never taken, however well they pay, and never bootstrapped from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble
from jaxrl.environments import time_limit
from jaxrl.fields import takes
from jaxrl.types import Transition, lanes

TABLE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)  # [S, A]
GAMMA = 0.8
TINY = dict(
    num_envs=8, rollout_length=8, hidden=(8,), batch_size=8, buffer_size=512, warmup=128,
    minibatches=2, epochs=1, burn_in=1, sequence_length=3, epsilon=0.5, epsilon_updates=0.0,
    tasks=2, discount=GAMMA,
)  # fmt: skip


def process():
    """A random process in which whatever is forbidden pays 5 more, and its environment."""
    mdp = envs.tabular_mdp("garnet", states=5, actions=3, seed=2)
    mdp = mdp._replace(reward=mdp.reward + 5.0 * ~TABLE[..., None])
    env = time_limit(envs.from_mdp(mdp), 4)
    allow = lambda obs: obs @ jnp.asarray(TABLE, float) > 0
    return mdp, env._replace(spec=env.spec._replace(mask=allow))


def exact(epsilon):
    """Q [S, A] of acting greedily among the allowed actions but for a share `epsilon`."""
    mdp, _ = process()
    p, r, d = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward, mdp.discount))
    if not isinstance(mdp.successors, tuple):
        p, r, d = (dense(x, mdp.successors) for x in (p, r * p, d * p))
        r, d = (np.divide(x, p, out=np.zeros_like(x), where=p > 0) for x in (r, d))
    q = np.zeros((5, 3))
    for _ in range(300):
        best = np.where(TABLE, q, -np.inf).max(-1)
        some = (q * TABLE).sum(-1) / TABLE.sum(-1)
        q = (p * (r + GAMMA * d * ((1 - epsilon) * best + epsilon * some))).sum(-1)
    return q


def dense(x, successors):
    """Entries [S, A, K] of successors [S, A, K] as [S, A, S]."""
    out = np.zeros((5, 3, 5))
    for s, a, k in np.ndindex(x.shape):
        out[s, a, successors[s, a, k]] += x[s, a, k]
    return out


def built(name, **options):
    entry = AGENTS[name]
    known = {k: v for k, v in (TINY | options).items() if takes(entry.defaults, k)}
    known |= dict(sequence_length=1) if name == "ppo" else {}
    return assemble(entry.make, process()[1], entry.defaults.replace(**known))


@pytest.mark.parametrize(
    "name", ["dqn", "iqn", "munchausen-dqn", "pqn", "r2d2", "q-lambda", "ppo", "proto-value"]
)
def test_no_forbidden_action_is_taken(name):
    """Of 16 learners with random parameters, whose best action is often a forbidden one."""
    setup = built(name)
    agent, obs = setup.agent, jnp.repeat(jnp.eye(5), 20, 0)

    def actions(key):
        k_learn, *k_act = jax.random.split(key, 3)
        learner = agent.update.init(k_learn, example(setup, obs))
        learner = jax.tree.map(
            lambda x: x + jax.random.normal(k_learn, x.shape) if x.dtype == jnp.float32 else x,
            learner,
        ) if name == "q-lambda" else learner  # fmt: skip
        view = agent.update.read(learner)
        return [
            actor.step(view, actor.init(lanes(obs)), obs, k)[0]
            for actor, k in zip((agent.explore, agent.exploit), k_act, strict=True)
        ]

    explored, exploited = jax.jit(jax.vmap(actions))(jax.random.split(jax.random.key(0), 16))
    state = np.arange(100) // 20
    assert TABLE[state, explored].all() and TABLE[state, exploited].all()
    every = [np.unique(np.asarray(explored)[:, state == s]) for s in range(5)]
    assert all(len(found) == TABLE[s].sum() for s, found in enumerate(every))


def example(setup, obs):
    """No experience, of the shapes that the agent stores."""
    start = jax.eval_shape(setup.experiment.init, jax.random.key(0))
    shapes = jax.eval_shape(
        lambda run: setup.agent.explore.step(
            setup.agent.update.read(run.learner), run.world[2], run.world[1].obs, run.key
        ),
        start,
    )
    blank = lambda x: jnp.zeros((0, *x.shape), x.dtype)
    action, _, extras = jax.tree.map(blank, shapes)
    number = jnp.zeros((0, 8))
    see = jnp.zeros((0, 8, 5))
    return Transition(see, action, number, number, number > 0, see, extras, number)


@pytest.mark.parametrize(
    ("name", "epsilon", "own"),
    [("q-learning", 0.7, 0.0), ("expected-sarsa", 0.7, 0.7), ("sarsa-lambda", 0.7, 0.7)],
)
def test_values_are_those_of_the_process_without_forbidden_actions(name, epsilon, own):
    """Of the pairs that may be taken, over 8 seeds, to exact dynamic programming."""
    setup = built(name, epsilon=epsilon, learning_rate=1.0, decay_power=0.6, num_envs=16)

    def table(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 1500)
        return setup.agent.update.read(run.learner).params

    found = np.asarray(jax.jit(jax.vmap(table))(jax.random.split(jax.random.key(0), 8)))
    wanted = exact(own)
    assert np.abs(found.mean(0) - wanted)[TABLE].max() < 0.1
    assert (found[:, ~TABLE] == 0).all()  # they were never tried


def test_the_loss_of_ppo_has_the_policy_that_acted():
    """No ratio is away from one before the first step, so that the divergence is zero."""
    setup = built("ppo", minibatches=1)
    step = jax.jit(lambda key: setup.experiment.step(setup.experiment.init(key))[1])
    metrics = step(jax.random.key(0))
    assert abs(float(metrics["approximate_kl"])) < 1e-6 and float(metrics["clip_fraction"]) == 0
    assert float(metrics["entropy"]) < np.log(3) - 0.1  # not that of all actions
