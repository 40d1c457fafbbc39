"""What a run is charged, when it is evaluated, and where a loss stopped being a number."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import compilation, configuration, memory, reporting
from experiments.configuration import Configuration, extended, parts
from experiments.learning import accumulate, watched
from experiments.population import Population
from experiments.progress import State, rows_of
from experiments.training import conclude
from jaxrl.evaluation import Evaluation
from jaxrl.types import Counter, Experiment, Run, count

CONFIG = Configuration(
    agent="ppo",
    env="CartPole-v1",
    env_params={},
    hyperparameters={"num_envs": 2, "rollout_length": 3, "warmup": 7},
    sweep={},
    seeds=3,
    seed=5,
    steps=72,
    evaluations=2,
    episodes=1,
    max_episode_steps=10,
)


def changed(**values) -> Configuration:
    return Configuration(**{**vars(CONFIG), **values})


def members(seeds: np.ndarray) -> Population:
    points = np.zeros(len(seeds), int)
    empty = dict.fromkeys(Population._fields)
    return Population(**empty | dict(config=CONFIG, seeds=seeds, points=points))


def breaking(first_bad: jax.Array) -> Experiment:
    """An experiment whose loss is nan from update `first_bad` on; an episode ends in each third."""

    def step(run: Run) -> tuple[Run, dict]:
        after = Counter(run.step.value + 1)
        loss = jnp.where(after.value >= first_bad, jnp.nan, 1.0 * after.value)
        ended = jnp.where(after.value % 3 == 0, 0.5, 0.0)
        metrics = {"loss": loss, "episodes": ended, "episode_return": 4 * ended}
        return run._replace(step=after), metrics

    return Experiment(lambda key: Run((), (), key, count()), step)


@pytest.mark.parametrize("first_bad", [1, 2, 5, 6, 10])
def test_the_first_bad_update_is_named(first_bad):
    population = members(np.array([5, 6, 7]))
    never, zeros = 1_000, np.zeros(3, np.float32)
    bad = jnp.array([never, first_bad, never])
    names = ("loss", "finite", "episodes", "episode_return")
    score = Evaluation(returns=np.ones((3, 1)), lengths=np.ones((3, 1)), completed=np.ones((3, 1)))
    axes = Run((), (), None, Counter(None))
    learn = lambda run, sums, bad, n: accumulate(watched(breaking(bad)), run, sums, n)
    learn = jax.jit(jax.vmap(learn, (axes, 0, 0, None), (axes, 0)))
    state, found = State(runs=Run((), (), jax.random.key(0), count())), {}
    for chunks in ((1, 4), (2, 2, 1)):  # two intervals of five updates, in pieces
        sums = dict.fromkeys(names, zeros)
        for n in chunks:
            runs, sums = learn(state.runs, sums, bad, n)
            state = state._replace(runs=runs, updates=state.updates + n)
        rows, new = rows_of(population, state._replace(sums=sums, seconds=1.0), score)
        first = state.updates - 4
        assert len(rows) == 3 - (first > first_bad)
        well = rows[0]
        assert well["env_steps"] == 12 + 6 * state.updates  # the warm-up of 7 is two rollouts
        assert well["loss"] == np.mean(range(first, state.updates + 1))
        assert well["train_return"] == 4  # of episodes, however many updates had none
        found |= new
        state = state._replace(diverged=found, since=(state.updates, 0.0))
    assert list(found) == ["1"]
    assert found["1"][0] == "loss" and found["1"][2] == 12 + first_bad * 6
    where = f"loss is nan at environment step {12 + first_bad * 6} in seed 6:"
    with pytest.raises(Exception, match=where):
        conclude(population, found, Path("runs/x"))


def test_metrics_without_an_episode_are_undefined():
    population = members(np.array([5]))
    score = Evaluation(*(np.ones((1, 1)) for _ in range(3)))
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    sums = {"loss": one, "finite": one, "episodes": zero, "episode_return": zero}
    (row,), _ = rows_of(population, State(1, sums=sums, seconds=1.0), score)
    assert row["train_return"] is None and row["loss"] == 1
    (row,), diverged = rows_of(population, State(0, sums=dict.fromkeys(sums, zero)), score)
    assert row["loss"] is None and row["env_steps"] == 12 and not diverged


@pytest.mark.parametrize("evaluations", [1, 2, 3, 7, 10, 40])
@pytest.mark.parametrize("steps", [1, 6, 59, 61, 1000])
def test_longer_runs_keep_their_evaluations(evaluations, steps):
    stored = changed(evaluations=evaluations)
    spent, longer = stored.budget, extended(extended(stored, steps + 600), steps + 1200)
    assert spent.steps == 12 + 6 * 10 and sum(spent.blocks) == 10
    assert longer.steps == steps + 1200  # what was asked for is what is recorded
    assert 0 <= longer.budget.steps - longer.steps < 6
    assert longer.evaluations == len(longer.budget.blocks)
    before, after = (list(itertools.accumulate(c.budget.blocks)) for c in (stored, longer))
    assert after[: len(before)] == before and after == sorted(set(after))
    # The whole rhythm again after each ten updates.
    again = [x + 10 for x in before if x + 10 < after[-1]]
    assert after[len(before) : len(before) + len(again)] == again


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"steps": 72}, ["72 environment", "10 updates of 6 after a warm-up of 12"]),
        ({"steps": 73}, ["78 environment", "--steps 73", "2 x rollout_length 3"]),
        ({"steps": 1, "evaluations": 9}, ["18 environment", "1 update of", "--evaluations 9"]),
    ],
)
def test_steps_that_cannot_be_met_are_told(values, parts):
    said = reporting.steps_sentence(changed(**values))
    assert all(part in said for part in parts), said
    assert ("cannot" in said) == ("--steps" in " ".join(parts) or values["steps"] == 1)


@pytest.mark.parametrize(
    ("decay", "decay_steps", "part"),
    [(0.0, 0.0, ""), (0.5, 0.0, "over 36 "), (0.0, 36.0, "for 50% of"), (0.0, 72.0, "")],
)
def test_the_end_of_the_learning_rate_is_told(decay, decay_steps, part):
    hp = CONFIG.hyperparameters | {"decay": decay, "decay_steps": decay_steps}
    said = reporting.decay_sentence(changed(hyperparameters=hp))
    assert len(said) == bool(part) and part in "".join(said)


@pytest.mark.parametrize("at_once", [0, 1, 2, 3, 5, 9])
def test_parts_cover_all_members_once(at_once):
    config = changed(sweep={"clip": [0.1, 0.2]}, members_at_once=at_once)
    covered = [i for _, members in parts(config, Path("x")) for i in range(6)[members]]
    assert covered == list(range(6))


def test_the_memory_of_a_container(tmp_path, monkeypatch):
    assert memory.group_limits(tmp_path) == []
    for name, text in (("memory.max", "max"), ("memory/memory.limit_in_bytes", f"{2**63 - 4096}")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert memory.group_limits(tmp_path) == []
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert memory.group_limits(tmp_path) == [2**30]
    there = memory.physical_bytes()
    assert there > 2**28
    monkeypatch.delattr("os.sysconf")
    assert memory.physical_bytes() == 0 and memory.memory_bytes() > 0


def test_compilations_are_kept_where_they_can_be(tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    try:
        jax.config.update("jax_compilation_cache_dir", "/a/persons/own")
        assert compilation.cache() == Path("/a/persons/own")
        jax.config.update("jax_compilation_cache_dir", None)
        (tmp_path / "file").write_text("")
        assert compilation.cache(tmp_path / "file" / "deeper") is None
        assert jax.config.jax_compilation_cache_dir is None
        folder = compilation.cache()
        assert folder.is_relative_to(tmp_path / "caches" / "jaxrl") and not any(folder.iterdir())
        assert jax.config.jax_compilation_cache_dir == str(folder)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    for age, name in enumerate("abcd"):
        (folder / name).write_bytes(b"x" * 10)
        __import__("os").utime(folder / name, (100 - age, 100 - age))
    compilation.evict(folder, 25)
    assert {path.name for path in folder.iterdir()} == {"a", "b"}


def test_a_stored_configuration_is_checked_by_name(trained, tmp_path):
    stored = json.loads((trained / "config.json").read_text())
    hp = stored["hyperparameters"]

    def load(**values):
        (tmp_path / "config.json").write_text(json.dumps(stored | values))
        return configuration.load(tmp_path)

    older = {k: v for k, v in hp.items() if k not in ("clip", "critic.atoms")}
    assert load(hyperparameters=older) == configuration.load(trained)
    assert configuration.defaulted(tmp_path).keys() == {"clip", "critic.atoms"}
    newest = {k: v for k, v in stored.items() if k not in ("spacing", "data", "dataset")}
    (tmp_path / "config.json").write_text(json.dumps(newest))
    assert configuration.load(tmp_path) == configuration.load(trained)
    for values, part in (
        ({"hyperparameters": hp | {"clop": 1.0}}, "clop"),
        ({"hyperparameters": hp | {"clip": "much"}}, "clip must be a number"),
        ({"hyperparameters": hp | {"hidden": [8, None]}}, "hidden must be a whole number"),
        ({"hyperparameters": hp | {"num_envs": 2.5}}, "num_envs must be a whole number"),
        ({"seeds": "2"}, "seeds must be a whole number"),
        ({"seeds": True}, "seeds must be a whole number"),
        ({"steps": -1}, "steps must be above zero"),
        ({"agent": "pppo"}, "pppo"),
        ({"sweep": {"clip": [0.1], "discount": []}}, "one length"),
        ({"sweep": {"num_envs": [1]}}, "num_envs cannot be swept"),
        ({"spacing": [1]}, "spacing"),
        ({"colour": 1}, "colour"),
    ):
        with pytest.raises(ValueError, match=part) as caught:
            load(**values)
        assert "config.json" in str(caught.value)
    for text in ("", "[]", "{", "\0\0", '{"agent": "ppo"}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json"):
            configuration.load(tmp_path)
