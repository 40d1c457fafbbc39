"""What a run computes does not depend on how it is run: bit for bit, for every agent."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.population import populate
from jaxrl.types import Counter, population_axes
from tests.agents.cases import CASES, case

KEY = 7


def raw(x):
    x = jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    return np.asarray(jax.device_get(x))


def assert_same(a, b):
    pairs = zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True)
    for (path, x), y in pairs:
        np.testing.assert_array_equal(raw(x), raw(y), err_msg=jax.tree_util.keystr(path))


def assert_close(a, b):
    """Equal to the rounding of a few gradient steps."""
    pairs = zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True)
    for (path, x), y in pairs:
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(raw(x), raw(y), rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_saved_restored_evaluated_and_continued(name, tmp_path):
    """Neither a checkpoint nor an evaluation between two halves changes the whole.

    One compiled program takes the whole, each half and the evaluation: two programs of the same
    arithmetic may round otherwise, as below.
    """
    setup = assemble(*case(name))
    start = jax.jit(setup.experiment.init)(jax.random.key(KEY))

    @jax.jit
    def train(run, steps, evaluated):
        run = jax.lax.fori_loop(0, steps, lambda _, run: setup.experiment.step(run)[0], run)
        view = setup.agent.update.read(run.learner)
        episodes = jnp.where(evaluated, 20, 0)
        return run, evaluate(setup.env, setup.agent.exploit, view, jax.random.key(1), 2, episodes)

    end, unseen = train(start, 6, False)
    middle, seen = train(start, 3, True)
    assert (unseen.lengths == 0).all() and (seen.lengths > 0).all()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", middle)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "run", jax.eval_shape(lambda: middle))
    assert_same(restored, middle)
    assert_same(train(restored, 3, True)[0], end)


def test_a_member_of_a_sweep_depends_on_no_neighbour_and_no_device():
    """To the bit; and to rounding it is what a run by itself, or on one device, computes.

    XLA is free to contract a * b + c and to order sums differently when shapes differ, so that
    another compilation may round otherwise.
    """
    make, env, hp = case("ppo_gru")
    assert jax.device_count() == 4

    def run(rate, gamma, key):
        experiment = assemble(make, env, hp.replace(learning_rate=rate, discount=gamma)).experiment
        return advance(experiment, experiment.init(key), 6)[0]

    rates, gammas = (
        jnp.array([hp.optimisation.learning_rate, 1e-4] * 4),
        jnp.array([hp.discount, 0.9] * 4),
    )
    points = rates, gammas, jax.random.split(jax.random.key(KEY), 8)
    alone = jax.jit(run)(*(x[0] for x in points))
    axes = population_axes(alone)
    spread = jax.jit(populate(run, (0, 0, 0), axes, jax.devices()))
    # On one device before they are compared: to index what is spread takes collectives, several of
    # which at once can wait for each other where there are fewer cores than devices.
    here = lambda tree: jax.block_until_ready(jax.device_put(tree, jax.devices()[0]))
    many, moved = here(spread(*points)), here(spread(*(jnp.roll(x, 3) for x in points)))
    for i in range(8):
        assert_same(member(many, i), member(moved, (i + 3) % 8))
    one = jax.jit(populate(run, (0, 0, 0), axes))(*points)
    assert_close(many.learner, one.learner)
    assert_close(member(many, 0).learner, alone.learner)
    text = spread.lower(*points).as_text()
    assert "all_reduce" not in text and "all_gather" not in text


def member(population, index):
    """One member of a population."""
    pick = lambda x: x if isinstance(x, Counter) else jax.tree.map(lambda y: y[index], x)
    return jax.tree.map(pick, population, is_leaf=lambda node: isinstance(node, Counter))
