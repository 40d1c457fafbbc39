"""The step at which a loss stopped being a number, against a loop that looks at every step."""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import configuration
from experiments.configuration import Configuration, extended, parts
from experiments.population import Population, watched
from experiments.training import conclude, rows_of
from jaxrl.loop import advance
from jaxrl.types import Counter, Experiment, Run, count

CONFIG = Configuration(
    agent="ppo",
    env="CartPole-v1",
    env_params={},
    hyperparameters={"num_envs": 2, "rollout_length": 3},
    sweep={},
    seeds=3,
    seed=5,
    steps=60,
    evaluations=2,
    episodes=1,
    max_episode_steps=10,
)


def breaking(first_bad: jax.Array) -> Experiment:
    """An experiment whose loss is nan from update `first_bad` on."""

    def step(run: Run) -> tuple[Run, dict]:
        after = Counter(run.step.value + 1)
        loss = jnp.where(after.value >= first_bad, jnp.nan, 1.0)
        zero = jnp.zeros(())
        metrics = {"loss": loss, "episodes": zero, "episode_return": zero}
        return run._replace(step=after), metrics

    return Experiment(lambda key: Run((), (), key, count()), step)


@pytest.mark.parametrize("first_bad", [1, 2, 5, 6, 10])
def test_the_first_bad_update_is_named(first_bad, capsys):
    population = Population(
        CONFIG, None, None, np.array([5, 6, 7]), np.zeros(3, int), None, None, None
    )
    never, diverged = 1_000, {}
    bad = jnp.array([never, first_bad, never])
    run = Run((), (), jax.random.key(0), count())
    score = SimpleNamespace(
        returns=np.ones((3, 1)), lengths=np.ones((3, 1)), completed=np.ones((3, 1))
    )
    for done in (1, 2):
        step = lambda run, bad: advance(watched(breaking(bad)), run, CONFIG.interval)
        axes = Run((), (), None, Counter(None))
        run, metrics = jax.vmap(step, in_axes=(axes, 0), out_axes=(axes, 0))(run, bad)
        rows = rows_of(population, done, 1.0, 1.0, metrics, score, diverged)
        assert len(rows) == 3 - ((done - 1) * CONFIG.interval >= first_bad)
    assert list(diverged) == ["1"]
    assert diverged["1"][0] == "loss" and diverged["1"][2] == first_bad * 6
    with pytest.raises(
        Exception, match=f"loss is nan at environment step {first_bad * 6} in seed 6:"
    ):
        conclude(population, diverged, Path("runs/x"))


@pytest.mark.parametrize("evaluations", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("steps", [1, 6, 59, 61, 1000])
def test_longer_runs_keep_their_interval(evaluations, steps):
    stored = configuration.Configuration(**{**vars(CONFIG), "evaluations": evaluations})
    longer = extended(stored, steps)
    assert longer.interval == stored.interval
    assert longer.evaluations * longer.interval_steps >= steps


@pytest.mark.parametrize("at_once", [0, 1, 2, 3, 5, 9])
def test_parts_cover_all_members_once(at_once):
    config = Configuration(
        **{**vars(CONFIG), "sweep": {"clip": [0.1, 0.2]}, "members_at_once": at_once}
    )
    covered = [i for _, members in parts(config, Path("x")) for i in range(6)[members]]
    assert covered == list(range(6))
