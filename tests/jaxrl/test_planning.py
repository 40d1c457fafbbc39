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
GOAL = jnp.array([[0.3, -0.5, 0.9], [-0.7, 0.2, 0.0]])[..., None]  # [B, H, 1]
WIDE = Plan(jnp.zeros((2, 3, 1)), jnp.ones((2, 3, 1)))
IMPROVERS = {
    "cem": planning.cross_entropy(256, 16, 8),
    "mppi": planning.path_integral(2048, 0.1, 6),
}


def point(end=None):
    """x' = x + a / 2, for a reward of -x'^2; it ends beyond `end`."""

    def step(x, action, key):
        new = x + 0.5 * action
        out = jnp.zeros((), bool) if end is None else new[0] > end
        return new, TimeStep(new, -(new[0] ** 2), 1.0 - out, out, new, {})

    return models.true_model(Env(lambda key: None, step, SPEC), lambda obs, key: obs)


@pytest.mark.parametrize("name", IMPROVERS)
def test_a_quadratic_is_optimised_in_each_lane(name):
    score = lambda actions: -jnp.square(actions - GOAL).sum((-1, -2))
    plan = jax.jit(lambda key: IMPROVERS[name](WIDE, score, key))(KEY)
    # CEM narrows its plans, MPPI averages over them all: a clipped one is drawn inwards or out.
    np.testing.assert_allclose(plan.mean, GOAL, atol={"cem": 0.06, "mppi": 0.2}[name])


def test_one_round_of_mppi_is_a_weighted_mean():
    score = lambda actions: -jnp.square(actions - GOAL).sum((-1, -2))
    plan = planning.path_integral(64, 0.5)(WIDE, score, KEY)
    tried = planning.draw(WIDE, 64, jax.random.split(KEY, 1)[0])
    worth = np.asarray(score(tried), np.float64)
    weight = np.exp((worth - worth.max(0)) / worth.std(0) / 0.5)
    weight /= weight.sum(0)
    oracle = np.einsum("nb,nbha->bha", weight, np.asarray(tried))
    np.testing.assert_allclose(plan.mean, oracle, atol=1e-4)


def test_one_round_of_cem_is_the_mean_of_the_best():
    score = lambda actions: -jnp.square(actions - GOAL).sum((-1, -2))
    plan = planning.cross_entropy(64, 8, 1, 0.25)(WIDE, score, KEY)
    tried = np.asarray(planning.draw(WIDE, 64, jax.random.split(KEY, 1)[0]))
    worth = np.asarray(score(tried))
    for lane in range(2):
        best = tried[np.argsort(-worth[:, lane])[:8], lane]
        np.testing.assert_allclose(plan.mean[lane], 0.75 * best.mean(0), atol=1e-5)
        np.testing.assert_allclose(plan.std[lane], 0.75 * best.std(0) + 0.25, atol=1e-5)


def test_returns_of_plans_are_those_of_a_loop():
    actions = jax.random.uniform(KEY, (4, 2, 3, 1), minval=-1, maxval=1)
    start = jnp.array([[0.2], [-0.4]])
    value = lambda obs: 10.0 * obs[..., 0]
    for end in (None, 0.5):
        score = planning.returns_in(point(end), start, 0.9, KEY, value)
        found = score(actions)
        for n in range(4):
            for b in range(2):
                x, total, alive = float(start[b, 0]), 0.0, 1.0
                for t in range(3):
                    x += 0.5 * float(actions[n, b, t, 0])
                    total += alive * 0.9**t * -(x**2)
                    alive *= end is None or x <= end
                total += alive * 0.9**3 * 10 * x
                np.testing.assert_allclose(found[n, b], total, atol=1e-4)


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


def test_elites_are_among_the_candidates():
    with pytest.raises(ValueError, match="elites 9 must be at most candidates 8"):
        planning.cross_entropy(8, 9)
