"""Munchausen deep Q-learning (Vieillard et al. 2020), on any return representation."""

import optax

from agents import dqn
from jaxrl import values
from jaxrl.action_values import ActionValues
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_POSITIVE, POSITIVE, number, record, static
from jaxrl.networks import Own
from jaxrl.types import Agent, Key, Spec, Transition, Tree


@record
class Hyperparameters(dqn.Hyperparameters):
    """The hyperparameters of Munchausen-DQN, beyond those of DQN."""

    temperature: float = number(0.03, POSITIVE)
    """Temperature of the softmax policy, in units of return."""
    munchausen_scale: float = number(0.9, FRACTION)
    """Share of temperature times log-probability that is added to the reward; 0 is soft DQN."""
    munchausen_floor: float = number(-1.0, NOT_POSITIVE)
    """Lower bound of temperature times log-probability."""
    double: bool = static(False)
    """Take the policy in the target from the online network, as double Q-learning does."""


def bootstrap(
    q: ActionValues, params: Tree, target: Tree, batch: Transition, hp: Hyperparameters, key: Key
) -> values.ReturnDistribution:
    """The target: the soft return of the successor, and a reward raised by tau log pi(action)."""
    bonus = values.munchausen(
        q.scores(target, batch.obs), batch.action,
        hp.temperature, hp.munchausen_scale, hp.munchausen_floor,
    )  # fmt: skip
    judge = q.outputs(params, batch.final) if hp.double else None
    theta = q.outputs(target, batch.final, key)
    statistic = q.objective(batch.final)
    future = values.soft(q.representation, theta, hp.temperature, statistic, judge)
    return values.push(future, batch.reward + bonus, hp.discount * batch.discount)


def munchausen_dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """DQN whose reward is raised by the log-probability of its own softmax policy.

    It acts epsilon-greedily, as DQN does, and takes its arguments. Raises an InputError as `dqn`
    does, and for n-step returns, which would lack the bonus of the actions after the first.
    """
    require(hp.n_step == 1, f"n_step must be 1 in munchausen-dqn, but it is {hp.n_step}.")
    own = {"network": network, "optimiser": optimiser}
    return dqn.dqn(spec, hp, representation, statistic, bootstrap, **own)
