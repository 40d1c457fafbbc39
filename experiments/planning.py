"""How much memory training takes, by what it is for, before anything is compiled."""

from collections.abc import Mapping
from typing import Any

import jax

from experiments import liveness, memory
from jaxrl.buffers import Buffer
from jaxrl.errors import require
from jaxrl.prioritised import SumTree
from jaxrl.types import Run, Tree
from jaxrl.updates.gradient import Learner

Plan = Mapping[str, int]
"""Bytes by what they are for."""
RUN = ("parameters", "targets", "optimiser", "replay", "environments", "statistics")
"""What the arrays of a run are for."""


def plan_of(runs: Run, jaxpr: Any, data: Any, devices: int) -> Plan:
    """The plan of a traced program that takes runs as its first arguments, and gives them back.

    `temporaries` are rollouts, minibatches, activations and gradients: what lives beside the runs
    while they learn, at the moment when that is the most, which `experiments.liveness` finds in the
    program. They and `data`, a data set, are on each of the devices.

    Compilers order operations otherwise than they were traced. On a processor, the plans of PPO,
    PQN, DQN, SAC and Rainbow were within a tenth of what was compiled; in Dreamer, with layer
    normalisation or with batches of thousands, temporaries were up to 2.2 times as large.
    """
    owned = range(len(jax.tree.leaves(runs)))
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
    kinds = (Learner, Buffer, SumTree)
    found = dict.fromkeys(RUN, 0)

    def add(name: str, tree: Tree) -> None:
        found[name] += memory.bytes_of(tree)

    for node in jax.tree.leaves(runs.learner, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(node, Learner):
            add("parameters", node.params)
            add("targets", node.target)
            add("optimiser", (node.opt, node.taken))
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
    return f"about {memory.text(sum(plan.values()))} of {there}: {named}"


def require_fits(plan: Plan, members: int, config: Any) -> None:
    """Raise an InputError of one sentence if so many members need more memory than there is.

    It says how many would fit, if any do.
    """
    there, shared = memory.memory_bytes(), plan.get("data set", 0)
    each = max(1, sum(plan.values()) - shared) / members
    fit = int((there - shared) // each)
    smaller = " or ".join(f"--{name.replace('_', '-')}" for name in memory.sizes(config))
    remedy = f"{fit} of the {members} members fit" if fit > 0 else "not even one member fits"
    require(
        fit >= members,
        f"Training takes {sentence(plan)}; {remedy}: try "
        + ("fewer --seeds, --members-at-once, or " if fit > 0 else "")
        + f"a smaller {smaller}.",
    )
