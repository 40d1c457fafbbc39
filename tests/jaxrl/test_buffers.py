"""The ring against a deque in plain Python, and the frequencies of what is drawn."""

from collections import Counter as Tally
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from jaxrl import buffers
from jaxrl.types import population_axes


def steps(first, number, lanes):
    """Rows `first`, `first` + 1, ... [number, lanes]: each value names its row and lane."""
    return {"x": np.int32(np.arange(first, first + number)[:, None] * 10 + np.arange(lanes))}


@pytest.mark.parametrize(("rows", "time", "lanes", "warmup"), [(6, 1, 2, 0), (8, 2, 1, 4)])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_every_sequence_of_the_latest_rows_is_drawn_and_no_other(rows, time, lanes, warmup, length):
    buffer, latest = buffers.init(steps(0, warmup, lanes), rows), deque(range(warmup), rows)
    add = jax.jit(buffers.add)
    draw = jax.jit(lambda b, i: buffers.sample_sequences(b, jax.random.key(i), 400, length))
    for first in range(warmup, warmup + 4 * rows + time, time):  # every fill level, four seams
        buffer = add(buffer, steps(first, time, lanes))
        latest.extend(range(first, first + time))
        assert int(buffer.added.value) < 2 * rows  # so that it never overflows
        if len(latest) < length or (first > 2 * rows and first % 3):
            continue
        drawn = {tuple(run) for run in np.asarray(draw(buffer, first)["x"]).T}
        runs = [list(latest)[i : i + length] for i in range(len(latest) - length + 1)]
        assert drawn == {tuple(10 * t + b for t in run) for run in runs for b in range(lanes)}


@pytest.mark.parametrize("filled", [5, 7, 12])
def test_draws_are_uniform_and_independent_of_the_seam(filled):
    buffer, add = buffers.init(steps(0, 0, 3), 7), jax.jit(buffers.add)
    for first in range(filled):
        buffer = add(buffer, steps(first, 1, 3))

    @jax.jit
    def run(buffer):
        one, two = jax.random.key(1), jax.random.key(2)
        runs = buffers.sample_sequences(buffer, two, 60_000, 3)["x"]
        return buffers.sample(buffer, one, 60_000)["x"], runs[0]

    for length, x in zip((1, 3), run(buffer), strict=True):
        tally = Tally(np.asarray(x).tolist())
        assert len(tally) == (min(filled, 7) - length + 1) * 3
        assert chisquare(list(tally.values())).pvalue > 1e-3


def test_successive_draws_are_independent():
    draw = lambda steps, key: buffers.sample(buffers.init(steps, 4), key, 40_000)["x"]
    x = np.asarray(jax.jit(draw)(steps(0, 4, 1), jax.random.key(3))) // 10
    assert chisquare(np.bincount(x[::2] * 4 + x[1::2], minlength=16)).pvalue > 1e-3


def test_values_and_types_return_as_they_were_stored():
    rng = np.random.default_rng(0)

    def some(dtype, *shape):
        if dtype is bool:
            return rng.random(shape) < 0.5
        if np.issubdtype(dtype, np.integer):
            return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype)
        return rng.normal(size=shape).astype(dtype)

    data = {
        "scalar": some(np.float32, 6, 2),
        "flag": some(bool, 6, 2),
        "flags": some(bool, 6, 2, 3, 5),
        "bytes": some(np.uint8, 6, 2, 7),
        "complex": some(np.float32, 6, 2, 6).view(np.complex64),
        "signed": some(np.int8, 6, 2, 4),
        "half": some(np.float16, 6, 2, 3),
        "int": (some(np.int32, 6, 2, 2), some(np.uint32, 6, 2)),
        "odd": np.float32([[np.nan, -0.0], [np.inf, -np.inf], [1e-40, 3e38]] * 2),
        "none": (),
    }
    rows = np.asarray([4, 0, 3])
    lanes = np.asarray([1, 0, 1])
    first, second, third = (jax.tree.map(lambda x, i=i: x[i : i + 2], data) for i in (0, 2, 4))
    buffer = jax.jit(lambda first, more: buffers.add(buffers.init(first, 6), more))(first, second)
    buffer = jax.jit(buffers.add)(buffer, third)
    got = jax.jit(buffers.fetch)(buffer, rows * 2 + lanes)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(data), strict=True):
        assert x.dtype == y.dtype and x.shape == y[rows, lanes].shape
        assert np.asarray(x).tobytes() == y[rows, lanes].tobytes()


def test_rollouts_that_would_wrap_are_refused():
    buffer = buffers.init(steps(0, 0, 1), 8)
    with pytest.raises(ValueError, match="8 rows"):
        buffers.add(buffer, steps(0, 3, 1))


def population(members, rows, warmup):
    def one(key):
        return buffers.init({"x": jax.random.normal(key, (warmup, 1, 4))}, rows)

    axes = population_axes(jax.eval_shape(one, jax.random.key(0)))
    every = jax.vmap(one, out_axes=axes)
    state = jax.jit(lambda key: every(jax.random.split(key, members)))(jax.random.key(0))
    return state, axes, jax.vmap(buffers.add, in_axes=(axes, 0), out_axes=axes)


def test_a_population_writes_in_place_and_as_one_member_would():
    state, axes, add = population(3, 1024, 2)
    new = {"x": np.float32(np.random.default_rng(1).normal(size=(3, 2, 1, 4)))}
    slots = np.arange(4)

    @jax.jit
    def alone(key, y):
        buffer = buffers.init({"x": jax.random.normal(key, (2, 1, 4))}, 1024)
        return buffers.fetch(buffers.add(buffer, {"x": y}), slots)["x"]

    compiled = jax.jit(add, donate_argnums=0).lower(state, new).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < 3 * 1024 * 4  # a quarter of the buffer
    assert memory.alias_size_in_bytes >= 3 * 1024 * 4 * 4
    state = compiled(state, new)
    drawn = jax.jit(jax.vmap(buffers.fetch, in_axes=(axes, None)))(state, slots)["x"]
    keys = jax.random.split(jax.random.key(0), 3)
    for i, x in enumerate(np.asarray(drawn)):
        np.testing.assert_array_equal(x, alone(keys[i], new["x"][i]))


def test_a_scan_of_writes_and_draws_does_not_copy_the_buffer():
    state, axes, add = population(3, 4096, 2)
    draw = jax.vmap(lambda b, k: buffers.sample(b, k, 8)["x"], in_axes=(axes, 0))

    def run(state, keys):
        def body(state, key):
            state = add(state, {"x": jnp.ones((3, 2, 1, 4))})
            return state, draw(state, jax.random.split(key, 3)).sum()

        return jax.lax.scan(body, state, keys)

    keys = jax.random.split(jax.random.key(0), 5)
    memory = jax.jit(run, donate_argnums=0).lower(state, keys).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 3 * 4096 * 4 * 4 / 4


def test_a_population_writes_slices_and_not_by_indices():
    state, _, add = population(3, 64, 2)
    new = {"x": jnp.ones((3, 2, 1, 4))}
    text = jax.jit(add, donate_argnums=0).lower(state, new).compile().as_text()
    # vmap writes a slice as a scatter of one index, which must compile back into a slice.
    assert " scatter(" not in text and "dynamic-update-slice(" in text


def test_misaligned_or_oversized_examples_are_refused():
    with pytest.raises(ValueError, match="begins with 3 rows cannot be filled 2"):
        jax.jit(buffers.add)(buffers.init(steps(0, 3, 1), 8), steps(3, 2, 1))
    with pytest.raises(ValueError, match="example of 9"):
        buffers.init(steps(0, 9, 1), 8)


def test_experience_of_another_kind_is_refused():
    buffer = buffers.init(steps(0, 2, 1), 8)
    with pytest.raises(ValueError, match="stores"):
        buffers.add(buffer, {"x": jnp.ones((2, 1), jnp.int8)})
    with pytest.raises(ValueError, match="no arrays"):
        buffers.init((), 8)
    with pytest.raises(ValueError, match="share"):
        buffers.init({"x": jnp.ones((2, 1)), "y": jnp.ones((1, 2))}, 8)
    with pytest.raises(ValueError, match="key<fry> cannot be stored"):
        buffers.init({"x": jax.random.split(jax.random.key(0), (2, 1))}, 8)


def test_integers_below_a_bound_are_the_exact_product():
    bounds = np.random.default_rng(0).integers(1, 2**31, 50)

    @jax.jit
    def run(bound, seed):
        key = jax.random.key(seed)
        return buffers.below(bound, key, (40,)), jax.random.bits(key, (2, 40), jnp.uint32)

    for i, bound in enumerate(bounds.tolist()):
        got, (high, low) = jax.tree.map(lambda x: np.asarray(x).tolist(), run(np.uint32(bound), i))
        assert got == [(h * 2**32 + x) * bound >> 64 for h, x in zip(high, low)]


@pytest.mark.parametrize("rows", [1, 7, 2**29])
def test_a_reduced_count_says_what_the_true_one_would(rows):
    """The position and the fill level, over counts far beyond int32, in whole numbers of Python."""
    advance, true, count = jax.jit(buffers.advance, static_argnums=(1, 2)), 0, jnp.int32(0)
    for steps in [1, rows // 2, rows, rows // 3, *[rows] * 9, 1] * 2:
        true, count = true + steps, advance(count, steps, rows)
        assert int(count) % rows == true % rows and min(int(count), rows) == min(true, rows)
        assert count.dtype == jnp.int32 and 0 <= int(count) < 2 * rows
    assert rows < 2**29 or true > 2**32
