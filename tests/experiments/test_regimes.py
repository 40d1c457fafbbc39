"""The regimes of `jaxrl dataset`, and what it says of a data set."""

import jax
import numpy as np
import pytest

import envs
from experiments import collecting, configuration, datasets, inspection, plain, regimes
from experiments.cli import main
from experiments.evaluation import best_member, restore_member
from jaxrl.buffers import unpack
from jaxrl.data import cut, episodes
from jaxrl.errors import InputError
from tests.experiments.runs import command
from tests.jaxrl.data.made import made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run of two seeds, 12 updates of 8 steps after 16 of warm-up."""
    folder = tmp_path_factory.mktemp("runs") / "dqn"
    assert main(command("dqn", 14, 2, folder)) == 0
    return folder


def test_the_history_is_what_the_run_has_seen(run):
    """Its end is what the run's own replay buffer holds."""
    env = envs.make("CartPole-v1")
    data = collecting.history(run, env.spec)
    config = configuration.load(run)
    assert data.reward.shape == (config.budget.steps // 2, 2)
    buffer = restore_member(config, run, best_member(config, run))[1].learner.buffer
    rows, start = buffer.words.shape[0], int(buffer.added.value)
    stored = unpack(buffer.words, buffer.layout)
    latest = (start + np.arange(rows)) % rows
    for name in ("action", "reward", "last", "discount"):
        wanted = np.asarray(getattr(stored, name))[latest]
        np.testing.assert_array_equal(getattr(data, name)[-rows:], wanted, err_msg=name)
    np.testing.assert_allclose(data.obs[-rows:], np.asarray(stored.obs)[latest], atol=1e-4)
    part = collecting.history(run, env.spec, 30)
    assert part.reward.shape == (15, 2)
    np.testing.assert_array_equal(part.action, data.action[:15])


def test_regimes_from_the_shell(run, tmp_path, capsys):
    """The same agent alone, with noise that leaves nothing of it, and in a share of the steps."""
    found = {}
    for regime, more in (("expert", ""), ("noisy", "--noise 1"), ("mixed", "--share 0.25")):
        out = tmp_path / f"{regime}.npz"
        words = f"dataset {run} --regime {regime} --steps 640 --out {out} {more}".split()
        assert main(words) == 0
        found[regime], notes = datasets.described(str(out))
        assert notes["regime"] == regime and notes["env"] == "CartPole-v1"
        text = capsys.readouterr().out
        assert f"640 transitions of {len(found[regime])} episodes" in text
        assert "Trajectory quality" in text and "unfinished" in text
    out = tmp_path / "stitched.npz"
    words = f"dataset {run} --regime stitched --steps 640 --length 2 --out {out}".split()
    assert main(words) == 0 and main(["dataset", "--inspect", str(out)]) == 0
    text = capsys.readouterr().out  # returns of parts have no quality
    assert "Trajectory quality" not in text and text.count(" to 2.\n") == 2
    actions = {name: np.concatenate([e["actions"] for e in x]) for name, x in found.items()}
    state = np.concatenate([e["observations"][:-1] for e in found["expert"]])
    # A greedy agent takes the same action in the same state, and a random one does not.
    table = {tuple(s): a for s, a in zip(state, actions["expert"])}
    assert len(table) > 500
    assert abs(actions["noisy"].mean() - 0.5) < 5 * 0.5 / np.sqrt(640)
    lengths = [sum(len(e["actions"]) for e in x) for x in found.values()]
    assert lengths == [640, 640, 640]
    share = sum(len(e["actions"]) for e in found["mixed"][: _episodes_of(found["mixed"], 160)])
    assert share == 160
    same = np.concatenate([e["observations"][:-1] for e in found["mixed"]])[:160]
    seen = [table[tuple(s)] == a for s, a in zip(same, actions["mixed"]) if tuple(s) in table]
    assert len(seen) > 100 and all(seen)


def _episodes_of(rows, steps):
    """How many of the first episodes have so many steps together."""
    return int(np.flatnonzero(np.cumsum([len(e["actions"]) for e in rows]) == steps)[0]) + 1


def test_stitched_data_have_no_part_that_is_a_whole_episode():
    data = made(5, steps=300, lanes=4)
    for length in (None, 1):
        ended = episodes(data)
        if length is None:  # made so that every episode is at least three steps long
            data = data._replace(last=data.last & False)
            data.last[4::5] = True
            data.discount[:] = 1
            data.discount[9::10] = 0
            ended = episodes(data)
        shortest = int(ended.lengths[np.asarray(ended.terminated)].min())
        if shortest == 1:
            continue
        new = regimes.stitched(data, length)
        parts = episodes(new)
        real = np.asarray(parts.lengths) > 0
        assert parts.lengths[real].max() == (length or shortest // 2) < shortest
        np.testing.assert_array_equal(new.discount, data.discount)
        assert parts.terminated.sum() == ended.terminated.sum()
    for steps, sentence in (
        (5, "has 5 steps, and the .* parts that are shorter, but --length is 5"),
    ):
        with pytest.raises(InputError, match=sentence):
            regimes.stitched(data, steps)
    with pytest.raises(InputError, match="single step cannot be cut"):
        regimes.stitched(cut(data, 1))
    with pytest.raises(InputError, match="No episode ended"):
        regimes.stitched(data._replace(last=data.last & False))


def test_environments_on_the_host_are_played_and_not_imagined(run, tmp_path):
    """Gymnasium's CartPole by an agent that learnt in ours: its equations of motion, by hand."""
    pytest.importorskip("gymnasium")
    for source in ("random", str(run)):
        out = tmp_path / f"{source[:6].strip('/')}.npz"
        words = ["dataset", source, "--env", "gymnasium/CartPole-v1", "--steps", "960"]
        assert main([*words, "--out", str(out)]) == 0
        rows, notes = datasets.described(str(out))
        assert notes["env"] == "gymnasium/CartPole-v1" and len(rows) > 16
        assert {e["unfinished"] for e in rows} == {True, False}
        assert any(e["terminations"][-1] for e in rows)
        for e in rows[:8]:
            x, speed, angle, turning = e["observations"].T
            np.testing.assert_allclose(x[1:], x[:-1] + 0.02 * speed[:-1], atol=1e-5)
            np.testing.assert_allclose(angle[1:], angle[:-1] + 0.02 * turning[:-1], atol=1e-5)
            # The cart is pushed to the right by action 1.
            assert (np.sign(np.diff(speed)) == 2 * e["actions"] - 1).all()


def hand():
    """Four episodes: terminated, truncated, unfinished, and terminated."""
    obs = lambda *x: np.array(x, np.float32)[:, None]
    row = lambda seen, actions, rewards, end: {
        "observations": obs(*seen), "actions": np.array(actions), "rewards": np.array(rewards),
        "terminations": np.arange(len(actions)) == (len(actions) - 1 if end == "dead" else -1),
        "truncations": np.arange(len(actions)) == (len(actions) - 1 if end != "dead" else -1),
        "unfinished": end == "open",
    }  # fmt: skip
    return [
        row((0, 1, 2), (0, 1), (1.0, 2.0), "dead"),
        row((0, 1, 2), (0, 0), (5.0, 0.0), "cut"),
        row((0, 1, 0, 1), (0, 0, 1), (100.0, 0.0, 0.0), "open"),
        row((0, 3), (0,), (-1.0,), "dead"),
    ]


def test_a_report_is_what_was_counted_by_hand():
    found = inspection.report(hand(), "CartPole-v1", 0, hand()[:1])
    assert found[:4] == (8, 2, 1, 1)
    np.testing.assert_array_equal(found.returns, [3, 5, -1])  # what is unfinished has no return yet
    np.testing.assert_array_equal(found.lengths, [2, 2, 1])
    np.testing.assert_allclose(found.quality, (7 / 3 - 22.30078125) / (500 - 22.30078125))
    # Pairs (0, 0), (1, 1), (1, 0), (0, 1); those of the reference are (0, 0) and (1, 1).
    assert found.distinct == 4 and found.coverage == 2.0
    text = "\n".join(inspection.sentences(found, "here"))
    assert "8 transitions of 4 episodes are in here: 2 terminated, 1 truncated" in text
    assert "mean 2.3" in text and "from -1.0 to 5.0" in text and "2.000" in text
    only = inspection.report(hand()[2:3])
    assert only.returns[0] == 100 and "so far: mean 100.0" in inspection.sentences(only, "x")[2]
    assert only.quality is None and only.coverage is None


def test_numbers_that_are_not_finite_have_no_report():
    for name in ("rewards", "actions", "observations"):
        rows = hand()
        rows[1][name] = rows[1][name] * np.nan
        with pytest.raises(InputError, match=f"among its {name} that are not finite"):
            inspection.report(rows)


def test_a_history_that_cannot_be_repeated_is_refused(run, tmp_path):
    text = (run / "config.json").read_text()
    for old, new, sentence in (
        ('"env": "CartPole-v1"', '"env": "gymnasium/CartPole-v1"', "runs outside of compiled"),
        ('"dataset": ""', '"dataset": "x.npz"', "trained on a data set"),
    ):
        folder = tmp_path / new.split('"')[3].replace("/", "-")
        folder.mkdir()
        assert old in text
        (folder / "config.json").write_text(text.replace(old, new))
        with pytest.raises(InputError, match=sentence):
            collecting.history(folder, envs.make("CartPole-v1").spec)


@pytest.mark.parametrize("name", ["a.npz", "b-v0"])
def test_what_is_written_is_told_again(name, tmp_path, capsys):
    if name.endswith("v0"):
        pytest.importorskip("minari")
    env = envs.make("chain")._replace(spec=envs.make("chain").spec._replace(
        observation=jax.ShapeDtypeStruct((1,), np.float32)))  # fmt: skip
    path = tmp_path / name
    datasets.save(hand(), env, path, "by hand", {"env": "chain", "seed": 3})
    rows, notes = datasets.described(str(path))
    assert notes["env"] == "chain" and notes["seed"] == 3
    for row, old in zip(rows, hand(), strict=True):
        for key, value in old.items():
            np.testing.assert_array_equal(row[key], value, err_msg=key)
    words = ["dataset", "--inspect", str(path), "--reference", str(path), "--bins", "0"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "2 terminated, 1 truncated, and 1 unfinished" in text
    assert "pairs of an observation and an action: 4." in text and "reference: 1.000" in text
    data = datasets.load(str(path), env, 1, 1)
    np.testing.assert_array_equal(data.last[:, 0], [0, 1, 0, 1, 0, 0, 1, 1])
    np.testing.assert_array_equal(data.discount[:, 0], [1, 0, 1, 1, 1, 1, 1, 0])
    assert plain.is_plain(path) == (name == "a.npz")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("random --regime rando --env chain", "no regime called 'rando': did you mean random?"),
        ("random --regime expert --env chain", "results folder of one trained agent as its only"),
        ("RUN --regime random", "needs the word random as its only source, not"),
        ("RUN --share 0.5", "--share needs the regime mixed"),
        ("RUN --regime mixed --share 1.5", "share must lie between 0 and 1"),
        ("RUN --regime mixed --length 3", "--length needs the regime stitched"),
        ("RUN --regime replay --noise 0.1", "which the regime replay has not"),
        ("RUN --regime replay --sampled", "which replay has not"),
        ("RUN --noise -1", "noise must not be negative"),
        ("RUN --noise 2", "noise must lie between 0 and 1"),
        ("RUN --regime replay --env gymnasium/Acrobot-v1", "has observations of shape (4,)"),
        ("RUN --env Acrobot-v1", "but this environment has (6,)"),
        ("random --inspect x.npz", "leave the sources out"),
        ("--inspect x.npz", "x.npz is not a data set: there is no such file"),
        ("--inspect nowhere", "nowhere is not a data set"),
        ("random --env chain --bins -1", "bins must not be negative"),
        ("random --env chain --out x.npz --reference nowhere", "nowhere is not a data set"),
    ],
)
def test_bad_input(words, sentence, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [str(run) if word == "RUN" else word for word in words.split()]
    assert main(["dataset", *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told and len(told.strip().splitlines()) == 1
    assert not any(tmp_path.iterdir())
