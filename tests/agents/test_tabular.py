"""Agents with tables against the exact values of the processes they act in."""

import jax
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble
from tests.agents.test_oracles import optimal_values
from tests.compiling import OPTIMISED

PARAMS = dict(states=5, actions=3, seed=4)
GAMMA = 0.8


def policy_values(mdp, gamma, epsilon):
    """The only epsilon-greedy Q [S, A] that is its own: by repeated evaluation in numpy."""
    p, r, d = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward, mdp.discount))
    q = np.zeros(p.shape[:2])
    for _ in range(500):
        v = (1 - epsilon) * q.max(-1) + epsilon * q.mean(-1)
        q = (p * (r + gamma * d * v)).sum(-1)
    return q


def learnt(name, **options):
    """The tables [16, S, A] of 16 seeds, in episodes that are truncated after four steps."""
    env = envs.make("garnet", **PARAMS, max_steps_in_episode=4)
    options = (
        dict(discount=GAMMA, epsilon_updates=1.0, num_envs=16, learning_rate=1.0, decay_power=0.6)
        | options
    )
    hp = AGENTS[name].defaults.replace(**options)
    setup = assemble(AGENTS[name].make, env, hp)

    def train(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 3000)
        return setup.agent.update.read(run.learner).params

    return np.asarray(
        jax.jit(jax.vmap(train), compiler_options=OPTIMISED)(
            jax.random.split(jax.random.key(0), 16)
        )
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "epsilon"),
    [("q-learning", 1.0), ("q-lambda", 0.6), ("expected-sarsa", 0.6), ("sarsa-lambda", 0.6)],
)
def test_the_table_becomes_the_exact_one(name, epsilon):
    """Off policy the optimal values, on policy those of the epsilon-greedy policy itself.

    Their means over 16 seeds; an entry deviates by up to 0.05 between seeds, and by 0.03 from the
    exact value on average, since step sizes fall but are not yet zero.
    """
    mdp = envs.tabular_mdp("garnet", **PARAMS)
    optimal, own = optimal_values(mdp, GAMMA), policy_values(mdp, GAMMA, epsilon)
    assert np.abs(optimal - own).max() > 0.3  # what tells one kind from the other
    exact = own if "sarsa" in name else optimal
    np.testing.assert_allclose(learnt(name, epsilon=epsilon).mean(0), exact, atol=0.1)


def test_what_a_table_cannot_hold_is_refused():
    make, hp = AGENTS["q-lambda"].make, AGENTS["q-lambda"].defaults
    for env, words in (("Pendulum-v1", "discrete"), ("Breakout-MinAtar", "one-hot")):
        with pytest.raises(ValueError, match=words):
            assemble(make, envs.make(env), hp)
    hp = hp.replace(target="watkin")
    with pytest.raises(ValueError, match="watkins-q"):
        assemble(make, envs.make("chain"), hp)
