"""A worker that learns to reach goals with OGBench's agents, on the sampler that they come with."""

import importlib
import time

import jax
import logged
import numpy as np
import protocol

begin = time.perf_counter()
s = protocol.setting()
name = {"bc": "gcbc", "iql": "gciql"}.get(s["agent"], s["agent"])
it = logged.module(f"{s['source']}/impls", f"agents.{name}", ())
agents, sampler = (importlib.import_module(x) for x in ("agents", "utils.datasets"))
config = it.get_config()
own = {"batch_size": s["batch_size"], "layer_norm": s["layer_norm"],
       "latent_dim": s.get("latent_size"), "value_hidden_dims": tuple(s["hidden"]),
       "actor_hidden_dims": tuple(s["hidden"]),
       # The policy's loss is ours: cloning by advantages, but for contrastive RL.
       "actor_loss": "ddpgbc" if name == "crl" else "awr"}  # fmt: skip
config.update({key: value for key, value in own.items() if key in config and value is not None})
data = sampler.Dataset.create(**logged.arrays(s))
data = getattr(sampler, config["dataset_class"])(data, config)
np.random.seed(0)
few = data.sample(1)
create = agents.agents[config["agent_name"]].create
states = [create(seed, few["observations"], few["actions"], config) for seed in range(s["seeds"])]


def chunk(steps=s["steps"]):
    """Some gradient steps, as their loop takes them, of one seed after another."""
    for _ in range(steps):
        for i, agent in enumerate(states):
            states[i], _ = agent.update(data.sample(s["batch_size"]))
    jax.block_until_ready(states)


chunk(1)
compile_s = time.perf_counter() - begin
chunk(8)
protocol.serve(chunk, s["steps"] * s["seeds"], compile_s=compile_s)
