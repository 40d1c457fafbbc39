"""A worker that learns from a data set with CORL's files on torch, one of which is an algorithm."""

import time

import logged
import protocol
import torch

begin = time.perf_counter()
s = protocol.setting()
name = s["agent"].replace("-", "_")
it = logged.module(s["source"], f"algorithms.offline.{name}", ("d4rl", "gym", "wandb", "pyrallis"))
seen, acts, rate = s["observation"], s["action"], 3e-4
adam = lambda net: torch.optim.Adam(net.parameters(), lr=rate)

if name == "td3_bc":
    actor, one, two = it.Actor(seen, acts, 1.0), it.Critic(seen, acts), it.Critic(seen, acts)
    trainer = it.TD3_BC(1.0, actor, adam(actor), one, adam(one), two, adam(two))
elif name == "iql":
    actor, critic, value = (
        it.GaussianPolicy(seen, acts, 1.0), it.TwinQ(seen, acts), it.ValueFunction(seen)
    )  # fmt: skip
    trainer = it.ImplicitQLearning(
        1.0, actor, adam(actor), critic, adam(critic), value, adam(value)
    )
else:
    actor = it.TanhGaussianPolicy(seen, acts, 1.0)
    one, two = (it.FullyConnectedQFunction(seen, acts, True, 3) for _ in range(2))
    trainer = it.ContinuousCQL(
        one, adam(one), two, adam(two), actor, adam(actor), target_entropy=-float(acts)
    )
buffer = it.ReplayBuffer(seen, acts, s["transitions"])
buffer.load_d4rl_dataset(logged.arrays(s))


def chunk():
    """Some gradient steps, as their loop takes them."""
    for _ in range(s["steps"]):
        trainer.train(buffer.sample(s["batch_size"]))


trainer.train(buffer.sample(s["batch_size"]))
protocol.serve(chunk, s["steps"], compile_s=time.perf_counter() - begin)
