"""Q-learning that also learns from transitions of a learnt table of the process (Sutton 1991)."""

from agents import tabular
from jaxrl.errors import require_one_player
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.models.tabular import Counts, counted, recalled
from jaxrl.settings import Collection
from jaxrl.types import Agent, Key, Spec, Transition, Tree
from jaxrl.updates import dreaming, fitting, in_turn, repeated, waking


@record
class Hyperparameters(tabular.Hyperparameters):
    """The hyperparameters of Dyna-Q: those of a tabular agent, and of planning."""

    decay_power: float = number(0.0, NOT_NEGATIVE)
    """Power of the number of updates of a pair by which its step size is divided."""
    trace_decay: float = number(0.0, FRACTION)
    """Trace decay (lambda) of the returns."""
    target: str = static("peng-q")
    """Target of the update: expected-sarsa, peng-q, sarsa or watkins-q."""
    planning_updates: int = static(10, POSITIVE)
    """Updates from the model after each update from experience; epsilon counts all of them."""
    recalled: int = static(1, POSITIVE)
    """Transitions of the model in each of its updates."""
    collection: Collection = Collection(num_envs=1, rollout_length=1, warmup=1)
    """How experience is collected."""


def dyna_q(spec: Spec, hp: Hyperparameters) -> Agent:
    """Dyna-Q: act, count transitions, learn from them, then from samples of the counts.

    Raises an InputError as `tabular` does.
    """
    require_one_player(spec, "dyna-q")
    agent = tabular.tabular(spec, hp)

    def dream(counts: Counts, view: Tree, batch: Transition, key: Key) -> Transition:
        return recalled(counts, key, hp.recalled)

    planning = repeated(dreaming(agent.update, dream), hp.planning_updates)
    update = in_turn(waking(agent.update), planning)
    return agent._replace(update=fitting(update, counted(spec)))
