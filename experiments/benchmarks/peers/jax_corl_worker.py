"""A worker that learns from a data set with JAX-CORL's files, one of which is an algorithm."""

import jax
import jax.numpy as jnp
import logged
import protocol

s = protocol.setting()
name = s["agent"].replace("-", "")
it = logged.module(s["source"], f"algos.{name}", ("d4rl", "gym", "wandb", "tqdm"))
config, algorithm = {
    "td3bc": ("TD3BCConfig", "TD3BC"), "iql": ("IQLConfig", "IQL"), "cql": ("CQLConfig", "CQL")
}[name]  # fmt: skip
# CQL's file declares a tuple of one layer, and has a default of two: what is given is not checked.
config = getattr(it, config)(batch_size=s["batch_size"])
config = config.model_copy(update={"hidden_dims": tuple(s["hidden"])})
if name == "cql":
    config = config.model_copy(update={"action_dim": s["action"]})
    it.config = config  # its networks look there
algorithm = getattr(it, algorithm)
found = {name: jnp.asarray(array) for name, array in logged.arrays(s).items()}
found["dones"] = found["dones_float"] = found.pop("terminals")
dataset = it.Transition(**{name: found[name] for name in it.Transition._fields})
few = jax.tree.map(lambda x: x[:1], dataset)


def init(key):
    """The state of a new run."""
    create = getattr(it, f"create_{name}_train_state")
    return key, create(key, few.observations, few.actions, config)


def advance(run, dataset):
    """The run after one chunk, of their several unrolled steps at a time."""

    def several(run, _):
        key, now = jax.random.split(run[0])
        return (key, algorithm.update_n_times(run[1], dataset, now, config)[0]), None

    return jax.lax.scan(several, run, None, s["steps"] // config.n_jitted_updates)[0]


logged.serve(init, advance, dataset, s)
