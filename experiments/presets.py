"""Hyperparameters tuned for an agent in an environment, in place of the agent's defaults.

`steps` is a budget of environment steps in which the preset is known to learn the task. Pairs that
are not listed run with the defaults of `agents/`.
"""

from typing import Any

DQN_CONTROL = {
    "learning_rate": 5e-4,
    "target_period": 1,
    "target_rate": 0.01,
    "n_step": 3,
    "buffer_size": 100_000,
}

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("ppo", "CartPole-v1"): {"steps": 5e5, "learning_rate": 2e-3, "decay": 1.0},
    ("ppo", "Acrobot-v1"): {"steps": 1e6, "learning_rate": 2.5e-3, "decay": 1.0},
    ("ppo", "Pendulum-v1"): {
        "steps": 2e6,
        "learning_rate": 1e-3,
        "decay": 1.0,
        "discount": 0.9,
        "entropy_coefficient": 0.0,
    },
    ("ppo", "Breakout-MinAtar"): {
        "steps": 1e7,
        "learning_rate": 5e-3,
        "decay": 1.0,
        "num_envs": 64,
        "minibatches": 8,
        "hidden": (64,),
        "activation": "relu",
    },
    ("ppo", "CartPole-masked"): {
        "steps": 5e5,
        "learning_rate": 2e-3,
        "decay": 1.0,
        "memory": "gru",
        "sequence_length": 32,
    },
    ("ppo", "MemoryChain-bsuite"): {
        "steps": 3e5,
        "decay": 1.0,
        "memory": "gru",
        "sequence_length": 16,
    },
    ("ppo", "brax/halfcheetah"): {
        "steps": 5e6,
        "learning_rate": 3e-4,
        "num_envs": 64,
        "rollout_length": 64,
        "minibatches": 16,
        "discount": 0.97,
        "normalise_observations": True,
        "entropy_coefficient": 0.0,
    },
    ("dqn", "CartPole-v1"): {"steps": 2e5, "decay": 1.0} | DQN_CONTROL,
    ("dqn", "Acrobot-v1"): {"steps": 2e5, "decay": 1.0} | DQN_CONTROL,
    ("sac", "Pendulum-v1"): {"steps": 4e4},
}


def preset(agent: str, env: str) -> dict[str, Any]:
    """The tuned values for `agent` in `env`, with their `steps`; empty if nothing was tuned.

    An environment of Gymnasium has those of the environment of the same name without its prefix.
    """
    return dict(PRESETS.get((agent, env.removeprefix("gymnasium/")), {}))
