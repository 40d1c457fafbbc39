"""A worker that learns from a data set with this repository's agents."""

import jax
import logged
import numpy as np
import protocol

from agents import AGENTS
from experiments import records
from experiments.population import hasty
from jaxrl.conditioned import Conditioned
from jaxrl.goals import Hindsight, hindsighted
from jaxrl.loop import advance
from jaxrl.offline import from_arrays, offline, shared, stored_data
from jaxrl.spaces import Box
from jaxrl.types import Goals, Spec, population_axes

TOLD = ("agent", "seeds", "steps", "observation", "action", "transitions", "goals", "hindsight")

s = protocol.setting()
entry, found = AGENTS[s["agent"]], logged.arrays(s)
own = {name: tuple(x) if isinstance(x, list) else x for name, x in s.items() if name not in TOLD}
own |= dict.fromkeys(("buffer_size", "warmup"), s["transitions"])
hp = records.replaced(entry.defaults, own)
ones = np.ones(s["action"], np.float32)
seen, make = jax.ShapeDtypeStruct((s["observation"],), np.float32), entry.make
spec = Spec(seen, Box(-ones, ones))
if s.get("goals"):  # other observations of the same kind
    goals = Goals(seen, lambda obs: obs, lambda achieved, goal: (achieved == goal).all(-1))
    spec = spec._replace(observation=Conditioned(seen, seen), goals=goals)
if "hindsight" in s:
    make = hindsighted(make, Hindsight(**({"future": 0.0} | s["hindsight"])), data=True)
ends = found["terminals"] > 0
dead, cut = (ends & False, ends) if s.get("goals") else (ends, ends & False)
data = from_arrays(
    found["observations"], found["actions"], found["rewards"], dead, cut, spec,
    next_observations=found["next_observations"],
)  # fmt: skip
experiment = offline(make(spec, hp), data)
buffers = jax.jit(lambda: stored_data(experiment.init(jax.random.key(0))))()


def init(key):
    """A new run, without the data, which the runs of all seeds share."""
    return shared(experiment, buffers).init(key)


def chunk(run, buffers):
    """The run after one chunk of gradient steps."""
    return advance(shared(experiment, buffers), run, s["steps"])[0]


keys = jax.random.split(jax.random.key(0), s["seeds"])
if s["seeds"] == 1:
    keys, many = keys[0], chunk
else:
    axes = population_axes(jax.eval_shape(init, keys[0]))
    init, many = jax.vmap(init, 0, axes), jax.vmap(chunk, (axes, None), axes)
protocol.serve_compiled(
    jax.jit(lambda keys: (init(keys), buffers), compiler_options=hasty()),
    jax.jit(lambda state: (many(*state), state[1]), donate_argnums=0),
    keys,
    s["steps"] * s["seeds"],
)
