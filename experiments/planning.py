"""How much memory training takes, by what it is for, before anything is compiled."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from experiments import liveness, memory
from jaxrl.buffers import Buffer
from jaxrl.errors import require
from jaxrl.prioritised import SumTree
from jaxrl.remote import Remote, stripped
from jaxrl.types import Run, Tree
from jaxrl.updates.gradient import Learner

Plan = Mapping[str, int]
"""Bytes by what they are for."""
RUN = ("parameters", "targets", "optimiser", "replay", "environments", "statistics")
"""What the arrays of a run are for."""
HOST = "replay in host memory"
"""What is not on the devices, unless these are processors: see `jaxrl.remote`."""


def plan_of(runs: Run, jaxpr: Any, data: Any, devices: int) -> Plan:
    """The plan of a traced program that takes runs as its first arguments, and gives them back.

    `temporaries` are rollouts, minibatches, activations and gradients: what lives beside the runs
    while they learn, at the moment when that is the most, which `experiments.liveness` finds in the
    program. They and `data`, a data set, are on each of the devices.

    Compilers order operations otherwise than they were traced. On a processor, the plans of PPO,
    PQN, DQN, SAC and Rainbow were within a tenth of what was compiled; in Dreamer, with layer
    normalisation or with batches of thousands, temporaries were up to 2.2 times as large.
    """
    owned = range(len(jax.tree.leaves(stripped(runs))))
    found = {**parts_of(runs), "temporaries": devices * liveness.peak_bytes(jaxpr, owned)}
    return found | ({"data set": devices * memory.bytes_of(data)} if data else {})


def confirmed(plan: Plan, compiled: Any, devices: int) -> Plan:
    """A plan whose temporaries are those that the compiler says it needs, where it says so."""
    told = compiled.memory_analysis()
    if told is None:
        return plan
    return {**plan, "temporaries": devices * told.temp_size_in_bytes}


def parts_of(runs: Run) -> Plan:
    """The bytes of runs, by what their arrays are for."""
    kinds = (Learner, Buffer, SumTree, Remote)
    found = dict.fromkeys(RUN, 0)

    def add(name: str, tree: Tree) -> None:
        found[name] += memory.bytes_of(tree)

    for node in jax.tree.leaves(runs.learner, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(node, Learner):
            add("parameters", node.params)
            add("targets", node.target)
            add("optimiser", (node.opt, node.taken))
        elif isinstance(node, Remote):
            found[HOST] = found.get(HOST, 0) + memory.bytes_of(node.ring)
            add("replay", replace(node, ring=()))
        else:
            add("replay" if isinstance(node, Buffer | SumTree) else "statistics", node)
    add("environments", runs.world)
    add("statistics", (runs.key, runs.step))
    return found


def sentence(plan: Plan) -> str:
    """A plan as a person reads it, its largest parts first."""
    largest = sorted(((size, name) for name, size in plan.items() if size), reverse=True)
    named = ", ".join(f"{name} {memory.text(size)}" for size, name in largest[:4])
    there = memory.text(memory.memory_bytes())
    host = plan.get(HOST, 0) if apart() else 0
    beside = f" and {memory.text(host)} of the host's {memory.text(memory.host_bytes())}"
    whole = memory.text(sum(plan.values()) - host)
    return f"about {whole} of {there}{beside if host else ''}: {named}"


def apart() -> bool:
    """Whether the devices have memory of their own."""
    return jax.default_backend() != "cpu"


def fitting(plan: Plan, members: int, share: float = 1.0) -> int:
    """How many members fit into a share of the memory, if so many have a plan."""
    shared = plan.get("data set", 0)
    host = plan.get(HOST, 0) if apart() else 0
    each = max(1, sum(plan.values()) - shared - host) / members
    fit = int((share * memory.memory_bytes() - shared) // each)
    return min(fit, int(share * memory.host_bytes() // (host / members))) if host else fit


def require_fits(plan: Plan, members: int, config: Any) -> None:
    """Raise an InputError of one sentence if so many members need more memory than there is.

    It says how many would fit, if any do.
    """
    fit = fitting(plan, members)
    smaller = " or ".join(f"--{name.replace('_', '-')}" for name in memory.sizes(config))
    near = config.hyperparameters.get("buffer_memory") == "device" and plan.get("replay", 0)
    elsewhere = ", or --buffer-memory host" if near and apart() else ""
    remedy = f"{fit} of the {members} members fit" if fit > 0 else "not even one member fits"
    require(
        fit >= members,
        f"Training takes {sentence(plan)}; {remedy}: try "
        + ("fewer --seeds, --members-at-once, or " if fit > 0 else "")
        + f"a smaller {smaller}{elsewhere}.",
    )
