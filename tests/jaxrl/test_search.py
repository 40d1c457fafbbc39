"""Tree search in the true model of finite processes: exact dynamic programming is the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

import envs
from jaxrl import dp, models, search

KEY = jax.random.key(0)
GAMMA = 0.9
MDP = envs.tabular_mdp("gridworld", rows=3, columns=3, slip=0.0)
MODEL = models.true_model(envs.from_mdp(MDP), lambda obs, key: obs.argmax(-1))
Q = np.asarray(dp.value_iteration(MDP, GAMMA).theta)  # [9, 4]
STATES = np.arange(8, dtype=np.int32)  # all but the goal
SHOWN = np.eye(9, dtype=np.float32)[STATES]


def exact(obs):
    """A flat prior, and the value of the best policy."""
    return jnp.zeros((*obs.shape[:-1], 4)), obs @ jnp.asarray(Q.max(-1))


def blind(obs):
    """A flat prior, and no idea of values."""
    return jnp.zeros((*obs.shape[:-1], 4)), jnp.zeros(obs.shape[:-1])


def best(action):
    return Q[STATES, np.asarray(action)] >= Q[STATES].max(-1) - 1e-4


def searched(find, judge):
    """What a search finds from every state, by one program, and the logits of the prior."""
    run = lambda key: (find(MODEL, judge, (STATES, SHOWN), GAMMA, key), judge(SHOWN)[0])
    return jax.tree.map(np.asarray, jax.jit(run)(KEY))


@pytest.mark.parametrize("name", search.SEARCHES)
def test_exact_values_and_few_simulations_find_the_best_action(name):
    find = search.SEARCHES[name](48, noise=0.0)
    found, _ = searched(find, exact)
    assert best(found.action).all()
    np.testing.assert_allclose(found.policy.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", search.SEARCHES)
def test_many_simulations_need_no_values(name):
    find = search.SEARCHES[name](200, noise=0.0)
    found, _ = searched(find, blind)
    assert best(found.action).mean() >= 0.85


def test_the_policy_of_gumbel_search_improves_on_the_prior():
    """Whatever the prior, and with as many simulations as actions."""

    def judge(obs):
        logits = jax.random.normal(jax.random.key(5), (9, 4))
        return obs @ logits, obs @ jnp.asarray(Q.max(-1))

    found, logits = searched(search.gumbel_search(4), judge)
    gain = ((found.policy - softmax(logits, -1)) * Q[STATES]).sum(-1)
    assert (gain > -1e-4).all() and gain.mean() > 0.05


def test_nothing_is_expected_after_the_end():
    """Beside the goal, a value that is wrong there must not matter."""
    wrong = lambda obs: (blind(obs)[0], 100.0 * obs[..., 8] + obs @ jnp.asarray(Q.max(-1)))
    found, _ = searched(search.gumbel_search(16, noise=0.0), wrong)
    assert best(found.action).all()
    assert found.value.max() < 1


def test_simulations_are_positive():
    with pytest.raises(ValueError, match="simulations must be above zero"):
        search.gumbel_search(0)
