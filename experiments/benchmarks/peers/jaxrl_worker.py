"""A worker that trains with this repository's agents."""

import jax
import protocol

import envs
from agents import AGENTS
from experiments.benchmarks.speed import hyperparameters
from experiments.population import hasty
from jaxrl.loop import advance, assemble
from jaxrl.population import populate
from jaxrl.types import population_axes

s = protocol.setting()
entry = AGENTS[s["agent"]]
hp = hyperparameters(s)
env = envs.make(s["env"], **s.get("env_params", {}))
iterations = s["steps"] // (hp.collection.num_envs * hp.collection.rollout_length)


def init(key):
    """A new run."""
    return assemble(entry.make, env, hp).experiment.init(key)


def chunk(run):
    """The run after one chunk of training."""
    return advance(assemble(entry.make, env, hp).experiment, run, iterations)[0]


keys = jax.random.split(jax.random.key(0), s["seeds"])
if s["seeds"] == 1:
    keys = keys[0]
else:
    axes = population_axes(jax.eval_shape(init, keys[0]))
    init, chunk = populate(init, (0,), axes), populate(chunk, (axes,), axes)
steps = iterations * hp.collection.num_envs * hp.collection.rollout_length * s["seeds"]
protocol.serve_compiled(
    jax.jit(init, compiler_options=hasty()), jax.jit(chunk, donate_argnums=0), keys, steps
)
