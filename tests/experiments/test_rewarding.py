"""Rewards that are learnt from the shell: what is written, and that runs go on from it."""

import json

from experiments import rewarding, worded
from experiments.cli import main
from experiments.invocation import environment_parameters
from tests.experiments.runs import table


def test_a_run_learns_from_preferences_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    few = "--buffer-size 64 --warmup 16 --batch-size 8 --num-envs 2 --rollout-length 4 --n-step 1"
    small = "--hidden 8 --seeds 2 --episodes 2 --max-episode-steps 20 --no-animation"
    words = f"train dqn --env chain {few} {small} --evaluations 1 --out {folder}"
    reward = "labels=6 queries=2 period=2 segment=3 fits=2 pairs=4 hidden=4 members=2"
    assert main([*words.split(), "--steps", "32", "--reward", "preferences", *reward.split()]) == 0
    stored = json.loads((folder / "config.json").read_text())["reward"]
    assert stored["kind"] == "preferences" and stored["labels"] == 6
    again = rewarding.described(worded.words(stored), environment_parameters)
    assert again == stored
    assert main(f"train --resume {folder} --steps 64 --no-animation".split()) == 0
    rows = table(folder)
    # The three rounds are at the first, the third and the fifth gradient step.
    assert [float(row["labels"]) for row in rows if row["labels"]][-1] == 6
    assert all(0 <= float(row["preference_accuracy"]) <= 1 for row in rows if row["labels"])


def test_hidden_layers_may_be_one_number_or_several():
    for word, layers in (("hidden=4", (4,)), ("hidden=[4,8]", (4, 8))):
        found = rewarding.described(("preferences", word), environment_parameters)
        assert tuple(rewarding.settings(found).hidden) == layers
    assert rewarding.described(("environment",), environment_parameters) == {}
