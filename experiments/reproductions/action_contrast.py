"""DQN with the objective of TACO for its hidden layers, and without it.

Zheng et al. (2023) hold that a contrast of what sequences of actions lead to, beside the loss of
the agent, lets it learn from fewer steps. DQN learns CartPole with eight more observations that
mean nothing and last, and with its 2 actions or with 16 names for them, in a random order.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import envs
from agents import dqn
from experiments import options
from experiments.reproductions.choosing import tried
from experiments.reproductions.curves import Curve, panels
from experiments.reproductions.report import save
from jaxrl import make_train
from jaxrl import representations as reps
from jaxrl.errors import require_positive
from jaxrl.rewards.learnt import replayed_sequences
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Env, Key, Update

TITLE = "Return in CartPole with meaningless observations, by the objective beside DQN's own"
RATES = (3e-4, 1e-3, 3e-3)
NOISES, PERSISTENCE, AHEAD, NAMES = 8, 0.9, 3, 16
DISCOUNT = 0.99
BESIDE = ("none", "TACO")


@dataclass(frozen=True)
class Options:
    """Learn CartPole with a second objective for the hidden layers."""

    seeds: int = 6
    """Number of runs; two others choose the learning rate."""
    steps: float = 1e4
    """Number of environment steps."""
    out: Path = Path(".reproductions/action-contrast")
    """Folder in which the table, the numbers and the picture are written."""


def named(env: Env, names: int) -> Env:
    """The same environment with several names for each discrete action, in a random order."""
    assert isinstance(env.spec.action, Discrete), "only discrete actions have names here"
    kinds = np.random.default_rng(0).permutation(names) % env.spec.action.num
    step = lambda state, action, key: env.step(state, jnp.asarray(kinds)[action], key)
    return env._replace(step=step, spec=env.spec._replace(action=Discrete(names)))


def beside(env: Env, hp: dqn.Hyperparameters, layers: Layers):
    """The schedule of DQN with another objective for its hidden layers."""
    encoder = reps.torso_encoder(env.spec, layers)
    pretext = reps.temporal_action_contrast(encoder, env.spec, DISCOUNT, AHEAD)
    rule = optax.adam(hp.optimisation.learning_rate)

    def around(update: Update, length: int | None) -> Update:
        return reps.auxiliary(update, encoder, pretext, rule, first=length)

    def schedule(update: Update, hp: dqn.Hyperparameters) -> Update:
        return replayed_sequences(update, around, hp, None, AHEAD, "Representations")

    return schedule


def curve(kind: str, names: int, steps: float, rate: Array, key: Key) -> tuple[Array, Array]:
    """Environment steps and evaluation returns [E] of one run."""
    env = envs.distracted(named(envs.make("CartPole-v1"), names), NOISES, PERSISTENCE)
    hp = dqn.Hyperparameters(
        discount=DISCOUNT, learning_rate=rate, num_envs=4, rollout_length=4, updates=4,
        batch_size=64, buffer_size=10_000, hidden=(64, 64), warmup=1_000, target_period=100,
        epsilon_updates=2_000.0,
    )  # fmt: skip
    more = {} if kind == "none" else {"schedule": beside(env, hp, hp.network)}
    found = make_train(partial(dqn.dqn, **more), env, hp, steps, 10, 8)(key).metrics
    return found["env_steps"], found["evaluation_return"]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce action-contrast", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    curves, kept = {}, {}
    points = [(f"{names} actions", names, kind) for names in (2, NAMES) for kind in BESIDE]
    for where, names, kind in tqdm(points, unit=" programs"):
        one = partial(curve, kind, names, chosen.steps)
        best, (steps, returns) = tried(one, RATES, chosen.seeds, score=lambda x: x[1])
        curves[where, kind] = Curve(steps[0], returns)
        kept[where, kind] = RATES[best]
    rows, figure = panels(curves, ("actions", "beside DQN"), same_scale=True)
    for row in rows:
        row["rate"] = kept[row["actions"], row["beside DQN"]]
    save(chosen.out, TITLE, rows, figure)
