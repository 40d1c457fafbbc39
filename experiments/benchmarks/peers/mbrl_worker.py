"""A worker that trains with mbrl-lib's MBPO, in a virtual environment that holds it."""

import tempfile
import time

import gymnasium
import omegaconf
import protocol
from mbrl.algorithms import mbpo
from mbrl.env.termination_fns import no_termination

s = protocol.setting()
began = time.perf_counter()
EVERY = 250  # steps between two times that it fits the model, as in its own examples
# The first fit of the model and the first dreams come before the announcement.
READY = 2 * EVERY


class TakesTurns(gymnasium.Wrapper):
    """An environment that pauses after each chunk of steps, which mbrl-lib's loop cannot do."""

    def __init__(self, env):
        super().__init__(env)
        self.taken = 0

    def step(self, action):
        """Take a step; before the first one of a chunk, answer and wait for a request."""
        global began
        done = self.taken - s["warmup"] - READY
        if done >= 0 and done % s["steps"] == 0:
            over = time.perf_counter() - began
            facts = {"run_s": over, "steps": s["steps"]} if done else {"compile_s": over}
            protocol.hand_over(**facts)
            began = time.perf_counter()
        self.taken += 1
        return self.env.step(action)


sac = {
    "_target_": "mbrl.third_party.pytorch_sac_pranz24.sac.SAC",
    "num_inputs": "???",
    "action_space": {"_target_": "gym.env.Box", "low": "???", "high": "???", "shape": "???"},
    "args": {
        "gamma": 0.99,
        "tau": s["target_rate"],
        "alpha": 0.2,
        "policy": "Gaussian",
        "target_update_interval": 1,
        "automatic_entropy_tuning": True,
        "target_entropy": -1,
        "hidden_size": s["hidden"][0],
        "device": "cpu",
        "lr": 3e-4,
    },
}
model = {
    "_target_": "mbrl.models.GaussianMLP",
    "device": "cpu",
    "num_layers": len(s["model_hidden"]),
    "in_size": "???",
    "out_size": "???",
    "ensemble_size": s["members"],
    "hid_size": s["model_hidden"][0],
    "deterministic": False,
    "propagation_method": "random_model",
    "learn_logvar_bounds": False,
    "activation_fn_cfg": {"_target_": "torch.nn.SiLU"},
}
algorithm = {
    "name": "mbpo",
    "normalize": True,
    "normalize_double_precision": False,
    "target_is_delta": True,
    "learned_rewards": True,
    "freq_train_model": EVERY,
    "real_data_ratio": s["real_share"],
    "sac_samples_action": True,
    "initial_exploration_steps": s["warmup"],
    "random_initial_explore": True,
    "num_eval_episodes": 1,
    "agent": sac,
}
overrides = {
    "num_steps": 10**9,  # more than will be asked for
    "epoch_length": 1000,  # between its evaluations, of one episode
    "num_elites": s["elites"],
    "patience": None,
    # Fewer batches of the model than steps, while fewer than 8,000 transitions are kept.
    "num_epochs_train_model": 8,
    "model_lr": 1e-3,
    "model_wd": 1e-5,
    "model_batch_size": s["batch_size"],
    "validation_ratio": 0.1,
    "freq_train_model": EVERY,
    "effective_model_rollouts_per_step": 400,
    "rollout_schedule": [1, 2, 1, 1],
    "num_sac_updates_per_step": s["dreams"],
    "sac_updates_every_steps": 1,
    "num_epochs_to_retain_sac_buffer": 1,
    "sac_batch_size": s["batch_size"],
}
config = {
    "seed": 0,
    "device": "cpu",
    "log_frequency_agent": 10**9,
    "dynamics_model": model,
    "algorithm": algorithm,
    "overrides": overrides,
}
with tempfile.TemporaryDirectory() as folder:
    make = lambda: gymnasium.make(s["env"], disable_env_checker=True)
    config = omegaconf.OmegaConf.create(config)
    mbpo.train(TakesTurns(make()), make(), no_termination, config, silent=True, work_dir=folder)
