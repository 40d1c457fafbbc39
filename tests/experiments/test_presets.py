"""Presets: what the files say can be set, and is written as it is read."""

import pytest

import envs
from agents import AGENTS
from experiments import presets, records
from experiments.benchmarks import presets as benchmark


@pytest.mark.parametrize("pair", presets.PRESETS, ids=" ".join)
def test_every_preset_is_of_an_environment_and_sets_hyperparameters_that_exist(pair):
    agent, env = pair
    assert env in envs.names()
    values = presets.preset(agent, env)
    assert values.pop("steps") > 0
    hp = AGENTS[agent].defaults.replace(**values)
    flat = records.flat(hp)
    for name, value in values.items():
        (found,) = [v for k, v in flat.items() if k == name or k.endswith(f".{name}")]
        assert found == value and isinstance(found, tuple) == isinstance(value, tuple)


def test_every_pair_to_search_has_a_space_and_exists():
    names, pairs = set(envs.names()), 0
    for env, agents in benchmark.TASKS.items():
        assert env in names
        for agent, steps in agents.items():
            assert steps > 0 and benchmark.SPACES[agent] and agent in AGENTS
            pairs += 1
    assert len(benchmark.TASKS) >= 20 and pairs >= 40


def test_files_are_read_as_they_were_written(tmp_path):
    table = {
        "steps": 1000, "learning_rate": 2.5e-4, "hidden": (64, 32), "activation": "relu",
        "dueling": True,
        "tuning": {
            "points": 4, "seeds": 2, "judges": 8, "kept": True, "defaults": [1.0, 0.5, 1.5],
            "found": [2.0, 1.5, 2.5], "seconds": 3,
        },
    }  # fmt: skip
    by_hand = {"steps": 5e5, "decay": 1.0}
    path = presets.file_of("brax/ant", tmp_path)
    path.write_text(benchmark.written("brax/ant", {"ppo": table, "sac": by_hand}))
    assert path.name == "brax--ant.toml"
    assert presets.read(path) == ("brax/ant", {"ppo": table, "sac": by_hand})
    rows = [line.split(" | ") for line in benchmark.table(tmp_path).splitlines()[2:]]
    searched = ["| brax/ant", "ppo", "1e+03", "1 [0.5, 1.5]", "2 [1.5, 2.5]"]
    assert rows[0] == [*searched, "4 points x 2 seeds", "yes |"]
    assert rows[1] == ["| brax/ant", "sac", "5e+05", "", "", "by hand", "yes |"]
