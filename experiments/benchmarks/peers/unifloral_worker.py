"""A worker that learns from a data set with Unifloral's files, one of which is an algorithm."""

import dataclasses

import jax
import jax.numpy as jnp
import logged
import protocol

s = protocol.setting()
name = s["agent"].replace("-", "_")
it = logged.module(s["source"], f"algorithms.{name}", ("d4rl", "gym", "tyro", "wandb"))
told = {"batch_size": "batch_size", "num_updates": "updates", "gamma": "discount",
        "num_critics": "critics", "actor_lr": "actor_rate"}  # fmt: skip
known = {field.name for field in dataclasses.fields(it.Args)}
args = it.Args(**{k: s[v] for k, v in told.items() if k in known and v in s})
found = logged.arrays(s)
rename = {"obs": "observations", "action": "actions", "reward": "rewards",
          "next_obs": "next_observations", "done": "terminals"}  # fmt: skip
columns = {ours: jnp.asarray(found[theirs]) for ours, theirs in rename.items()}
SOFT = ("cql", "edac")
if name == "rebrac":
    columns["next_action"] = jnp.roll(columns["action"], -1, axis=-2)
dataset = it.Transition(**columns)
mean, std = dataset.obs.mean(0), dataset.obs.std(0)
if "file" in s:  # several data sets, whose observations are standardised
    mean, std = jnp.zeros(s["observation"]), jnp.ones(s["observation"])
obs, action = jnp.zeros(s["observation"]), jnp.zeros(s["action"])
critics_of_a_step = getattr(args, "num_critic_updates_per_step", 1)

if name == "rebrac":
    actor = it.DeterministicTanhActor(s["action"], mean, std, args.actor_ln, args.norm_obs)
    critic = it.DualQNetwork(mean, std, args.critic_ln, args.norm_obs)
elif name in SOFT:
    actor, critic = it.TanhGaussianActor(s["action"]), it.VectorQ(args.num_critics)
    temperature = it.EntropyCoef()
elif name == "iql":
    actor = it.TanhGaussianActor(s["action"], mean, std)
    critic, value = it.DualQNetwork(mean, std), it.StateValueFunction(mean, std)
else:
    actor = it.DeterministicTanhActor(s["action"], mean, std)
    critic = it.DualQNetwork(mean, std) if name == "td3_bc" else None


def init(key):
    """The state of a new run."""
    key, one, two, three = jax.random.split(key, 4)
    made = lambda key, net, *inputs: it.create_train_state(args, key, net, list(inputs))
    if name in SOFT:
        slower = (args.actor_lr,) if name == "cql" else ()
        states = {"actor": it.create_train_state(args, one, actor, [obs], *slower)}
        states |= {k: made(two, critic, obs, action) for k in ("vec_q", "vec_q_target")}
        return key, it.AgentTrainState(**states, alpha=made(three, temperature))
    states = {"actor": made(one, actor, obs)}
    if name in ("td3_bc", "rebrac"):
        states["actor_target"] = made(one, actor, obs)
    if name == "iql":
        states["value"] = made(three, value, obs)
    if critic is not None:
        states |= {k: made(two, critic, obs, action) for k in ("dual_q", "dual_q_target")}
    return key, it.AgentTrainState(**states)


def advance(run, dataset):
    """The run after one chunk."""
    applied = [net.apply for net in (actor, critic) if net is not None]
    applied += [value.apply] if name == "iql" else []
    applied += [temperature.apply] if name in SOFT else []
    step = it.make_train_step(args, *applied, dataset)
    return jax.lax.scan(step, run, None, s["steps"] // critics_of_a_step)[0]


def policy(run):
    """The parameters of the actor's mean, which EDAC and CQL compute after the deviation."""
    layers = dict(run[1].actor.params["params"])
    if name in SOFT:
        del layers["Dense_3"]
    return {"params": layers}


if "file" in s:
    logged.teach(jax.jit(init), jax.jit(advance), dataset, s, policy)
else:
    logged.serve(init, advance, dataset, s)
