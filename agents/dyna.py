"""Q-learning that also learns from what it remembers of the process (Sutton 1991)."""

from functools import partial

from flax import struct

from agents import tabular
from jaxrl.models.tabular import Counts, counted, recalled
from jaxrl.types import Agent, Key, Spec, Transition, Tree
from jaxrl.updates import dreaming, fitting, in_turn, repeated, waking

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(tabular.Hyperparameters):
    """What Dyna-Q can be told, beyond an agent with a table."""

    decay_power: float = 0.0
    """The step size falls with this power of a pair's number of updates; 0 keeps it constant."""
    trace_decay: float = 0.0
    """The lambda of the returns."""
    num_envs: int = static(default=1)
    """Environments that run side by side."""
    rollout_length: int = static(default=1)
    """Steps in each environment between two updates; traces are no longer."""
    warmup: int = static(default=1)
    """Environment steps of random acting before learning: the model needs one."""
    target: str = static(default="peng-q")
    """expected-sarsa, peng-q, sarsa or watkins-q."""
    planning_updates: int = static(default=10)
    """Updates from remembered transitions after each one from experience; epsilon counts all."""
    recalled: int = static(default=1)
    """Transitions that an update from memory learns from."""


def dyna_q(spec: Spec, hp: Hyperparameters) -> Agent:
    """Dyna-Q: act, learn from it, count it, then learn from transitions drawn from the counts.

    Raises an InputError as `tabular` does.
    """
    agent = tabular.tabular(spec, hp)

    def dream(counts: Counts, view: Tree, batch: Transition, key: Key) -> Transition:
        return recalled(counts, key, hp.recalled)

    planning = repeated(dreaming(agent.update, dream), hp.planning_updates)
    update = in_turn(waking(agent.update), planning)
    return agent._replace(update=fitting(update, counted(spec)))
