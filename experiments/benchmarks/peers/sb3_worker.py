"""A worker that trains with stable-baselines3, in a virtual environment that holds it."""

import time

import gymnasium
import protocol
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv


def make():
    """One environment."""
    if s["env"] == "Breakout-MinAtar":
        from minatar.gym import BaseEnv

        env = BaseEnv("breakout", use_minimal_action_set=True, sticky_action_prob=0.0)
        env = gymnasium.wrappers.TimeLimit(env, 1000)
        env = gymnasium.wrappers.FlattenObservation(env)
        return gymnasium.wrappers.DtypeObservation(env, "float32")
    return gymnasium.make(s["env"], disable_env_checker=True)


s = protocol.setting()
start = time.perf_counter()
lanes = DummyVecEnv([make] * s["num_envs"])
activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "swish": torch.nn.SiLU}
network = {"net_arch": list(s["hidden"]), "activation_fn": activation[s["activation"]]}
common = {"policy_kwargs": network, "device": "cpu", "seed": 0}
replay = {"train_freq": 1, "gradient_steps": 1, "learning_starts": s.get("warmup")}
replay |= {key: s[key] for key in ("buffer_size", "batch_size") if key in s}
replay["tau"] = s.get("target_rate")
if s["agent"] == "ppo":
    model = PPO(
        "MlpPolicy",
        lanes,
        n_steps=s["rollout_length"],
        batch_size=s["num_envs"] * s["rollout_length"] // s["minibatches"],
        n_epochs=s["epochs"],
        ent_coef=0.01,
        **common,
    )
elif s["agent"] == "dqn":
    model = DQN("MlpPolicy", lanes, target_update_interval=1, **replay, **common)
else:
    model = SAC("MlpPolicy", lanes, **replay, **common)


def learn(steps):
    """Go on training for `steps` environment steps."""
    model.learn(steps, log_interval=None, reset_num_timesteps=False)


learn(max(s["num_envs"] * s["rollout_length"], s.get("warmup", 0) + 64))
protocol.serve(lambda: learn(s["steps"]), s["steps"], compile_s=time.perf_counter() - start)
