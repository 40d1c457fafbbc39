"""Costs that environments tell, beside loops; and what an agent that keeps limits makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import ppo
from envs import mdps
from jaxrl import evaluate, make_train
from jaxrl.errors import InputError
from jaxrl.rewards import cost_limited, costly, rewarded_by
from jaxrl.types import Costs, costs_of, memoryless


def test_costs_are_of_steps_and_beneath_other_signals():
    """Of the observation before, the action and the successor, told by each transform once."""
    grid = envs.make("hazard-grid", max_steps_in_episode=30)
    costs = {
        "stay": lambda obs, action, final: (obs == final).all(),
        "right": lambda obs, action, final: action == 1,
    }
    env = rewarded_by(costly(grid, costs), lambda obs, action, final: jnp.float32(1))

    def play(key):
        state, first = env.init(key)
        actions = jax.random.randint(key, (30,), 0, 4)

        def step(state, at):
            state, ts = env.step(state, *at)
            return state, (ts.obs, ts.signals)

        keys = jax.random.split(key, 30)
        return first, actions, jax.lax.scan(step, state, (actions, keys))[1]

    first, actions, (seen, told) = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 8))
    found = costs_of(told)
    assert set(found) == {"hazard", "stay", "right"} and not isinstance(told, Costs)
    assert all(float(x.max()) == 0 for x in costs_of(first.signals).values())
    states = np.concatenate([first.obs[:, None], seen], 1).argmax(-1)
    at_hazard = np.isin(states[:, 1:], [1, 2, 3, 7, 12])
    np.testing.assert_array_equal(found["hazard"], at_hazard)
    np.testing.assert_array_equal(found["stay"], states[:, 1:] == states[:, :-1])
    np.testing.assert_array_equal(found["right"], np.asarray(actions) == 1)
    assert at_hazard.any() and found["stay"].any() and not found["stay"].all()
    goals = envs.make("point-hazards").spec
    assert set(costs_of(goals.signals)) == {"hazard"} and goals.goals is not None
    assert costs_of(()) == {}
    with pytest.raises(InputError, match="cost all of a step must be one number, not of shape"):
        costly(grid, {"all": lambda obs, action, final: obs})


def test_evaluations_add_up_costs_until_each_episode_ends():
    """Always right from the start without slips: three hazards in four steps, until the end."""
    env = envs.make("hazard-grid", slip=0.0, end=0.2)
    right = memoryless(lambda view, obs, key: (jnp.ones(obs.shape[0], jnp.int32), ()))
    score = evaluate(env, right, (), jax.random.key(1), 32)
    lengths = np.asarray(score.lengths)
    # Every fourth step arrives, and the last one ends the episode.
    np.testing.assert_array_equal(score.costs["hazard"], (lengths - 1) - (lengths - 1) // 4)
    assert score.completed.all() and len(set(lengths)) > 4


def test_the_hazard_costs_what_the_exact_process_says():
    mdp = envs.tabular_mdp("hazard-grid", slip=0.0, end=0.1)
    p, r = np.asarray(mdp.transition), np.asarray(mdp.reward)
    np.testing.assert_allclose(p.sum(-1), 1.0, rtol=1e-6)
    assert p[3, 1, 0] == pytest.approx(0.9) and r[3, 1, 0] == 1 and r[0, 0, 0] == 0
    assert (p @ mdps.hazards())[1, 1] == pytest.approx(0.9)


def test_limits_that_cannot_be_kept_are_refused():
    hp = ppo.Hyperparameters(num_envs=2, rollout_length=8, minibatches=1, hidden=(4,))
    train = lambda env, limits: make_train(cost_limited(ppo.ppo, limits), envs.make(env), hp, 64)
    for env, limits, sentence in (
        ("chain", 0.1, "need an environment that tells costs: try hazard-grid"),
        ("hazard-grid", {"hazards": 0.1}, "no cost of this environment called 'hazards'"),
        ("hazard-grid", 1.5, "The limit of each cost must lie between 0 and 1, but it is 1.5"),
        ("hazard-grid", {"hazard": -0.1}, "The limit of hazard must lie between 0 and 1"),
        ("hazard-grid", {}, "one limit at least"),
    ):
        with pytest.raises(InputError, match=sentence):
            train(env, limits)
