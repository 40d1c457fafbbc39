"""The data set of `jaxrl benchmark offline`, and what workers of several libraries share."""

import importlib
import sys
from types import ModuleType

import numpy as np

EPISODE = 1000  # steps


def arrays(task):
    """Transitions by the names that D4RL gives them: random ones of the sizes in `task`, or those
    of its `file`, [D, N, ...] of D data sets."""
    if "file" in task:
        return dict(np.load(task["file"]))
    random = np.random.default_rng(0)
    number = task["transitions"]
    normal = lambda size: random.standard_normal((number, size), np.float32)
    observations, actions = normal(task["observation"]), np.tanh(normal(task["action"]))
    return {
        "observations": observations,
        "actions": actions,
        "rewards": normal(1)[:, 0],
        "next_observations": np.roll(observations, -1, 0),
        "terminals": (np.arange(number) % EPISODE == EPISODE - 1).astype(np.float32),
    }


def module(folder, name, absent):
    """A peer's file, imported without the modules `absent`, which only its evaluation needs."""
    for other in absent:
        sys.modules[other] = Absent(other)
    sys.path.insert(0, folder)
    sys.argv[1:] = []  # some read their settings from the command line when they are imported
    return importlib.import_module(name)


class Absent(ModuleType):
    """A module of which anything may be asked while another is imported."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            return type(name, (), {})
        return lambda *args, **kwargs: args[0] if args else lambda function: function


def serve(init, advance, dataset, s):
    """Serve JAX functions `init(key) -> run` and `advance(run, dataset) -> run` of a setting."""
    import jax
    import protocol

    keys = jax.random.split(jax.random.PRNGKey(0), s["seeds"])
    if s["seeds"] == 1:
        keys, many = keys[0], advance
    else:
        init, many = jax.vmap(init), jax.vmap(advance, (0, None))
    protocol.serve_compiled(
        jax.jit(lambda keys: (init(keys), dataset)),
        jax.jit(lambda state: (many(*state), state[1]), donate_argnums=0),
        keys,
        s["steps"] * s["seeds"],
    )


def teach(init, advance, dataset, s, policy):
    """Learn from D data sets at once, and write the layers of `policy(run)` to `s["to"]`."""
    import jax
    import protocol

    keys = jax.random.split(jax.random.PRNGKey(0), len(dataset.obs))
    run = jax.vmap(advance)(jax.vmap(init)(keys), dataset)
    layers = policy(run)["params"]
    names = sorted(name for name in layers if name.startswith("Dense"))
    found = {f"{kind}{i}": layers[name][kind]
             for i, name in enumerate(names) for kind in ("kernel", "bias")}  # fmt: skip
    np.savez(s["to"], **found)
    protocol.answer(learnt=len(keys))
    protocol.farewell()
