"""OER: offline tasks one after another, with a policy that clones the new and the remembered.

One actor is optimised for the task at hand alone, so that what is remembered does not disturb its
values. A second one clones it on the data of the task, and the steps that were kept of earlier
tasks; only that one acts and is kept. Steps to keep are chosen by `jaxrl.data.nearest_steps`.
Source: Gai et al. (2023), "OER: offline experience replay for continual offline reinforcement
learning", https://arxiv.org/abs/2305.13804.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents import td3
from agents.offline import td3_bc
from jaxrl.cloning import cloned, policy_actors, policy_network
from jaxrl.errors import require
from jaxrl.fields import record, static
from jaxrl.types import Agent, Key, Spec, Transition
from jaxrl.updates import Learner, imagined, optimiser_for, replayed, without_context


@record
class Hyperparameters(td3_bc.Hyperparameters):
    """The hyperparameters of OER: those of TD3+BC, which learns the task at hand."""

    normalise_observations: bool = static(False)
    """Must be off: what is kept of earlier tasks would be standardised by the data of this one."""


def oer(
    spec: Spec,
    hp: Hyperparameters,
    kept: Transition | None = None,
    *,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3+BC on the data of a task, and a second policy that acts, for continuous actions.

    The loss of the second policy pi is, over the data of the task and, where some are `kept`
    [M, ...], as many of these steps,

        |mode pi(s) - mu(s)|^2 / d,    |mode pi(s) - a|^2 / d,

    for the actor mu of TD3+BC. `optimiser` takes the place of what `hp` describes for both. The
    learner's state begins anew; to go on from an earlier task, put its `params` of the view in.
    Raises an InputError as `td3.td3` does, or if observations are standardised.
    """
    require(hp.n_step == 1, f"oer learns from one-step returns: leave n_step {hp.n_step} at 1.")
    require(
        not hp.normalise_observations,
        "oer keeps steps of several tasks, which need one scale: leave normalise_observations off.",
    )
    td3.check(spec, hp)
    teacher = td3.learner(spec, hp, actor_loss=partial(td3_bc.imitating, hp), optimiser=optimiser)
    policy = policy_network(spec, "gaussian", hp.network)

    def shown(view: Learner, own: Learner, batch: Transition, key: Key) -> Transition:
        """The steps of the task with the teacher's actions, and as many that were kept."""
        k_act, k_kept = jax.random.split(key)
        new = batch._replace(action=teacher.exploit.step(view, (), batch.obs, k_act)[0])
        if kept is None:
            return new
        index = jax.random.randint(k_kept, batch.reward.shape, 0, len(kept.reward))
        new, rest = new._replace(extras=()), kept._replace(extras=())
        old = jax.tree.map(lambda x: x[index], rest)
        return jax.tree.map(lambda *x: jnp.concatenate(x), new, old)

    clone = cloned(policy, optimiser_for(hp, optimiser), "squared-error")
    task = without_context(teacher.update)
    return Agent(*policy_actors(policy), replayed(imagined(clone, task, shown), hp))
