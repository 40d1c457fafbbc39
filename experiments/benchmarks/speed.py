"""Environment steps per second of training, beside other libraries.

All have the same networks, batches, passes, environments and precision; see `turns`.
"""

import dataclasses
from typing import Any

from agents import AGENTS
from experiments import records
from experiments.benchmarks import turns
from experiments.benchmarks.turns import OURS, Setting
from experiments.options import parse

PPO = {
    "epochs": 4,
    "minibatches": 4,
    "hidden": (64, 64),
    "activation": "tanh",
    "normalise_rewards": False,  # no peer does
}
OFF_POLICY = {
    "num_envs": 1,
    "rollout_length": 1,
    "updates": 1,
    "batch_size": 256,
    "buffer_size": 131_072,
    "warmup": 256,
    "hidden": (64, 64),
    "activation": "relu",
}
CARTPOLE = PPO | {"agent": "ppo", "env": "CartPole-v1"}
PPO_SMALL = CARTPOLE | {"num_envs": 4, "rollout_length": 128}
PPO_WIDE = CARTPOLE | {"num_envs": 2048, "rollout_length": 10}
PPO_IMAGE = PPO | {
    "agent": "ppo",
    "env": "Breakout-MinAtar",
    "num_envs": 64,
    "rollout_length": 128,
    "encoder": "mlp",  # as in rejax, which flattens images
}
PPO_BRAX = PPO | {
    "agent": "ppo",
    "env": "brax/inverted_pendulum",
    "env_params": {"backend": "spring"},
    "num_envs": 64,
    "rollout_length": 16,
}
# The target networks follow at every gradient step, as they do in rejax.
DQN = OFF_POLICY | {"agent": "dqn", "env": "CartPole-v1", "target_period": 1, "target_rate": 0.01}
SAC = OFF_POLICY | {"agent": "sac", "env": "Pendulum-v1", "target_rate": 0.005}
# mbrl-lib fits its model at once every 250 steps, by fewer batches than one for each step.
MBPO = SAC | {
    "agent": "mbpo",
    "dreams": 20,
    "real_share": 0.05,
    "members": 5,
    "elites": 5,
    "model_hidden": (128, 128),
}

SETTINGS: dict[str, Setting] = {
    "ppo-cartpole-4x128": Setting(
        PPO_SMALL, {OURS: 400, "rejax": 400, "sb3": 10}, {"rejax": 1.3, "sb3": 30.0}
    ),
    "ppo-cartpole-2048x10": Setting(
        PPO_WIDE, {OURS: 20, "rejax": 20, "sb3": 1}, {"rejax": 1.3, "sb3": 30.0}
    ),
    "ppo-breakout-64x128": Setting(
        PPO_IMAGE, {OURS: 12, "rejax": 12, "sb3": 1}, {"rejax": 1.3, "sb3": 30.0}
    ),
    "ppo-cartpole-32-seeds": Setting(PPO_SMALL, {OURS: 20, "rejax": 20}, {"rejax": 1.0}, 32),
    "ppo-brax": Setting(PPO_BRAX, {OURS: 200, "brax": 200}, {"brax": 1.0}),
    "dqn-cartpole": Setting(
        DQN, {OURS: 8192, "rejax": 1024, "sb3": 1024}, {"rejax": 7.0, "sb3": 30.0}
    ),
    "dqn-cartpole-8-seeds": Setting(DQN, {OURS: 2048, "rejax": 128}, {"rejax": 7.0}, 8),
    "sac-pendulum": Setting(
        SAC, {OURS: 2048, "rejax": 1024, "sb3": 256}, {"rejax": 3.0, "sb3": 30.0}
    ),
    "mbpo-pendulum": Setting(MBPO, {OURS: 1024, "mbrl": 250}, {"mbrl": 1.0}),
}
POPULATIONS = {
    "ppo-cartpole-32-seeds": "ppo-cartpole-4x128",
    "dqn-cartpole-8-seeds": "dqn-cartpole",
}


TOLD = ("agent", "env", "env_params", "seeds", "steps")
"""What a worker is told beside hyperparameters."""


def hyperparameters(task: dict[str, Any]) -> Any:
    """Our hyperparameters of a task; a TypeError for a name that the agent does not have."""
    own = {name: value for name, value in task.items() if name not in TOLD}
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    return records.replaced(AGENTS[task["agent"]].defaults, own)


@dataclasses.dataclass(frozen=True)
class Options(turns.Options):
    """Measure training speed beside other libraries, which are installed when first needed."""


def table(report: dict[str, Any]) -> str:
    """The tables in markdown of a `speed.json`."""
    return turns.table(turns.stored(report, SETTINGS), SETTINGS, POPULATIONS)


def main(arguments: list[str]) -> None:
    """`jaxrl benchmark speed`."""
    turns.run("speed", parse("benchmark speed", Options, arguments), SETTINGS, POPULATIONS)
