"""Small agents of every kind, for the properties that all must have."""

import jax.numpy as jnp

import envs
from agents import AGENTS
from jaxrl.steering import Frozen
from jaxrl.types import Goals

SMALL_PPO = dict(num_envs=4, rollout_length=16, epochs=2, minibatches=2, hidden=(16, 16))
SMALL_REPLAY = dict(num_envs=2, rollout_length=2, buffer_size=64, warmup=16, batch_size=8)

CASES = {
    "ppo": ("ppo", "CartPole-v1", SMALL_PPO),
    "ppo_continuous": (
        "ppo",
        "Pendulum-v1",
        SMALL_PPO | dict(normalise_observations=True, normalise_rewards=True),
    ),
    "ppo_gru": ("ppo", "CartPole-v1", SMALL_PPO | dict(memory="gru", sequence_length=8)),
    "dqn_options": (
        "dqn",
        "CartPole-v1",
        SMALL_REPLAY | dict(hidden=(16, 16), n_step=3, prioritised=True, dueling=True),
    ),
    "mbpo": (
        "mbpo",
        "Pendulum-v1",
        SMALL_REPLAY | dict(hidden=(16,), model_hidden=(16,), members=2, elites=1, dreams=2),
    ),
    "sac": ("sac", "Pendulum-v1", SMALL_REPLAY | dict(hidden=(16, 16), updates=2)),
}


# A policy of one action for those agents that need a trained one beside them.
IDLE = Frozen(
    lambda obs, key: jnp.zeros_like(obs[..., :1]), lambda obs, noise: jnp.tanh(noise + obs[..., :1])
)


def entry_of(name: str):
    """The entry of an agent, with the policy that it needs beside it."""
    entry = AGENTS[name]
    return entry if entry.beside is None else entry._replace(**entry.beside(IDLE))


GOALS = ("hiql", "gcivl", "qrl", "crl")
"""The agents that need an environment with goals."""


def world_of(name: str, env):
    """An environment for an agent: the same, or one with its observations as goals."""
    if name not in GOALS:
        return env
    same = Goals(env.spec.observation, lambda obs: obs, lambda a, g: (a == g).all(-1))
    return envs.goaled(env, same, lambda key, obs: obs)


def case(name: str):
    """The constructor, environment and hyperparameters of a case."""
    agent, env, options = CASES[name]
    entry = AGENTS[agent]
    return entry.make, envs.make(env), entry.defaults.replace(**options)
