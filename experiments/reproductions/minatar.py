"""Settings of DQN on MinAtar that several reproductions share.

Its games are of 10 x 10 cells and a few planes of bits. An episode has at most 1000 steps here, and
networks have one layer on all bits, which costs a fifth of a convolution on a CPU.
"""

from typing import Any

import jax
import jax.numpy as jnp

import envs
from agents import AGENTS
from experiments.reproductions.curves import Trial
from jaxrl.types import Agent, Key, Spec, Transition, Tree, Update

RATES = (2.5e-4, 1e-3)
"""The learning rates among which the best is chosen for every critic."""
CHECKS = 12
"""Number of evaluations of a run."""
SETTINGS: dict[str, Any] = dict(
    num_envs=8, rollout_length=4, updates=8, batch_size=64, buffer_size=100_000, warmup=5_000,
    hidden=(128,), encoder="mlp", target_period=1, target_rate=0.005, epsilon=0.02,
    epsilon_updates=25_000.0,
)  # fmt: skip
"""The hyperparameters of DQN with any critic."""


def trial(agent: str, game: str, steps: float, noise: float = 0.0, **options: Any) -> Trial:
    """A variant of DQN in a game, with Gaussian noise of a standard deviation on its rewards.

    Atoms of categorical critics span discounted returns from -5 to 20.
    """
    entry = AGENTS[agent]
    critic = entry.defaults.critic
    if critic.family in ("categorical", "two-hot", "hl-gauss"):
        critic = critic.replace(low=-5.0, high=20.0)
    env = envs.cast_observation(envs.make(game, max_steps_in_episode=1000), jnp.bool_)

    def make(spec: Spec, hp: Any) -> Agent:
        agent = entry.make(spec, hp)
        return agent._replace(update=noisy_rewards(agent.update, noise))

    hp = entry.defaults.replace(**SETTINGS | {"critic": critic} | options)
    return Trial(make, env, hp, steps, CHECKS)


def noisy_rewards(update: Update, deviation: float) -> Update:
    """Add Gaussian noise to rewards before they are stored; evaluations have none."""

    def noisy(batch: Transition, key: Key) -> Transition:
        noise = jax.random.normal(jax.random.fold_in(key, 1), batch.reward.shape)
        return batch._replace(reward=batch.reward + deviation * noise)

    def init(key: Key, example: Transition) -> Tree:
        return update.init(key, noisy(example, key))

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, noisy(batch, key), key)

    return Update(init, apply, update.read)
