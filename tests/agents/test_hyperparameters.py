"""Every hyperparameter is checked at assembly: its type, its range, and what it must agree with."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import pytest

import envs
from agents import AGENTS, ppo, tabular
from jaxrl import assemble
from jaxrl.errors import InputError
from tests.agents.cases import entry_of
from tests.agents.test_keys import CONTINUOUS

FRACTIONS = (
    "decay", "temporal_decay", "discount", "gae_lambda", "trace_decay", "epsilon", "target_rate",
    "share", "priority_peak", "munchausen_scale", "momentum",
)  # fmt: skip
SIGNED = ("target_entropy", "initial_value", "initial_stock", "lowest_stock", "highest_stock")
DECLARED = (
    "dqn", "munchausen-dqn", "stocked-dqn", "pqn", "r2d2", "q-lambda", "ppo", "sac", "td3", "beer",
    "proto-value", "discrete-sac", "recurrent-sac",
)  # fmt: skip


def wrong(field, declared):
    """Values that a field cannot have."""
    if isinstance(field.default, bool | str | tuple) or dataclasses.is_dataclass(field.default):
        return ["0"] if isinstance(field.default, bool | tuple) else []
    if isinstance(field.default, int):
        return [1.5, "many", *([-1] if declared else [])]
    bad = [math.nan, -math.inf, "much"]
    if declared:
        bad += [2.0] if field.name == "munchausen_floor" or field.name in FRACTIONS else []
        bad += [-0.5] if field.name not in (*SIGNED, "munchausen_floor") else []
    return bad


@pytest.mark.parametrize("name", AGENTS)
def test_every_number_has_its_range(name):
    """Infinite rates, negative steps, words for numbers: each is refused by the field's name."""
    entry = entry_of(name)
    env = envs.make("Pendulum-v1" if name in CONTINUOUS else "chain")
    env = env if entry.beside is None else entry.world(env, entry.defaults)
    make, tried = entry.maker(env), 0
    groups = [x for x in vars(entry.defaults).values() if getattr(x, "is_group", False)]
    for field in [f for record in (entry.defaults, *groups) for f in dataclasses.fields(record)]:
        for value in wrong(field, name in DECLARED):
            hp = entry.defaults.replace(**{field.name: value})
            with pytest.raises(InputError, match=rf"^{field.name} must .*, but it is"):
                assemble(make, env, hp)
            tried += 1
    assert tried > 20


def test_traced_numbers_are_passed_over_and_traced_shapes_are_named():
    env, hp = envs.make("CartPole-v1"), ppo.Hyperparameters()

    def run(**options):
        assemble(ppo.ppo, env, hp.replace(**options))
        return jnp.zeros(())

    jax.vmap(lambda x: run(learning_rate=x, clip=x, decay_steps=x))(jnp.ones(2))
    for name in ("num_envs", "hidden", "rollout_length"):
        with pytest.raises(InputError, match=f"{name} shapes the program"):
            jax.vmap(lambda n, name=name: run(**{name: n}))(jnp.arange(1, 3))


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(rollout_length=20, num_envs=4),
        dict(rollout_length=7, num_envs=4, minibatches=2),
        dict(rollout_length=1),
    ],
)
def test_a_memory_needs_sequences_and_the_remedy_works(options):
    env, hp = envs.make("CartPole-v1"), ppo.Hyperparameters(memory="gru", **options)
    with pytest.raises(InputError, match="--sequence-length") as refused:
        assemble(ppo.ppo, env, hp)
    length = re.search(r"such as (\d+)", str(refused.value))
    if length:
        assemble(ppo.ppo, env, hp.replace(sequence_length=int(length[1])))
    else:
        assert options == dict(rollout_length=1) and "--rollout-length" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(buffer_size=1001), "buffer_size"),
        (dict(buffer_size=4, warmup=12, n_step=3), "buffer_size"),
        (dict(buffer_size=2, warmup=4), "buffer_size"),
        (dict(warmup=3), "warmup"),
        (dict(warmup=10**6), "warmup"),
    ],
)
def test_the_numbers_that_replay_advises_are_valid(options, word):
    env, hp = envs.make("CartPole-v1"), AGENTS["dqn"].defaults.replace(**options)
    with pytest.raises(InputError, match=f"^{word}") as refused:
        assemble(AGENTS["dqn"].make, env, hp)
    advised = re.search(r"(try|at least) (\d+)", str(refused.value))
    assert advised
    assemble(AGENTS["dqn"].make, env, hp.replace(**{word: int(advised[2])}))


def test_a_table_refuses_observations_that_are_not_one_hot():
    hp = tabular.Hyperparameters()
    for name in ("chain", "FrozenLake", "gridworld"):
        jax.jit(lambda name=name: tabular.world(envs.make(name), hp) and 0)()
    for name in ("CartPole-v1", "Acrobot-v1"):
        with pytest.raises(InputError, match="one-hot"):
            AGENTS["q-learning"].world(envs.make(name), hp)
