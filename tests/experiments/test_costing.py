"""Cost limits from the shell: what is written and refused, and the optimum of a programme."""

import json

import numpy as np
import pytest

import envs
from envs import mdps
from experiments import costing
from experiments.cli import main
from experiments.invocation import environment_parameters
from jaxrl import dp
from jaxrl.errors import InputError
from tests.experiments.runs import SMALL_REPLAY, table

read = lambda *words: costing.described(words, environment_parameters)


def test_a_run_with_limits_tells_its_costs(tmp_path):
    folder = tmp_path / "run"
    small = "--hidden 8 --seeds 2 --episodes 4 --evaluations 2 --no-animation"
    env = "--env hazard-grid --env-params end=0.2"
    words = f"train dqn {env} {SMALL_REPLAY} {small} --steps 32 --out {folder}"
    assert main([*words.split(), "--cost-limits", "0.1", "rate=5"]) == 0
    stored = json.loads((folder / "config.json").read_text())["cost_limits"]
    assert stored == {"all": 0.1, "rate": 5} == read(*costing.words(stored))
    rows = table(folder)
    assert all(0 <= float(row["cost_hazard"]) <= 1 for row in rows)
    costs = [float(row["train_cost_hazard"] or 0) for row in rows]
    assert max(costs) > 0.1 and max(float(row["price_hazard"] or 0) for row in rows) > 0


def test_words_of_limits():
    assert read() == {} and read("0.1") == {"all": 0.1}
    assert read("0.1", "effort=0", "rate=1") == {"all": 0.1, "effort": 0.0, "rate": 1.0}
    for words, sentence in (
        (("low",), "takes a number, or name=number for some costs, not 'low'"),
        (("effort=True",), "not 'effort=True'"),
        (("2",), "The limit of all must lie between 0 and 1, but it is 2.0"),
        (("0.1", "0.2"), "gives all twice"),
        (("0.1", "rate=0"), "rate must be above zero"),
        (("rate=1",), "one limit at least"),
    ):
        with pytest.raises(InputError, match=sentence):
            read(*words)


def test_what_cannot_keep_limits_says_why(capsys, tmp_path):
    for words, sentence in (
        ("ppo --env CartPole-v1", "ppo with --cost-limits: Cost limits need an environment that"),
        ("mbpo --env Pendulum-effort", "mbpo with --cost-limits: Cost limits are for agents that"),
        ("alphazero --env hazard-grid", "alphazero plans in its environment"),
        ("sac --env Pendulum-effort --reward preferences", "--reward preferences and --cost-limi"),
    ):
        asked = f"train {words} --steps 20000 --out {tmp_path / 'none'} --cost-limits 0.1".split()
        assert main(asked) != 0
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


def test_the_best_keeps_limits_where_one_does():
    found = ((5.0, 0.3, 0.0), (3.0, 0.1, 0.9), (4.0, 0.2, 0.9), (np.nan, 0.0, 0.0))
    rows = [{"return_mean": x, "cost_a": a, "cost_b": b} for x, a, b in found]
    best = lambda limits: np.nan_to_num(costing.eligible(limits, rows), nan=-1.0).tolist()
    assert best({}) == [5, 3, 4, -1]
    assert best({"a": 0.2}) == [-1, 3, 4, -1]
    assert best({"a": 0.0, "rate": 1.0}) == [-1, 3, -1, -1]  # none keeps it: the nearest
    assert best({"all": 0.5}) == [5, -1, -1, -1]
    assert costing.mean_costs(rows) == {"a": pytest.approx(0.2), "b": pytest.approx(0.6)}


@pytest.mark.thorough
def test_ppo_reaches_the_optimum_of_the_programme(tmp_path):
    """Reward and cost of a step, over eight seeds, beside the exact optimum under the limit."""
    limit, end = 0.2, 0.02
    mdp, hazard = envs.tabular_mdp("hazard-grid"), mdps.hazards()
    cost = np.asarray(mdp.transition) @ hazard
    best = dp.linear_programme(mdp, 1.0, cost[None], np.array([limit / end])).value * end
    free = dp.linear_programme(mdp, 1.0)
    assert (free.occupancy * cost).sum() * end > 3 * limit and free.value * end > 1.4 * best
    words = (
        "train ppo --env hazard-grid --seeds 8 --steps 3e5 --num-envs 16 --rollout-length 32 "
        "--discount 1 --learning-rate 1e-3 --decay 0 --hidden 32 --entropy-coefficient 0.003 "
        "--evaluations 6 --no-animation"
    )
    run = f"{words} --out {tmp_path / 'run'} --cost-limits {limit} rate=0.01"
    assert main(run.split()) == 0
    rows = [row for row in table(tmp_path / "run") if float(row["env_steps"]) > 2.9e5]
    costs = np.array([float(row["train_cost_hazard"]) for row in rows])
    paid = np.array([float(row["train_return"]) / float(row["train_length"]) for row in rows])
    assert costs.mean() < limit + 0.03
    assert paid.mean() > 0.9 * best
