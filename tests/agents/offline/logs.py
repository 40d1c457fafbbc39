"""Small logs whose best policies are known, and learners from them."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import AGENTS
from jaxrl import advance
from jaxrl.offline import from_arrays, offline
from jaxrl.types import Box, Discrete, Spec
from tests.compiling import OPTIMISED


def spec_of(states, actions):
    """One-hot observations, and a number of discrete actions or continuous ones of a size (-d)."""
    box = Box(-jnp.ones(-actions), jnp.ones(-actions)) if actions < 0 else Discrete(actions)
    return Spec(jax.ShapeDtypeStruct((states,), jnp.float32), box)


def one_step(state, action, reward, spec):
    """A data set of episodes of one step each, which end where they began."""
    obs = np.eye(spec.observation.shape[0], dtype=np.float32)[state]
    ends = np.ones(len(state), bool)
    return from_arrays(obs, action, reward, ends, ~ends, spec, next_observations=obs)


def learner(name, spec, data, **options):
    """An agent, and a function (key, steps, **swept) -> (view, metrics) of its learning."""
    entry = AGENTS[name]
    size = data.reward.size
    whole = dict(buffer_size=size, warmup=size, num_envs=data.reward.shape[1], hidden=())
    hp = entry.defaults.replace(**whole | options)

    def learn(key, steps, **swept):
        agent = entry.make(spec, hp.replace(**swept))
        exp = offline(agent, data)
        run, metrics = advance(exp, exp.init(key), steps)
        return agent.update.read(run.learner), metrics

    return entry.make(spec, hp), learn


def compiled(function):
    """The function of keys [N], and what else it takes, mapped over them and optimised."""
    return jax.jit(jax.vmap(function), compiler_options=OPTIMISED)
