"""XLand-MiniGrid, against the package's own environments stepped by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import xland as suite
from envs.suites import xland_rulesets
from jaxrl import tasks
from tests.envs.suites.stepping import checked, played, require_pictures, require_truncation

xminigrid = pytest.importorskip("xminigrid")

FORWARD, RIGHT, PICK, PUT = 0, 1, 3, 4  # the package's actions
XLAND = "xland/XLand-MiniGrid-R1-9x9"


def test_names_are_those_of_the_package():
    assert {name.removeprefix("xland/") for name in suite.names()} == set(
        xminigrid.registered_environments()
    )


@pytest.mark.parametrize("name", [XLAND, "xland/MiniGrid-MemoryS8"])
def test_environments_keep_their_promises(name):
    checked(name, max_steps_in_episode=4)


def test_steps_are_those_of_the_package_and_the_limit_truncates():
    ruleset = jax.tree.map(lambda x: x[0], xland_rulesets.rulesets(jax.random.key(5), 1, depth=1))
    limit, actions = 4, jnp.array([RIGHT, FORWARD, RIGHT, RIGHT])
    ruleset = ruleset.replace(goal=jnp.zeros_like(ruleset.goal))  # nothing to reach
    env = envs.make(XLAND, ruleset=ruleset, max_steps_in_episode=limit)
    states, first, ts = played(env, actions, jax.random.key(0))
    require_truncation(ts, limit)
    theirs, params = xminigrid.make("XLand-MiniGrid-R1-9x9")
    params = params.replace(ruleset=ruleset, max_steps=limit)
    now = theirs.reset(params, jax.random.split(jax.random.key(0), limit + 1)[0])
    show = lambda symbols: suite.planes(symbols, (suite.TILES, suite.COLOURS))
    np.testing.assert_array_equal(first.obs, show(now.observation))
    step = jax.jit(theirs.step)
    for t in range(limit):
        now = step(params, now, actions[t])
        np.testing.assert_array_equal(ts.final[t], show(now.observation))
        np.testing.assert_allclose(ts.reward[t], now.reward)
    assert bool(now.last()) and float(now.discount) == 1
    require_pictures(XLAND, {}, states)


def test_a_choice_in_the_corridor_is_a_termination():
    """In a corridor that ends at once, the agent walks to its end and turns."""
    env = envs.make("xland/MiniGrid-MemoryS8", width=8)
    way = jnp.array([FORWARD] * 8 + [RIGHT, FORWARD])
    _, _, ts = played(env, way, jax.random.key(0))
    ends = np.flatnonzero(ts.last)
    assert len(ends) and float(ts.discount[ends[0]]) == 0


def test_rulesets_can_be_solved_and_differ():
    number, depth = 64, 2
    rules = xland_rulesets.rulesets(jax.random.key(1), number, depth)
    assert len({np.asarray(x).tobytes() for x in rules.goal}) > number // 4
    seen = set()
    for goal, steps, first in zip(*map(np.asarray, (rules.goal, rules.rules, rules.init_tiles))):
        there = {tuple(tile) for tile in first if tuple(tile) != (0, 0)}
        assert len(there) == sum(tuple(tile) != (0, 0) for tile in first)
        used = [rule for rule in steps if rule[0]]
        for rule in used:  # in order: both parts are there, and the product is new
            kind, a, b, product = rule[0], tuple(rule[1:3]), tuple(rule[3:5]), tuple(rule[5:7])
            assert kind == xland_rulesets.MERGE and {a, b} <= there and product not in there
            there = (there - {a, b}) | {product}
        assert tuple(goal[1:3]) in there
        assert goal[0] != xland_rulesets.TOGETHER or tuple(goal[3:5]) in there
        seen.add((int(goal[0]), len(used)))
    assert {kind for kind, _ in seen} == {1, 3, 4} and {d for _, d in seen} == {0, 1, 2}


def test_the_numbers_of_goals_and_rules_are_those_of_the_package():
    from xminigrid.core import goals, rules

    a, b, c = (jnp.array(x, jnp.uint8) for x in ((3, 1), (4, 2), (5, 3)))
    assert int(goals.AgentHoldGoal(a).encode()[0]) == xland_rulesets.HOLD
    assert int(goals.AgentNearGoal(a).encode()[0]) == xland_rulesets.NEAR
    assert int(goals.TileNearGoal(a, b).encode()[0]) == xland_rulesets.TOGETHER
    np.testing.assert_array_equal(rules.TileNearRule(a, b, c).encode(), [3, 3, 1, 4, 2, 5, 3])


def test_rulesets_are_tasks():
    """Each lane has the goal of its own number, which learners are told."""
    make = lambda number: envs.make(XLAND, ruleset=number)
    env = tasks.tasked(make, tasks.uniform(0, 63))
    lanes = envs.vectorize(env, 4)
    state, ts = lanes.init(jax.random.key(0))
    goals = xland_rulesets.rulesets(jax.random.key(0), suite.LOCAL).goal
    np.testing.assert_array_equal(state.inner.goal_encoding, goals[ts.signals.params])
    assert len(set(np.asarray(ts.signals.params).tolist())) > 1


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"ruleset": 5000}, "a ruleset numbered 0 to 1023, not 5000"),
        ({"benchmark": "tiny"}, "no benchmark of rulesets called 'tiny': choose from trivial-21k"),
        ({"max_steps_in_episode": 0}, "positive number of steps"),
    ],
)
def test_bad_input(params, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.make(XLAND, **params)
    with pytest.raises(ValueError, match="no parameter 'ruleset'"):
        envs.make("xland/MiniGrid-Unlock", ruleset=3)
