"""Data sets on disk: each chunk once an epoch, the same learning as from memory, clear errors."""

import itertools
import threading

import jax
import numpy as np
import pytest

import envs
from agents import dqn
from experiments import (
    blocks,
    invocation,
    options,
    plain,
    programs,
    run_data,
    streamed,
    streaming,
    training,
)
from experiments.cli import main
from experiments.population import Program, buffers, gather
from jaxrl import advance
from jaxrl.errors import InputError
from jaxrl.logged import from_arrays
from jaxrl.offline import offline, stored_data
from jaxrl.packing import unpack
from jaxrl.types import Run, count
from tests.experiments.runs import state, table

ENV = envs.make("CartPole-v1")
STEPS, LANES, LENGTH = 50, 3, 8
CHUNKS = STEPS // LENGTH * LANES


def logged(start, steps=STEPS):
    """Steps whose rewards number them, lane after lane."""
    number = steps * LANES
    rng = np.random.default_rng(start)
    seen = rng.normal(size=(2, number, 4)).astype(np.float32)
    return from_arrays(
        seen[0], rng.integers(0, 2, number), start + np.arange(number), np.zeros(number, bool),
        np.arange(number) % 7 == 6, ENV, next_observations=seen[1], lanes=LANES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "stream"
    written = streaming.write((logged(1000 * i) for i in range(2)), folder, LENGTH)
    assert written == 2 * CHUNKS
    return streaming.opened(folder, ENV.spec)


def test_an_epoch_has_each_chunk_once_and_no_sequence_of_two(store):
    found = []
    for block in itertools.islice(streaming.blocks(store, 9, seed=3), 4):
        data = unpack(block.words, block.layout)
        assert data.reward.shape == (LENGTH, 9)
        np.testing.assert_array_equal(np.diff(data.reward, axis=0), np.ones((LENGTH - 1, 9)))
        part = logged(0 if data.reward[0, 0] < 1000 else 1000)
        place = int(data.reward[0, 0]) % 1000
        np.testing.assert_array_equal(data.obs[0, 0], part.obs[place % STEPS, place // STEPS])
        found.append(set(np.asarray(data.reward[0]).astype(int).tolist()))
    begins = {1000 * i + STEPS * b + LENGTH * k for i in range(2) for b in range(LANES)
              for k in range(STEPS // LENGTH)}  # fmt: skip
    assert len(begins) == 36 == sum(map(len, found)) and set().union(*found) == begins
    again = next(streaming.blocks(store, 9, seed=3))
    other = next(streaming.blocks(store, 9, seed=4))
    first = set(np.asarray(unpack(again.words, again.layout).reward[0]).astype(int).tolist())
    assert first == found[0] and not np.array_equal(again.words, other.words)


def test_learning_from_blocks_is_learning_from_memory(store):
    """One block that holds everything, against the same steps as a data set in memory."""
    whole = 2 * CHUNKS
    hp = dqn.Hyperparameters(
        num_envs=whole, rollout_length=1, buffer_size=whole * LENGTH, warmup=whole * LENGTH,
        batch_size=8, hidden=(8,), updates=2,
    )  # fmt: skip
    agent = dqn.dqn(ENV.spec, hp)
    (block,) = itertools.islice(streaming.blocks(store, whole), 1)
    keys = jax.random.split(jax.random.key(0), 2)
    runs, metrics = next(streaming.learnt(agent, ENV.spec, iter([block]), keys, 3))
    assert not stored_data(runs)
    data = unpack(block.words, block.layout)

    @jax.jit
    @jax.vmap
    def from_memory(key):
        exp = offline(agent, data)
        return advance(exp, exp.init(key), 3)

    wanted, told = from_memory(keys)
    for name in ("params", "target"):
        read = [getattr(agent.update.read(x.learner), name, None) for x in (runs, wanted)]
        for x, y in zip(*map(jax.tree.leaves, read), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], told["loss"], rtol=1e-4)
    # The block is an argument of the program, once for all seeds.
    init, step = streaming.programs(agent, ENV.spec, block, 3)
    sizes = []
    for seeds in (1, 32):
        shape = jax.eval_shape(init, jax.random.split(jax.random.key(0), seeds), data)
        found = step.lower(shape, block).compile().memory_analysis()
        runs_alone = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shape) if x.ndim and
                         not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key))  # fmt: skip
        sizes.append((found.argument_size_in_bytes, runs_alone))
    for arguments, own in sizes:
        assert block.words.nbytes < arguments < own + 1.5 * block.words.nbytes


SMALL = "--num-envs 3 --rollout-length 2 --batch-size 8 --updates 2 --hidden 6 --seeds 2"
SMALL = f"{SMALL} --evaluations 1 --episodes 1 --max-episode-steps 9 --no-animation".split()


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    """36 chunks of 8 steps, of which a block has 9."""
    place = tmp_path_factory.mktemp("shell") / "blocks"
    streaming.write((logged(1000 * i) for i in range(2)), place, LENGTH)
    monkeypatch.setattr(blocks, "BLOCK", 9 * LENGTH * 13 * 4)
    return place


def test_the_block_that_is_learnt_from_depends_on_the_number_of_updates_alone(folder):
    """72 steps of a block are drawn in 4 updates of 2 x 8; an epoch has each chunk once."""
    words = ["train", "dqn", "--env", "CartPole-v1", "--dataset", str(folder), *SMALL]
    agent, rest = words[1], words[2:]
    kind = options.schema(options.Resumable, agent, {}, lists=False)
    config = invocation.configuration(agent, options.parse("train dqn", kind, rest), {})
    config = run_data.with_data_described(config)
    assert config.data["transitions"] == 288 and config.data["block"] == 72
    data, p = run_data.load_data(config), gather(config)
    (first,) = buffers(p, data)
    assert first.words.shape == (24, 3, 13)
    told = []

    def advance(runs, sums, hp, data, updates):
        told.extend([data[0]] * int(updates))
        return runs._replace(step=count(int(runs.step.value) + int(updates))), sums

    program = streamed.programmed(p, [first], Program(advance, None, {}))
    run = Run((), (), None, count())
    for updates in (1, 3, 8, 4, 2, 20):
        run, _ = program.advance(run, {}, None, [first], updates)
    rounds = streamed.rounds_of(config)
    assert rounds == 4 and len(told) == 38
    numbers = []
    for i, buffer in enumerate(told):
        assert buffer is told[i - i % rounds]
        steps = unpack(buffer.words, buffer.layout)
        if i % rounds == 0:
            numbers.append(np.asarray(steps.reward).T.reshape(-1, LENGTH))
            np.testing.assert_array_equal(steps.last[LENGTH - 1 :: LENGTH], True)
    np.testing.assert_array_equal(numbers[0], np.asarray(data.reward).T.reshape(-1, LENGTH))
    for chunks in numbers:
        np.testing.assert_array_equal(np.diff(chunks, axis=1), 1)
    for epoch in (numbers[:4], numbers[4:8]):
        assert len({row[0] for block in epoch for row in block}) == 36
    assert not np.array_equal(numbers[0], numbers[4])


def test_a_run_from_blocks_resumes_exactly(folder, tmp_path, monkeypatch, capsys):
    words = ["train", "dqn", "--env", "CartPole-v1", "--dataset", str(folder), *SMALL]
    words += ["--steps", "78", "--out"]  # 13 updates, of which each block serves 4
    learn = training.learn

    def one(program, p, state, memory, updates):
        if state.updates == 6:
            raise KeyboardInterrupt
        return learn(program, p, state, memory, 1)

    with programs.for_now():
        assert main([*words, str(tmp_path / "whole")]) == 0
        monkeypatch.setattr(training, "learn", one)
        assert main([*words, str(tmp_path / "halves"), "--save-every", "1e-9"]) == 130
        monkeypatch.setattr(training, "learn", learn)
        assert main(["train", "--resume", str(tmp_path / "halves"), "--no-animation"]) == 0
    assert table(tmp_path / "halves") == table(tmp_path / "whole")
    for a, b in zip(state(tmp_path / "halves"), state(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(a, b)
    capsys.readouterr()
    for given, sentence in (
        (["--data-share", "0.5"], "cannot learn from a data set of blocks beside an environment"),
        (["--prioritised"], "cannot learn from a data set of blocks by priorities"),
    ):
        assert main([*words, str(tmp_path / "none"), *given]) == 2
        error = capsys.readouterr().err
        assert sentence in error and "Traceback" not in error


def test_data_sets_become_blocks_from_the_shell(tmp_path, capsys):
    parts = []
    for seed in (0, 1):
        parts.append(str(tmp_path / f"part-{seed}.npz"))
        words = ["dataset", "random", "--env", "CartPole-v1", "--steps", "600", "--seed", str(seed)]
        assert main([*words, "--out", parts[-1]]) == 0
    out = tmp_path / "blocks"
    assert main(["dataset", "--blocks", *parts, "--env", "CartPole-v1", "--out", str(out)]) == 0
    assert "4 chunks of 256 transitions in CartPole-v1, of 2 data" in capsys.readouterr().out
    store = streaming.opened(out, ENV.spec)
    found = unpack(streaming.block_at(store, 4, 0, 0), store.layout)
    wanted = [plain.load(part, ENV, 1, 256) for part in parts]
    both = np.concatenate([part.obs[:, 0] for part in wanted])
    np.testing.assert_array_equal(found.obs.reshape(-1, 4), both)
    assert main(["dataset", "random", "--blocks", parts[0], "--env", "CartPole-v1"]) == 2
    assert "leave sources out" in capsys.readouterr().err


def test_a_thread_reads_ahead_passes_errors_on_and_ends():
    made, ready = [], threading.Event()

    def items():
        for i in range(5):
            made.append(i)
            if len(made) > 1:
                ready.set()
            yield i

    found = streaming.ahead(items())
    assert next(found) == 0 and ready.wait(10)  # the next one is made while this one is in use
    assert [*found] == [1, 2, 3, 4]
    broken = streaming.ahead(1 // x for x in (1, 0))
    assert next(broken) == 1
    with pytest.raises(ZeroDivisionError):
        next(broken)
    threads = threading.active_count()
    endless = streaming.ahead(itertools.count())
    assert next(endless) == 0
    endless.close()
    assert threading.active_count() == threads


def test_what_does_not_fit_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"4 steps in each lane, .* too short for a chunk of 8"):
        streaming.write([logged(0, 4)], tmp_path / "short", LENGTH)
    with pytest.raises(InputError, match=r"has no file part-00000\.npy"):
        streaming.opened(tmp_path / "nowhere", ENV.spec)
    streaming.write([logged(0)], tmp_path / "data", LENGTH)
    with pytest.raises(InputError, match="exists"):
        streaming.write([logged(0)], tmp_path / "data", LENGTH)
    with pytest.raises(InputError, match=r"takes 13 words, .* 11: it is of another environment"):
        streaming.opened(tmp_path / "data", envs.make("Pendulum-v1").spec)
    (tmp_path / "data" / "part-00001.npy").write_text("nonsense")
    with pytest.raises(InputError, match="cannot be read as a data set"):
        streaming.opened(tmp_path / "data", ENV.spec)
    with pytest.raises(InputError, match="1 to 36 chunks, which all are, not 37"):
        streaming.blocks(store, 37)
