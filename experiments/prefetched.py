"""Runs whose replay buffer is in host memory: `jaxrl train AGENT --buffer-memory host`.

Each update is one call of a compiled program, which takes samples that the host has gathered
meanwhile: see `jaxrl.prefetch`. A run resumes exactly, as one with a buffer on the device does.
"""

from typing import Any

import jax

from experiments.population import Population, Program, Sums, placed, start
from jaxrl import prefetch
from jaxrl.evaluation import Evaluation
from jaxrl.offline import without_data
from jaxrl.remote import Remote
from jaxrl.types import Key, Run


def programmed(p: Population, inner: Program) -> Program:
    """The program `inner` of one update as one of any number of them."""
    places = placed(jax.eval_shape(lambda hp: hp, p.hp), p.hp_axes, p.mesh)

    def advance(runs: Run, sums: Sums, hp: Any, data: list, updates: Any) -> tuple[Run, Sums]:
        # Each call would put each of these numbers on the device again.
        hp = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), hp, places)
        step = lambda run, inboxes, sums: inner.advance(run, sums, hp, inboxes)
        return prefetch.driven(step, runs, sums, int(updates))

    def evaluate(runs: Run, hp: Any, keys: Key) -> Evaluation:
        return inner.evaluate(without_data(runs, Remote), hp, keys)

    begin = lambda population, data: prefetch.begun(start(population, data))
    return inner._replace(advance=advance, evaluate=evaluate, start=begin)
