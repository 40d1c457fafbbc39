"""Replay from host memory, against a ring that is known by arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import advance, prefetch, remote, updates
from jaxrl.errors import InputError
from jaxrl.offline import offline
from jaxrl.packing import unpack
from jaxrl.types import Agent, Experiment, Run, Transition, Update, count

ROWS, TIME, LANES, WARMUP, LENGTH, SIZE, UPDATES = 8, 2, 3, 4, 3, 60, 2
SAMPLE = (UPDATES, LENGTH, SIZE)
KEY = jax.random.key(0)


def steps(first, number):
    """Rows `first`, `first` + 1, ... [number, LANES]; each reward names its row and lane."""
    name = ((first + np.arange(number))[:, None] * LANES + np.arange(LANES)).astype(jnp.float32)
    zero = jnp.zeros((number, LANES))
    return Transition(zero, zero, name, zero, zero > 0, zero, (), zero)


# It remembers what it was given in a round, instead of learning from it.
SEEN = Update(
    lambda key, example: jnp.zeros(SAMPLE),
    lambda state, batch, key: (jnp.concatenate([state[1:], batch.reward[None]]), {}),
    lambda state: state,
)


def counting(rows=ROWS, memory="host"):
    """An experiment whose rollouts are the next rows of one stream."""
    update = updates.replay(SEEN, rows, SIZE, UPDATES, LENGTH, memory=memory)

    def init(key):
        return Run(update.init(key, steps(0, WARMUP)), (), key, count())

    def step(run):
        new = steps(WARMUP + TIME * run.step.value, TIME)
        key = jax.random.fold_in(run.key, run.step.value)
        learner, metrics = update.apply(run.learner, new, key)
        metrics |= {"episodes": jnp.zeros(())}
        return Run(learner, (), key, count()._replace(value=run.step.value + 1)), metrics

    return Experiment(init, step)


def latest(written):
    """The numbers [ROWS] of the rows that are in the ring when `written` rows were stored."""
    rows = np.full(ROWS, -1)
    for number in range(written):
        rows[number % ROWS] = number
    return rows


def test_a_round_learns_from_valid_sequences_of_what_was_stored_two_rounds_before():
    """Two members and four turns of the ring, the rounds in which it fills included."""
    train = prefetch.driver(counting())
    runs = train.init(jax.random.split(KEY, 2))
    drawn = [None, np.asarray(runs.learner.buffer.slots)]  # of rounds 0, 1, ...
    for now in range(16):
        runs, _ = train.advance(runs, 1)
        node, batches = runs.learner.buffer, np.asarray(runs.learner.inner).astype(int)
        ring = latest(WARMUP + TIME * max(now - 1, 0))
        there = np.sort(ring[ring >= 0])
        starts = there[: len(there) - LENGTH + 1]
        valid = {tuple((t + np.arange(LENGTH)) * LANES + b) for t in starts for b in range(LANES)}
        for batch in batches:
            assert {tuple(run) for one in batch for run in one.T} == valid
        assert not np.array_equal(batches[0], batches[1])
        if now:
            slots = drawn[now]
            np.testing.assert_array_equal(batches, ring[slots // LANES] * LANES + slots % LANES)
        drawn.append(np.asarray(node.slots))
        # Between calls the ring has all that was collected.
        stored = unpack(jnp.asarray(node.ring), node.layout).reward
        whole = latest(WARMUP + TIME * (now + 1))
        some = whole >= 0
        known = whole[some, None] * LANES + np.arange(LANES)
        np.testing.assert_array_equal(stored[0, some], known)
        np.testing.assert_array_equal(stored[1, some], known)
    assert node.added.value < 2 * ROWS and isinstance(node.ring, np.ndarray)
    at_once, _ = train.advance(train.init(jax.random.split(KEY, 2)), 16)
    plain = lambda run: jax.tree.leaves(run._replace(key=jax.random.key_data(run.key)))
    for a, b in zip(plain(at_once), plain(runs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_memory_of_a_round_does_not_depend_on_the_number_of_rows():
    def sizes(rows, memory):
        exp = counting(rows, memory)
        like = jax.eval_shape(exp.init, KEY)
        inboxes = [node.inbox for node in remote.remotes(like)]
        step = jax.jit(lambda run, inboxes: exp.step(remote.supplied(run, inboxes)))
        told = step.lower(remote.stripped(like), inboxes).compile().memory_analysis()
        return told.argument_size_in_bytes + told.temp_size_in_bytes + told.output_size_in_bytes

    assert sizes(2**20, "host") == sizes(ROWS, "host")
    assert sizes(2**20, "device") > 2**20 * LANES * 4  # at least the rewards


def test_what_needs_the_buffer_on_the_device_is_refused():
    exp = counting()
    with pytest.raises(InputError, match="use the command jaxrl train, or"):
        jax.eval_shape(lambda run: advance(exp, run, 2), jax.eval_shape(exp.init, KEY))
    after, _ = jax.eval_shape(exp.step, jax.eval_shape(exp.init, KEY))
    with pytest.raises(InputError, match="cannot be part of one compiled program"):
        jax.eval_shape(exp.step, after)  # its samples were used up
    with pytest.raises(InputError, match="keeps no replay buffer in host memory"):
        prefetch.driver(counting(memory="device"))
    with pytest.raises(InputError, match="no memory of a replay buffer called 'disk'"):
        counting(memory="disk")
    for more in ({"share": 0.5}, {"beside": lambda buffer: lambda batch: batch}):
        with pytest.raises(InputError, match="need buffer_memory device"):
            updates.replay(SEEN, ROWS, SIZE, memory="host", **more)
    update = updates.replay(SEEN, ROWS, SIZE, UPDATES, LENGTH, memory="host")
    with pytest.raises(InputError, match="A data set is on the device"):
        offline(Agent(None, None, update), steps(0, WARMUP))
    with pytest.raises(InputError, match="8 rows cannot hold an example of 9"):
        update.init(KEY, steps(0, 9))
    with pytest.raises(InputError, match="cannot be filled 3 rows at a time"):
        update.apply(update.init(KEY, steps(0, WARMUP)), steps(0, 3), KEY)
