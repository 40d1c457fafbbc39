"""Planning: closed forms of quadratic problems, and loops, are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import models, planning
from jaxrl.planning import Plan
from jaxrl.types import Box, Env, Spec, TimeStep

KEY = jax.random.key(0)
SPEC = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
BEST = jnp.array([[0.3, -0.5, 0.9], [-0.7, 0.2, 0.0]])[..., None]  # [B, H, 1]
WIDE = Plan(jnp.zeros((2, 3, 1)), jnp.ones((2, 3, 1)))
IMPROVERS = {
    "cem": planning.cross_entropy(256, 16, 8),
    "mppi": planning.path_integral(2048, 0.1, 6),
}


def point(end=None, cut=None):
    """x' = x + a / 2, for a reward of -x'^2; terminated beyond `end`, truncated beyond `cut`."""

    def step(x, action, key):
        new = x + 0.5 * action
        out, stop = (new[0] > (jnp.inf if x is None else x) for x in (end, cut))
        return new, TimeStep(new, -(new[0] ** 2), 1.0 - out, out | stop, new, {})

    return models.true_model(Env(lambda key: None, step, SPEC), lambda obs, key: obs)


@pytest.mark.parametrize("name", IMPROVERS)
def test_a_quadratic_is_optimised_in_each_lane(name):
    score = lambda actions: -jnp.square(actions - BEST).sum((-1, -2))
    plan = jax.jit(lambda key: IMPROVERS[name](WIDE, score, key))(KEY)
    # CEM narrows its plans, MPPI averages over them all: a clipped one is drawn inwards or out.
    np.testing.assert_allclose(plan.mean, BEST, atol={"cem": 0.06, "mppi": 0.2}[name])


def test_one_round_of_mppi_is_a_weighted_mean():
    score = lambda actions: -jnp.square(actions - BEST).sum((-1, -2))
    plan = planning.path_integral(64, 0.5)(WIDE, score, KEY)
    tried = planning.draw(WIDE, 64, jax.random.split(KEY, 1)[0])
    scores = np.asarray(score(tried), np.float64)
    weight = np.exp((scores - scores.max(0)) / scores.std(0) / 0.5)
    weight /= weight.sum(0)
    oracle = np.einsum("nb,nbha->bha", weight, np.asarray(tried))
    np.testing.assert_allclose(plan.mean, oracle, atol=1e-4)


def test_one_round_of_cem_is_the_mean_of_the_best():
    score = lambda actions: -jnp.square(actions - BEST).sum((-1, -2))
    plan = planning.cross_entropy(64, 8, 1, 0.25)(WIDE, score, KEY)
    tried = np.asarray(planning.draw(WIDE, 64, jax.random.split(KEY, 1)[0]))
    scores = np.asarray(score(tried))
    for lane in range(2):
        best = tried[np.argsort(-scores[:, lane])[:8], lane]
        np.testing.assert_allclose(plan.mean[lane], 0.75 * best.mean(0), atol=1e-5)
        np.testing.assert_allclose(plan.std[lane], 0.75 * best.std(0) + 0.25, atol=1e-5)


def test_returns_of_plans_are_those_of_a_loop():
    actions = jax.random.uniform(KEY, (4, 2, 3, 1), minval=-1, maxval=1)
    start = jnp.array([[0.2], [-0.4]])
    for end, cut in ((None, None), (0.5, None), (None, 0.3), (0.5, 0.3), (0.3, 0.3)):
        for scale in (10.0, 0.0):
            value = (lambda obs: 10.0 * obs[..., 0]) if scale else None
            found = planning.returns_in(point(end, cut), start, 0.9, KEY, value)(actions)
            for n, b in np.ndindex(4, 2):
                x, total, weight = float(start[b, 0]), 0.0, 1.0
                for t in range(3):
                    x += 0.5 * float(actions[n, b, t, 0])
                    total += weight * -(x**2)
                    weight *= 0.9
                    if end is not None and x > end:
                        weight = 0.0
                    if weight == 0.0 or (cut is not None and x > cut):
                        break
                np.testing.assert_allclose(found[n, b], total + weight * scale * x, atol=1e-4)


def test_a_truncated_plan_is_worth_the_value_where_it_was_cut():
    """A reward of -1, then a value of -10: -11, whatever the model says after the cut."""

    def step(state, action, key):
        one = jnp.ones(state.shape[0])
        reward = jnp.where(state[:, 0] > 0, jnp.nan, -1.0)
        return state + 1, TimeStep(state + 1, reward, one, one > 0, state + 1, {})

    model = models.Model(lambda obs, key: obs, step, SPEC)
    value = lambda obs: jnp.where(obs[..., 0] == 1, -10.0, jnp.nan)
    score = planning.returns_in(model, jnp.zeros((2, 1)), 1.0, KEY, value)
    np.testing.assert_allclose(score(jnp.zeros((3, 2, 4, 1))), -11.0)


@pytest.mark.parametrize("name", IMPROVERS)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_scores_that_are_not_finite_are_the_worst(name, bad):
    """Lane 0 has them for half of its candidates, lane 1 for all of them."""

    def score(actions):
        right = -jnp.square(actions - BEST).sum((-1, -2))
        lost = jnp.stack([actions[:, 0, 0, 0] < 0, jnp.ones(actions.shape[0], bool)], -1)
        return jnp.where(lost, bad, right)

    start = Plan(jnp.full((2, 3, 1), 0.1), jnp.ones((2, 3, 1)))
    plan = jax.jit(lambda key: IMPROVERS[name](start, score, key))(KEY)
    np.testing.assert_allclose(plan.mean[0], BEST[0], atol={"cem": 0.06, "mppi": 0.2}[name])
    np.testing.assert_array_equal(plan.mean[1], start.mean[1])
    np.testing.assert_array_equal(plan.std[1], start.std[1])


def test_fewer_finite_scores_than_elites():
    """The plan is fitted to those that are finite."""
    tried = planning.draw(WIDE, 64, jax.random.split(KEY, 1)[0])
    kept = tried[:, 0, 0, 0] > 1.0 - 1e-6  # clipped ones: 10 or so of 64

    def score(actions):
        return jnp.where(actions[:, :, 0, 0] > 1.0 - 1e-6, 0.0, jnp.nan)

    plan = planning.cross_entropy(64, 40, 1, 0.0)(WIDE, score, KEY)
    np.testing.assert_allclose(
        plan.mean[0], np.asarray(tried)[np.asarray(kept), 0].mean(0), atol=1e-5
    )


def test_the_scale_of_scores_does_not_matter():
    def mean(scale):
        score = lambda actions: -scale * jnp.square(actions - BEST).sum((-1, -2))
        return planning.path_integral(256, 0.1, 2)(WIDE, score, KEY).mean

    small, one, large = jax.jit(jax.vmap(mean))(jnp.array([1e-12, 1.0, 1e30]))
    np.testing.assert_allclose(small, one, atol=1e-3)
    np.testing.assert_allclose(large, one, atol=1e-3)


def test_the_planner_goes_to_the_origin_and_remembers_its_plan():
    actor = planning.planner(lambda view: point(), SPEC, IMPROVERS["cem"], 4, 0.9, std=0.5)
    memory = actor.init(2)
    obs = jnp.array([[0.4], [-0.2]])
    action, memory, _ = jax.jit(actor.step)((), memory, obs, KEY)
    np.testing.assert_allclose(action[:, 0], [-0.8, 0.4], atol=0.08)
    np.testing.assert_allclose(memory, 0, atol=0.25)  # having arrived, it stays; then it is blank
    np.testing.assert_array_equal(memory[:, -1], 0)


def test_the_value_after_the_plan_counts():
    """With a horizon of one, only the value makes it go right."""
    value = lambda view, obs: view * obs[..., 0]
    make = lambda: planning.planner(
        lambda view: point(), SPEC, IMPROVERS["cem"], 1, 1.0, value=value
    )
    action, _, _ = make().step(3.0, make().init(1), jnp.zeros((1, 1)), KEY)
    np.testing.assert_allclose(action, 1.0, atol=0.1)  # -a^2 / 4 + 3 a / 2 rises up to a = 3


def test_a_plan_starts_from_a_better_proposal():
    """Going to the origin beats to stay, and to stay beats going away from it."""
    as_it_is = lambda plan, score, key: plan
    obs = jnp.array([[0.4], [-0.2]])
    proposal = jnp.zeros((2, 3, 1)).at[:, 0, 0].set(jnp.array([-0.8, -0.4]))
    actor = planning.planner(
        lambda view: point(), SPEC, as_it_is, 3, 1.0, propose=lambda view, obs: proposal
    )
    action, _, _ = actor.step((), actor.init(2), obs, KEY)
    np.testing.assert_allclose(action[:, 0], [-0.8, 0.0], atol=1e-6)


def test_elites_are_among_the_candidates():
    with pytest.raises(ValueError, match="elites 9 must be at most candidates 8"):
        planning.cross_entropy(8, 9)
