"""A worker that trains with brax's own PPO, in a virtual environment that holds it."""

import functools
import time

import flax.linen as nn
import protocol
from brax import envs
from brax.training.agents.ppo import networks, train

s = protocol.setting()
began = time.perf_counter()
finished = []  # when each chunk ended; the first two come before the announcement


def take_turns(step, metrics):
    """Answer after each chunk of training, and wait until the next one is requested."""
    global began
    now = time.perf_counter()
    finished.append(now - began)
    if len(finished) == 1:
        began = time.perf_counter()
        return
    if len(finished) == 2:
        # The first chunk is a compilation and a chunk, the second a chunk.
        protocol.hand_over(compile_s=finished[0] - finished[1])
    else:
        protocol.hand_over(run_s=finished[-1], steps=s["steps"])
    began = time.perf_counter()


chunks = 10_000  # more than will be asked for
train.train(
    environment=envs.get_environment(s["env"].removeprefix("brax/"), **s["env_params"]),
    num_timesteps=s["steps"] * chunks,
    num_evals=chunks + 1,
    run_evals=False,
    progress_fn=take_turns,
    episode_length=1000,
    num_envs=s["num_envs"],
    unroll_length=s["rollout_length"],
    # In sequences: one rollout of all environments is cut into the minibatches.
    batch_size=s["num_envs"] // s["minibatches"],
    num_minibatches=s["minibatches"],
    num_updates_per_batch=s["epochs"],
    max_grad_norm=0.5,
    network_factory=functools.partial(
        networks.make_ppo_networks,
        policy_hidden_layer_sizes=tuple(s["hidden"]),
        value_hidden_layer_sizes=tuple(s["hidden"]),
        activation=getattr(nn, s["activation"]),
    ),
)
