"""Reproductions in small: what they leave, and what they claim where it is exact."""

import itertools
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from experiments.cli import main
from experiments.reproductions import (
    edge,
    empowerment,
    expressivity,
    guided,
    perceptual_stages,
    sparse_control,
    steering,
    stock,
    varying_players,
)
from experiments.reproductions.curves import Curve, Trial, choose, panels, tune
from jaxrl.rewards import segmented
from jaxrl.rewards.skills import SkillReward
from jaxrl.types import Box, Env, Spec, TimeStep
from tests.compiling import OPTIMISED


def rows(name, tmp_path, *words):
    assert main(["reproduce", name, *words, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name / "picture.png").stat().st_size > 0
    assert (tmp_path / name / "results.md").read_text().count("|") > 20
    return json.loads((tmp_path / name / "results.json").read_text())


def test_no_sweep_contracts_by_less_than_its_bound(tmp_path):
    found = rows("rates", tmp_path, "--processes", "3", "--sweeps", "15", "--atoms", "21")
    for row in found:
        assert row["mean factor"] <= row["largest factor"] <= row["bound"] + 1e-3, row
        if row["family"] == "mean":  # attained where all rewards are alike, and nearly anywhere
            assert row["largest factor"] > 0.9 * row["bound"]


@pytest.mark.thorough
def test_robust_plans_pay_without_a_shift_and_gain_with_a_large_one(tmp_path):
    found = rows("robust", tmp_path, "--processes", "30", "--draws", "2")
    for row in found:
        if row["shift"] == 0:
            assert row["gain"] <= 1e-4
        if row["shift"] == 0.8 and row["kernel"] == "worst" and row["plan"] == "TV, price 1":
            assert row["low"] > 0, row  # five standard errors


@pytest.mark.thorough
def test_the_mine_has_the_cvar_of_all_its_plans(monkeypatch):
    """A plan is how many steps to dig, by what was dug so far, and then to walk to the garden."""
    with monkeypatch.context() as patch:  # its table is large
        patch.setattr(jax, "jit", partial(jax.jit, compiler_options=OPTIMISED))
        best, neutral = stock.exact()
    digs = stock.TIME - 3
    # Brute force of plans that never leave what they chose: all garden, or all mine.
    outcomes = np.array([5.0 * k - 2.0 * (digs - k) for k in range(digs + 1)])
    chances = np.array([float(np.prod(range(digs - k + 1, digs + 1))) for k in range(digs + 1)])
    chances = chances / np.cumprod([1, *range(1, digs + 1)]) / 2**digs

    def cvar(level):
        below = np.cumsum(chances) - chances
        return (np.clip(level - below, 0, chances) * outcomes).sum() / level

    for level, found, mean in zip(stock.LEVELS, best, neutral):
        assert mean == pytest.approx(cvar(level), abs=1e-3)
        assert found >= max(cvar(level), digs - 1) - 1e-3  # the garden is a step further
    assert best[-1] == pytest.approx(1.5 * digs, abs=1e-3)
    assert best[0] == pytest.approx(digs - 1, abs=0.5) and best[0] > neutral[0] + 5
    # In between, to dig as long as it goes well is better than either.
    assert (best > np.maximum([cvar(level) for level in stock.LEVELS], digs - 1) + 0.1).any()


def test_the_edge_of_reach_misleads_one_critic_and_not_the_minimum_of_ten():
    best = -sum(0.1 * s * 0.95**t for t, s in enumerate((5, 4, 3, 2, 1)))
    assert best == pytest.approx(-1.40, abs=0.01)
    keys = jax.random.split(jax.random.key(0), 20)

    def found(steps, critics):
        run = edge.trained(steps, critics, terminated=False, rounds=150)
        return (np.asarray(x) for x in jax.jit(jax.vmap(run))(keys))

    believed, value, _ = found(1, 1)
    assert believed.mean() > 0 and value.mean() < -6
    believed, value, variance = found(3, 10)
    assert believed.mean() == pytest.approx(best, abs=0.1)
    assert (value > best - 0.01).mean() >= 0.9
    # At the edge values are as they began: the larger of two normal ones, in a sample of ten.
    within, at_edge = variance.mean(0)
    assert within < 1e-4 and at_edge == pytest.approx(0.9 * 25 * (1 - 1 / np.pi), rel=0.3)


def test_likelier_models_control_better_only_where_errors_differ_much(tmp_path):
    wide, narrow, *pendulum = rows("mismatch", tmp_path, "--models", "200", "--seeds", "10")
    assert wide["rank correlation"] > 0.8 and narrow["rank correlation"] < 0.4
    errors, costs = ([row[name] for row in pendulum] for name in ("error", "cost"))
    assert errors == sorted(errors) and costs == sorted(costs, reverse=True)
    assert pendulum[-1]["high"] < pendulum[0]["low"]


def test_the_better_learning_rate_is_taken_and_drawn_beside_others():
    """A table that moves by a millionth learns nothing of a chain; by a half, all of it."""
    entry = AGENTS["q-learning"]
    hp = entry.defaults.replace(epsilon=0.5, decay_power=0.0, discount=0.9)
    trial = Trial(entry.make, envs.make("chain", length=4, max_steps_in_episode=20), hp, 4e3, 4)
    rate, curve = tune({"chain": trial}, (1e-6, 0.5), seeds=2)["chain"]
    assert rate == 0.5 and curve.returns.shape == (2, 4)
    assert curve.returns[:, -1].min() == pytest.approx(1.0, abs=0.05)
    worse = curve._replace(returns=curve.returns - 1)
    table, figure = panels({("chain", "good"): curve, ("chain", "bad"): worse}, ("where", "what"))
    assert [row["what"] for row in table] == ["good", "bad"]
    assert table[0]["final return"] - table[1]["final return"] == pytest.approx(1.0)
    assert len(figure.axes) == 1


def test_settings_are_chosen_on_seeds_that_are_not_reported():
    entry = AGENTS["q-learning"]
    hp = entry.defaults.replace(epsilon=0.5, decay_power=0.0, discount=0.9)
    trial = Trial(entry.make, envs.make("chain", length=4, max_steps_in_episode=20), hp, 4e3, 4)
    settings = [{"learning_rate": rate} for rate in (1e-6, 0.5)]
    found = choose(trial, settings, 3, observe=lambda view, key: {"drawn": jax.random.uniform(key)})
    assert found.setting == settings[1] and found.curve.returns.shape == (3, 4)
    assert found.curve.returns[:, -1].min() == pytest.approx(1.0, abs=0.05)
    assert found.before["drawn"].shape == (2, 4)
    drawn = np.concatenate([found.before["drawn"], found.metrics["drawn"]])
    assert len(np.unique(drawn)) == 20  # no seed is in both


def test_descent_through_a_simulator_finds_the_controls_of_the_closed_form():
    """x <- x / 2 + u at the cost x^2: the best is u = -x / 2 at once, for a return of -x_0^2."""

    def now(x, reward):
        return TimeStep(x, reward, jnp.ones(()), jnp.zeros((), bool), x, {})

    def init(key):
        x = jax.random.uniform(key, (1,), minval=-0.9, maxval=0.9)
        return x, now(x, jnp.zeros(()))

    step = lambda x, u, key: (x / 2 + u, now(x / 2 + u, -jnp.square(x[0])))
    env = Env(
        init, step, Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-np.ones(1), np.ones(1)))
    )
    starts = jax.vmap(init)(jax.random.split(jax.random.key(3), 8))[0]
    found = jax.jit(lambda key: sparse_control.optimum(env, key, 8, 300))(jax.random.key(3))
    assert float(found) == pytest.approx(-np.square(starts).mean(), abs=0.01)


def test_what_is_gained_on_the_best_evaluations_is_counted_by_seed():
    returns = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 6.0, 6.0, 3.0, 0.0, 0.0]])
    top, gain = sparse_control.best(Curve(np.arange(6), returns))
    # Windows of three: 1, 2, 3, 4 and 6, 5, 3, 1, whose means are 3.5, 3.5, 3 and 2.5.
    assert top == 3.5
    np.testing.assert_allclose(gain, [3.0, -5.0])


def test_true_trajectories_have_no_error_at_any_depth():
    """And one that is wrong by 0.1 in its third state has that error there, and none before."""
    data = guided.logged(jax.random.key(0))
    error, likely = jax.jit(guided.judged)(data)
    np.testing.assert_allclose(error, 0, atol=1e-5)
    by_hand = np.asarray(data.action) - np.asarray(guided.seeking(guided.TARGET, data.obs))
    np.testing.assert_allclose(likely, -0.5 * np.square(by_hand).sum(-1).mean(), rtol=1e-5)
    wrong = data._replace(final=data.final.at[2, :, 0].add(0.1))
    np.testing.assert_allclose(guided.judged(wrong)[0][:4], [0, 0, 0.1, 0], atol=1e-5)


def test_steps_to_a_level_count_from_where_it_lasts():
    success = np.array([[0.0, 0.95, 0.5, 0.9, 1.0], [0.0, 0.0, 0.0, 0.0, 0.8]])
    found = steering.steps_to(0.9, np.arange(5) * 100, success)
    np.testing.assert_array_equal(found, [300, np.inf])


def test_orders_that_one_objective_expresses_and_another_does_not():
    """Every reward out of a fine grid is tried where the linear programme says that none fits."""
    policies = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    grid = np.stack(np.meshgrid(*[np.linspace(-2, 2, 41)] * 2), -1).reshape(-1, 2)
    possible = {
        expressivity.signs(expressivity.counts(policies) @ reward).tobytes() for reward in grid
    }
    assert len(possible) == 3  # a is better, b is better, or nothing is
    for values in itertools.product(range(3), repeat=3):
        order = expressivity.signs(np.array(values, float))
        found = expressivity.OBJECTIVES["Markov reward"].express(policies, order)
        assert found == (order.tobytes() in possible)
    # To choose the same twice, in episodes of two choices, needs a memory: by hand, 1, 1/2, 1.
    twice = expressivity.sequences(policies) @ np.array([1, 0, 0, 1])
    np.testing.assert_allclose(twice, [1, 0.5, 1])
    found = expressivity.counterexample(
        expressivity.OBJECTIVES["inner function"], expressivity.OBJECTIVES["Markov reward"]
    )
    assert found is not None and found[0] == 3 and "one of each" in found[1]
    for less, more in (("Markov reward", "inner function"), ("event", "reward machine")):
        pair = (expressivity.OBJECTIVES[name] for name in (less, more))
        assert expressivity.counterexample(*pair) is None


def test_empowerment_keeps_what_actions_control_and_information_what_lasts():
    """Of all maps to three classes, by the closed forms of the place and of the sign."""
    entropy = lambda most: -(most * np.log(most) + (1 - most) * np.log((1 - most) / 2))
    place, sign = np.log(3) - entropy(1 - 0.4 / 3), np.log(3) - entropy(1 - 0.2 / 3)
    told = empowerment.exact(0.9)
    for what, value, kept in (("empowerment", place, "place"), ("information", sign, "sign")):
        best = told[what] > told[what].max() - 1e-9
        assert told[what].max() == pytest.approx(value)
        for part in ("place", "sign"):
            np.testing.assert_allclose(told[part][best], float(part == kept), atol=1e-9)


def test_a_key_opens_the_door_and_stages_without_other_features_are_found():
    """The best policy for the goal takes as many steps as a search in breadth."""
    keys = jax.random.split(jax.random.key(0), 4)
    it = jax.vmap(partial(perceptual_stages.world, 0.0))(keys)
    goal = np.arange(perceptual_stages.STATES) >= 3 * perceptual_stages.CELLS

    def demonstrated(it, key):
        best = perceptual_stages.greedy(it, jnp.asarray(goal, float))
        features, stage = perceptual_stages.demonstrated(it, 0.0, 3, key)
        return best, jax.vmap(lambda x: segmented(x, 4))(features) != stage

    actions, wrong = map(np.asarray, jax.jit(jax.vmap(demonstrated))(it, keys))
    assert wrong.mean() < 0.03
    for to, best in zip(np.asarray(it.to), actions):
        steps, front, seen = {}, np.flatnonzero(goal), set()
        for distance in range(60):
            steps |= {int(state): distance for state in front}
            seen |= set(front.tolist())
            front = [s for s in range(len(to)) if s not in seen and set(to[s].tolist()) & seen]
            front = np.array(front, int)
        for state in np.flatnonzero(perceptual_stages.START):
            taken, now = 0, state
            while not goal[now] and taken < 60:
                now, taken = to[now, best[now]], taken + 1
            assert taken == steps[int(state)]


def test_the_information_of_joint_actions_is_a_mean_over_all_of_them():
    """Of a discriminator that is a table, for two players of whom others are absent."""
    game = varying_players.drawn(2, jax.random.key(0))
    assert (np.asarray(game.weights) > 0).sum() == 2
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, 3, 3))  # of modes and of the actions of both players
    policies = rng.dirichlet(np.ones(3), (2, varying_players.PLAYERS))

    def pay(params, obs, final, skill):
        both = final[..., :6].reshape(*final.shape[:-1], 2, 3)
        of_actions = jnp.einsum("...k,kab,...a,...b->...", skill, table, both[..., 0, :],
                                both[..., 1, :])  # fmt: skip
        return of_actions + 9 * final[..., 6 : 3 * varying_players.PLAYERS].sum(-1)

    none = lambda params, target, batch, key: (jnp.zeros(()), {})
    told = SkillReward(lambda key: (), pay, none)
    drawn = lambda key: varying_players.told_apart(told, (), game, jnp.asarray(policies), key)[0]
    found = np.asarray(jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(1), 4_000)))
    exact = np.einsum("kab,ka,kb->k", table, policies[:, 0], policies[:, 1])
    error = found.std(0) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(found.mean(0) - exact), 6 * error + 1e-5)
