"""Munchausen deep Q-learning (Vieillard et al. 2020), on any return representation."""

from functools import partial

from flax import struct

from agents import dqn
from jaxrl import values
from jaxrl.action_values import ActionValues
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.types import Agent, Key, Spec, Transition, Tree

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(dqn.Hyperparameters):
    """What Munchausen-DQN can be told, beyond DQN."""

    temperature: float = 0.03
    """Of the softmax policy; in units of return."""
    munchausen_scale: float = 0.9
    """How much of the policy's log-probability is added to the reward, 0 for soft DQN."""
    munchausen_floor: float = -1.0
    """The least of temperature times log-probability that counts."""
    double: bool = static(default=False)
    """Take the softmax of the online network, of which the target network gives the values."""


def bootstrap(
    q: ActionValues, params: Tree, target: Tree, batch: Transition, hp: Hyperparameters, key: Key
) -> values.ReturnDistribution:
    """The soft return of the successor, after the reward and the policy's opinion of the action."""
    opinion = values.munchausen(
        q.scores(target, batch.obs), batch.action,
        hp.temperature, hp.munchausen_scale, hp.munchausen_floor,
    )  # fmt: skip
    judge = q.outputs(params, batch.final) if hp.double else None
    theta = q.outputs(target, batch.final, key)
    statistic = q.objective(batch.final)
    future = values.soft(q.representation, theta, hp.temperature, statistic, judge)
    return values.push(future, batch.reward + opinion, hp.discount * batch.discount)


def munchausen_dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
) -> Agent:
    """DQN whose reward is raised by the log-probability of its own softmax policy.

    It acts epsilon-greedily, as DQN. Raises an InputError as `dqn` does, and if returns are of
    several steps: the opinion of the actions after the first is not in them.
    """
    require_positive(temperature=hp.temperature)
    require_fraction(munchausen_scale=hp.munchausen_scale)
    require(hp.n_step == 1, f"n_step must be 1 in munchausen-dqn, but it is {hp.n_step}.")
    return dqn.dqn(spec, hp, representation, statistic, bootstrap)
