"""The sum tree against NumPy, and the frequencies of what is drawn against exact probabilities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from jaxrl import buffers, prioritised
from jaxrl.types import Transition, Update
from jaxrl.updates import prioritised as replay
from tests.compiling import OPTIMISED

assign = jax.jit(prioritised.assign)


@jax.jit
def built(values):
    index = jnp.arange(len(values))
    return prioritised.assign(prioritised.init(len(values)), index, values)


def tree_of(values):
    """A tree with these leaves, in numpy."""
    return jax.tree.map(np.asarray, built(np.float32(values)))


@partial(jax.jit, static_argnums=(1, 2), compiler_options=OPTIMISED)
def drawn(tree, number, batch, seed):
    keys = jax.random.split(jax.random.key(seed), number)
    return jax.vmap(lambda key: prioritised.sample(tree, key, batch))(keys)


def draws(tree, number, batch=1024, seed=0):
    """Leaves [number, batch] and their probabilities, in numpy."""
    return jax.tree.map(np.asarray, drawn(tree, number, batch, seed))


@pytest.mark.parametrize("leaves", [1, 2, 15, 17, 257, 1000])
def test_leaves_are_what_was_assigned_and_sums_do_not_drift(leaves):
    rng = np.random.default_rng(leaves)
    tree, truth = prioritised.init(leaves), np.zeros(leaves, np.float32)
    for scale in 10.0 ** rng.uniform(-6, 6, 60):
        index = np.int32(rng.integers(0, leaves, 16))
        value = (rng.exponential(size=leaves) * scale).astype(np.float32)[index]
        tree = jax.tree.map(np.asarray, assign(tree, index, value))
        truth[index] = value  # equal indices have equal values
        np.testing.assert_array_equal(prioritised.priorities(tree)[:leaves], truth)
        assert not prioritised.priorities(tree)[leaves:].any()
    # The history leaves no trace: the same leaves, assigned at once, make the same tree.
    for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(tree_of(truth)), strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(prioritised.total(tree), truth.astype(np.float64).sum(), rtol=1e-6)


def test_integer_priorities_have_exact_sums():
    values = np.random.default_rng(0).integers(0, 100, 3000)
    assert prioritised.total(tree_of(values)) == values.sum()


def test_a_repeated_index_gets_one_of_its_values_and_sums_agree():
    tree = assign(tree_of(np.ones(40)), np.int32([3, 3, 3]), np.float32([5.0, 2.0, 4.0]))
    tree = jax.tree.map(np.asarray, tree)
    leaf = float(prioritised.priorities(tree)[3])
    assert leaf in (5.0, 2.0, 4.0)
    assert prioritised.total(tree) == 39 + leaf


@pytest.mark.parametrize("batch", [1, 7, 512])
def test_frequencies_are_proportional_to_priorities(batch):
    values = np.random.default_rng(1).exponential(size=300) ** 2
    values[::7] = 0
    index, probability = draws(tree_of(values), 140_000 // batch, batch)
    tally = np.bincount(index.ravel(), minlength=300)[:300]
    some = values > 0
    assert not tally[~some].any()
    expected = values[some] / values.sum() * tally.sum()
    # Stratified draws vary less than independent ones, so the test only errs to the safe side.
    assert chisquare(tally[some], expected * (tally.sum() / expected.sum())).pvalue > 1e-3
    np.testing.assert_allclose(probability, (values / values.sum())[index], rtol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        np.where(np.arange(5000) % 3 == 1, 1e-3, 0),
        np.where(np.arange(5000) < 4321, 0.1, 0),  # nothing at the end
        np.where(np.arange(5000) == 4999, 1, 0),
        np.where(np.arange(5000) == 0, 1, 0),
        np.where(np.arange(5000) % 2 == 0, 10.0 ** (np.arange(5000) % 40 - 28), 0),
        np.where(np.arange(5000) % 5 == 2, 1 / 3, 0) * (1 + 1e-7 * np.arange(5000)),
    ],
)
def test_a_slot_without_priority_is_never_drawn(values):
    index, probability = draws(tree_of(values), 100, 4096)
    assert (values[index] > 0).all()
    assert np.isfinite(probability).all() and (probability > 0).all()


@pytest.mark.parametrize("edge", [0.0, 1 - 2.0**-24, 1.0])
def test_the_edges_of_the_uniform_draw_are_safe(edge, monkeypatch):
    @jax.jit
    def run(tree, edge):
        monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, edge))
        return prioritised.sample(tree, jax.random.key(0), 256)

    values = np.zeros(1000)
    values[[17, 400, 401, 930]] = [1e-6, 3.0, 1 / 3, 0.1]
    index, probability = run(tree_of(values), np.float32(edge))
    assert set(np.asarray(index).tolist()) <= {17, 400, 401, 930}
    assert np.isfinite(probability).all()


def test_members_of_a_population_are_drawn_as_if_alone():
    sample = lambda values, key: prioritised.sample(built(values), key, 64)[0]

    @jax.jit
    def run(values):
        keys = jax.random.split(jax.random.key(0), 3)
        return jax.vmap(sample)(values, keys), [sample(values[i], keys[i]) for i in range(3)]

    together, alone = run(np.float32(np.random.default_rng(2).exponential(size=(3, 200))))
    np.testing.assert_array_equal(together, alone)


def test_importance_weights_are_those_of_the_paper():
    p = np.float32([0.5, 0.25, 0.01, 0.01])
    importance = jax.jit(prioritised.importance)
    raw = (100.0 * p) ** -0.4
    np.testing.assert_allclose(importance(p, 100, 0.4), raw / raw.max(), rtol=1e-6)
    np.testing.assert_array_equal(importance(p, 100, 0.0), np.ones(4))


@pytest.mark.parametrize(("time", "length"), [(1, 1), (1, 3), (2, 3), (4, 2)])
def test_no_start_is_replayed_whose_sequence_is_incomplete_or_overwritten(time, length):
    rows, lanes, batch = 12, 2, 256

    def inner_apply(state, batch, key):
        return state, {"priority": batch.reward[0] * 0 + 1, "drawn": batch.reward}

    inner = Update(lambda key, example: (), inner_apply, lambda state: state)
    update = replay(inner, rows, batch, length=length)

    def experience(first, number):
        value = np.float32(10 * np.arange(first, first + number)[:, None] + np.arange(lanes))
        one = np.ones_like(value)
        return Transition(value, value, value, one, one < 0, value, (), one)

    state = jax.jit(update.init)(jax.random.key(0), experience(0, 4))
    apply, total = jax.jit(lambda *args: update.apply(*args[:2], jax.random.key(args[2]))), 4
    while total < 3 * rows + 4:
        state, metrics = apply(state, experience(total, time), total)
        total += time
        runs = np.asarray(metrics["drawn"]).reshape(length, batch).T
        starts = range(max(total - rows, 0), total - length + 1)
        allowed = {
            tuple(10.0 * (s + i) + b for i in range(length)) for s in starts for b in range(lanes)
        }
        assert {tuple(run) for run in runs.tolist()} == allowed


@pytest.mark.parametrize(
    ("rows", "lanes", "time", "length", "warmup"),
    [(12, 2, 1, 1, 4), (12, 2, 1, 3, 0), (12, 3, 4, 6, 8), (6, 1, 6, 3, 6)],
)
def test_advance_lets_in_complete_starts_and_bars_all_others(rows, lanes, time, length, warmup):
    @partial(jax.jit, static_argnums=2)
    def advance(tree, reduced, number, priority):
        tree = prioritised.advance(tree, reduced, number, rows, lanes, length, priority)
        return tree, buffers.advance(reduced, number, rows)

    tree, truth, added = prioritised.init(rows * lanes), np.zeros((rows, lanes), np.float32), 0
    reduced = np.int32(0)  # what a buffer counts, while `added` is the truth
    for step, number in enumerate([warmup] + [time] * (4 * rows // time + 2)):
        tree, reduced = advance(tree, reduced, number, 2.0 + step)
        old, truth, end = truth, np.zeros_like(truth), added + number
        for start in range(max(end - rows, 0), end - length + 1):
            truth[start % rows] = old[start % rows] if start + length <= added else 2.0 + step
        added = end
        same = tree_of(truth.ravel())  # sums and all
        np.testing.assert_array_equal(tree.nodes, same.nodes)


def test_a_population_advances_by_slices_in_place():
    trees = jax.eval_shape(lambda: jax.vmap(lambda _: prioritised.init(4096))(jnp.arange(3)))

    def advance(tree, added):
        return prioritised.advance(tree, added, 2, 2048, 2, 3, 1.0)

    many = jax.jit(jax.vmap(advance, in_axes=(0, None)), donate_argnums=0)
    compiled = many.lower(trees, jnp.int32(0)).compile()
    assert " scatter(" not in compiled.as_text()
    assert compiled.memory_analysis().temp_size_in_bytes < trees.nodes.size  # a quarter of it


def test_learning_writes_priorities_in_place():
    def learn(state, batch, key):
        error = batch.reward - state
        return state + (batch.weight * error).mean(), {"priority": jnp.abs(error[0])}

    whole = replay(Update(lambda key, example: jnp.zeros(()), learn, lambda state: state), 4096, 8)
    rows = Transition(*[jnp.zeros((2, 1))] * 6, (), jnp.ones((2, 1)))
    state = jax.eval_shape(whole.init, jax.random.key(0), rows)

    def run(state, keys):
        return jax.lax.scan(lambda state, key: whole.apply(state, rows, key), state, keys)

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    memory = jax.jit(run, donate_argnums=0).lower(state, keys).compile().memory_analysis()
    assert memory.temp_size_in_bytes < state.tree.nodes.size  # a quarter of the tree


def test_small_leaves_of_a_large_tree_are_drawn_without_bias():
    leaves = 2**17  # with one draw of 23 bits, steps of the goal are wider than the small leaves
    values = np.where(np.arange(leaves) % 2, 1.3, 0.004)
    values *= np.random.default_rng(0).uniform(0.5, 1.5, leaves)
    tree, tally = tree_of(values), np.zeros(leaves)
    for seed in range(4):
        index = draws(tree, 4000, 256, seed)[0]
        tally += np.bincount(index.ravel(), minlength=leaves)
    groups, each = values[::2].reshape(-1, 512), tally[::2].reshape(-1, 512)
    expected = groups / values.sum() * tally.sum()
    statistic = ((each - expected) ** 2 / expected).sum() / expected.size  # 1, and 1.9 if biased
    assert abs(statistic - 1) < 0.1
