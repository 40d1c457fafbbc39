"""Settings within settings, from the command line to sweeps and back."""

import dataclasses
import json

import numpy as np
import pytest

from agents import AGENTS
from experiments import configuration, options, records
from experiments.cli import main
from jaxrl.fields import number, record
from jaxrl.settings import Optimisation
from jaxrl.values import Critic
from tests.experiments.runs import COMMON, SMALL_REPLAY, table

SMALL = f"--env CartPole-v1 {SMALL_REPLAY} {COMMON}"


@pytest.mark.parametrize("agent", AGENTS)
def test_flat_and_back(agent):
    record = AGENTS[agent].defaults
    values = records.flat(record)
    assert records.replaced(record, values) == record
    assert set(records.numeric(record)) < set(values)
    assert records.replaced(record, {}) is not None
    if "critic.high" in values:
        assert "critic.high" in records.numeric(record)
        assert "critic.family" not in records.numeric(record)
        other = records.replaced(record, {"critic.high": 3.0, "learning_rate": 1.0})
        assert other == record.replace(critic=record.critic.replace(high=3.0), learning_rate=1.0)
    with pytest.raises(TypeError):
        records.replaced(record, {"critic.hihg": 1.0})


@pytest.mark.parametrize("agent", AGENTS)
def test_each_hyperparameter_is_an_option_of_training_and_of_sweeps(agent):
    names = records.flat(AGENTS[agent].defaults)
    for base, lists in ((options.Resumable, False), (options.Sweepable, True)):
        kind = options.schema(base, agent, {}, lists)
        found = [field.name for field in dataclasses.fields(kind)]
        assert {options.attribute(name) for name in names} < set(found)
        assert len(set(found)) == len(found)


def test_a_field_of_the_name_of_one_in_a_group_is_refused():
    class Twice:
        learning_rate: float = number(0.1)
        optimisation: Optimisation = Optimisation()

    with pytest.raises(
        TypeError, match="Twice and its group optimisation both have a field learning_rate"
    ):
        record(Twice)


def test_trained_resumed_and_evaluated(tmp_path, capsys):
    options = "--critic.family two-hot --critic.atoms 7 --critic.low -1.5 --no-animation"
    # Of the steps 16 are the warm-up, and each update takes 8.
    for name, steps, evaluations in (("whole", 48, 2), ("halves", 32, 1)):
        words = f"train c51 {SMALL} {options} --steps {steps} --out {tmp_path / name}"
        assert main([*words.split(), "--evaluations", str(evaluations)]) == 0
    stored = configuration.load(tmp_path / "halves")
    assert configuration.hyperparameters(stored).critic == Critic("two-hot", 7, low=-1.5)
    assert stored.hyperparameters["critic.low"] == -1.5
    resume = ["train", "--resume", str(tmp_path / "halves"), "--no-animation"]
    assert main([*resume, "--steps", "48", "--critic.low", "-1"]) == 2
    assert "critic.low is -1.5, not -1.0" in capsys.readouterr().err
    assert main([*resume, "--steps", "48"]) == 0
    assert table(tmp_path / "halves") == table(tmp_path / "whole")
    assert main(["evaluate", str(tmp_path / "halves"), "--episodes", "2"]) == 0


def test_swept(tmp_path):
    words = f"sweep c51 {SMALL} --evaluations 2 --steps 32 --critic.high 20 400 --discount 0.9 0.99"
    assert main([*words.split(), "--out", str(tmp_path / "s")]) == 0
    config = configuration.load(tmp_path / "s")
    assert config.sweep["critic.high"] == [20.0, 400.0, 20.0, 400.0]
    assert configuration.hyperparameters(config, 3).critic == Critic("categorical", high=400.0)
    stacked, axes, _ = configuration.member_values(config)
    np.testing.assert_array_equal(stacked.critic.high, [20, 20, 400, 400] * 2)
    assert axes.critic.high == 0 and axes.critic.low is None
    assert axes.optimisation.learning_rate is None
    assert {row["critic.high"] for row in table(tmp_path / "s")} == {"20.0", "400.0"}
    assert main(["evaluate", str(tmp_path / "s"), "--episodes", "2"]) == 0
    rows = json.loads((tmp_path / "s" / "evaluation.json").read_text())
    assert [row["critic.high"] for row in rows] == [20.0, 20.0, 400.0, 400.0] * 2
    assert main(["sweep", "--resume", str(tmp_path / "s")]) == 0


@pytest.mark.thorough
def test_a_stock_is_shown_and_swept(tmp_path):
    small = SMALL.replace("CartPole-v1", "chain")
    words = f"train stocked-dqn {small} --steps 16 --initial-stock -1 --out {tmp_path / 't'}"
    assert main(words.split()) == 0
    assert (tmp_path / "t" / "best_agent.gif").stat().st_size > 0
    words = f"sweep stocked-dqn {small} --steps 16 --initial-stock -1 1 --out {tmp_path / 's'}"
    assert main(words.split()) == 0
