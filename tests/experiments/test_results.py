"""What training leaves behind, and what the pictures and tables are made of."""

import json

import jax
import numpy as np
import pytest
import scipy.stats
from PIL import Image

import jaxrl
from experiments import building, configuration, results, statistics
from experiments.cli import main
from experiments.evaluation import restore_member
from tests.experiments.runs import COMMON, SMALL, command, table

SWEEP = f"sweep {SMALL['ppo']} {COMMON} --steps 256 --evaluations 2"


def test_configuration_says_everything(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["agent"] == "ppo" and config["env"] == "CartPole-v1"
    assert config["seeds"] == 2 and config["steps"] == 256
    assert config["hyperparameters"]["hidden"] == [8, 8]
    assert config["hyperparameters"]["learning_rate"] == 2e-3  # of the preset
    assert {"jax", "jaxrl", "python"} <= config["versions"].keys()
    assert config["environment_steps"] == 256
    told = config["provenance"]
    assert {"commit", "date", "command", "device"} <= told.keys()
    assert told["flags"]["jax_enable_x64"] is False
    assert "force_host_platform_device_count=4" in told["flags"]["XLA_FLAGS"]


def test_the_log_begins_with_what_is_run(trained):
    log = (trained / "train.log").read_text()
    for part in ("ppo on CartPole-v1, 2 members", "Device: ", "precision: float32", "Preset of ppo",
                 "Steps: 256 environment steps per member in 4 updates of 64, 2 evaluations.",
                 "Memory: about", f"Results folder: {trained}"):  # fmt: skip
        assert part in log, part
    assert log.count("return ") == 3


def test_one_row_for_each_evaluation_and_seed(trained):
    rows = results.read_metrics(trained)
    told = [(r["env_steps"], r["seed"]) for r in rows]
    assert told == [(0, 0), (0, 1), (128, 0), (128, 1), (256, 0), (256, 1)]
    expected = ["env_steps", "wall_time", "steps_per_second", "seed"]
    expected += ["return_mean", "return_std", "return_min", "return_max", "length_mean"]
    assert list(rows[0])[:9] == expected
    assert {"train_return", "train_length", "policy_loss", "value_loss", "entropy"} <= {*rows[0]}
    # Before the first update there is nothing of it to report.
    assert all(np.isnan(row[name]) for row in rows[:2] for name in ("entropy", "train_return"))
    for row in rows[2:]:
        assert row["return_min"] <= row["return_mean"] <= row["return_max"]
        # CartPole pays one a step.
        assert row["return_mean"] == pytest.approx(row["length_mean"])
        assert row["train_return"] == pytest.approx(row["train_length"])
        assert 0 <= row["entropy"] <= np.log(2) + 1e-6
        assert row["completed"] == 1
    assert rows[2]["return_mean"] != rows[3]["return_mean"]
    assert 0 < rows[2]["wall_time"] < rows[4]["wall_time"]


def test_a_seed_does_not_depend_on_the_others(trained, tmp_path):
    words = command("ppo", 4, 2, tmp_path / "alone")
    words[words.index("--seeds") + 1] = "1"
    assert main([*words, "--seed", "1"]) == 0
    alone, both = table(tmp_path / "alone"), table(trained)[1::2]
    for one, other in zip(alone, both, strict=True):
        for name in one:
            a, b = (float(row[name] or "nan") for row in (one, other))
            assert a == pytest.approx(b, rel=1e-4, abs=1e-5, nan_ok=True)


def test_evaluate_plays_again_and_records(trained, tmp_path, capsys):
    words = f"evaluate {trained} --episodes 4 --seed 7 --render {tmp_path}/new/film.gif".split()
    assert main(words) == 0
    first = (trained / "evaluation.json").read_text()
    assert "Mean return" in capsys.readouterr().out
    with Image.open(tmp_path / "new" / "film.gif") as film:
        assert film.n_frames > 5
    assert main(words[:-2]) == 0
    assert (trained / "evaluation.json").read_text() == first
    assert [row["seed"] for row in json.loads(first)] == [0, 1]


def test_the_policy_of_the_best_seed_is_left(trained, tmp_path, capsys):
    """The same actions as of the agent that is put together again from its checkpoint."""
    pytest.importorskip("flatbuffers")
    config = configuration.load(trained)
    best = max(results.read_metrics(trained)[-2:], key=lambda row: row["return_mean"])
    member = int(best["seed"])
    hp, run = restore_member(config, trained, member)
    setup = building.build(config, hp)
    obs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    view, key = setup.agent.update.read(run.learner), jax.random.key(0)
    expected = np.asarray(setup.agent.exploit.step(view, (), obs, key)[0])
    policy = jaxrl.load(trained)
    found = np.asarray(policy(obs))
    assert found.dtype.kind == "i" and (found == expected).mean() > 0.95
    assert len(set(found.tolist())) == 2  # of both actions, so that the comparison says something
    file = tmp_path / "one.jaxexport"
    assert main(f"export {trained} --seed {1 - member} --out {file}".split()) == 0
    assert jaxrl.load(file)(obs).shape == (64,)
    assert main(f"export {trained} --seed {1 - member} --out {file}".split()) == 2
    assert "exists" in capsys.readouterr().err
    assert main(f"export {trained} --seed 7".split()) == 2
    assert "seeds 0 to 1" in capsys.readouterr().err


def test_sweep_covers_the_grid_and_splits_into_parts(tmp_path, capsys):
    grid = "--learning-rate 1e-3 1e-2 --clip 0.1 0.3 --members-at-once 3"
    assert main(f"{SWEEP} {grid} --out {tmp_path / 's'}".split()) == 0
    printed = capsys.readouterr().out
    rows = results.read_metrics(tmp_path / "s")
    members = {(r["learning_rate"], r["clip"], r["seed"]) for r in rows}
    assert members == {(a, b, s) for a in (1e-3, 1e-2) for b in (0.1, 0.3) for s in (0, 1)}
    assert len(rows) == 8 * 3
    assert {path.name for path in (tmp_path / "s").glob("part-*")} == {"part-0", "part-1", "part-2"}
    assert (tmp_path / "s" / "sweep.png").stat().st_size > 0
    for point in ("learning_rate 0.001, clip 0.1", "learning_rate 0.01, clip 0.3"):
        last = [
            row["return_mean"]
            for row in rows
            if row["env_steps"] == 256
            and f"learning_rate {row['learning_rate']:g}, clip {row['clip']:g}" == point
        ]
        line = next(line for line in printed.splitlines() if line.startswith(point))
        assert f" {np.mean(last):.1f} " in line and "2 of 2" in line
    # A point by itself, as a training run, is the same.
    words = [*command("ppo", 4, 2, tmp_path / "alone"), "--learning-rate", "1e-2", "--clip", "0.3"]
    assert main(words) == 0
    point = [r for r in rows if r["learning_rate"] == 1e-2 and r["clip"] == 0.3]
    for one, other in zip(point, results.read_metrics(tmp_path / "alone"), strict=True):
        for name in other.keys() - {"wall_time", "steps_per_second"}:
            assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4, nan_ok=True), name
    out = tmp_path / "both.png"
    assert main(["plot", str(tmp_path / "s"), str(tmp_path / "alone"), "--out", str(out)]) == 0
    assert out.stat().st_size > 0
    assert main(["evaluate", str(tmp_path / "s"), "--episodes", "2"]) == 0
    assert len(json.loads((tmp_path / "s" / "evaluation.json").read_text())) == 8


def test_a_member_that_diverges_stops_and_the_others_go_on(tmp_path, capsys):
    folder = tmp_path / "nan"
    assert main(f"{SWEEP} --learning-rate 1e-3 1e38 --out {folder}".split()) == 1
    told = capsys.readouterr()
    sentence = told.err.splitlines()[-1]
    assert sentence.startswith("jaxrl: ") and "nan at environment step" in sentence
    for seed in (0, 1):
        assert f"in seed {seed} of learning_rate 1e+38" in sentence
    rows = results.read_metrics(folder)
    well = [row for row in rows if row["learning_rate"] == 1e-3]
    bad = [row for row in rows if row["learning_rate"] > 1]
    assert [row["env_steps"] for row in well] == [0, 0, 128, 128, 256, 256]
    assert [row["env_steps"] for row in bad] == [0, 0, 128, 128]
    assert all(np.isfinite(row["return_mean"]) for row in well)
    assert [np.isnan(row["return_mean"]) for row in bad] == [False, False, True, True]
    assert "0 of 2" in (folder / "sweep.txt").read_text()
    assert main(["sweep", "--resume", str(folder)]) == 1  # it is remembered
    # What diverged does not play, and each point is told apart.
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--episodes", "2"]) == 0
    played = json.loads((folder / "evaluation.json").read_text())
    assert [np.isfinite(row["return_mean"]) for row in played] == [True, True, False, False]
    assert [row.get("diverged_at") for row in played[:2]] == [None, None]
    assert all(row["diverged_at"] > 0 for row in played[2:])
    *_, good, none = capsys.readouterr().out.splitlines()
    mean = np.mean([row["return_mean"] for row in played[:2]])
    assert good.startswith("learning_rate 0.001") and f"return {mean:.1f}," in good
    assert none.startswith("learning_rate 1e+38") and "all 2 members diverged" in none


def test_interval_is_the_percentile_bootstrap():
    values = np.random.default_rng(1).normal(size=(30, 2)) + [0, 5]
    mean, low, high = statistics.bands(statistics.mean, values)
    np.testing.assert_allclose(mean, values.mean(0))
    for i in range(2):
        found = scipy.stats.bootstrap(
            (values[:, i],), np.mean, method="percentile", n_resamples=20_000
        ).confidence_interval
        assert low[i] == pytest.approx(found.low, abs=0.03)
        assert high[i] == pytest.approx(found.high, abs=0.03)


def test_seeds_that_stopped_are_left_out_of_later_means():
    rows = [{"seed": s, "env_steps": e, "return_mean": 10 * s + e} for s in (0, 1) for e in (1, 2)]
    steps, values = results.curves(rows[:-1])
    assert steps.tolist() == [1, 2]
    np.testing.assert_array_equal(statistics.bands(statistics.mean, values)[0], [6, 2])


@pytest.mark.parametrize("command_line", ["train ppo", "sweep dqn", "evaluate", "plot", "list"])
def test_help(command_line, capsys):
    try:
        code = main([*command_line.split(), "--help"])
    except SystemExit as stop:
        code = stop.code
    assert not code
    assert len(capsys.readouterr().out) > 40
