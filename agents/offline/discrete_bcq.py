"""Discrete batch-constrained Q-learning: greedy among the actions that the data would take.

Source: Fujimoto et al. (2019), "Benchmarking batch deep reinforcement learning algorithms",
https://arxiv.org/abs/1910.01708.
"""

from typing import cast

import jax
import jax.numpy as jnp
import optax

from agents import dqn
from jaxrl import networks, values
from jaxrl.action_values import ActionValues, action_values, annealed
from jaxrl.cloning import cloning_loss
from jaxrl.errors import require_discrete
from jaxrl.fields import BELOW_ONE, FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.networks import Own
from jaxrl.normalise import replaying, shown
from jaxrl.policies import categorical, epsilon_greedy, only_allowed
from jaxrl.settings import Optimisation
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import Learner, descend, every, optimiser_for, polyak


@record
class Hyperparameters(dqn.Hyperparameters):
    """The hyperparameters of discrete BCQ: those of DQN, and of the model of the behaviour."""

    threshold: float = number(0.3, BELOW_ONE)
    """Smallest probability of an allowed action under the model of the behaviour, as a share of
    that of its most probable action; 0 allows all."""
    logit_penalty: float = number(0.01, NOT_NEGATIVE)
    """Weight of the mean square of the behaviour's logits in the loss."""
    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    target_period: int = static(1, POSITIVE)
    """Gradient steps between two updates of the target network."""


def discrete_bcq(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """Double DQN whose actions are among those with G(a | s) > threshold max G(. | s).

    G is a model of the behaviour with parameters of its own, by maximum likelihood. Actions and
    targets are greedy among what it allows: the target is r + discount Q'(s', a*), where a* has
    the largest Q of the allowed actions at s', and Q' is the target network. `representation`,
    `network`, which is that of Q, and `optimiser` take the place of what `hp` describes. Raises an
    InputError as `dqn.dqn` does.
    """
    dqn.check(spec, hp)
    representation = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective)
    seen, layers = shown(spec, hp.normalise_observations), vars(hp.network)
    q = action_values(seen, representation, statistic, **layers, dueling=hp.dueling, own=network)
    behaviour = networks.network(
        seen, (require_discrete(spec, "discrete-bcq").num,), (0.01,), **layers
    )

    def logits_of(params: Tree, obs: Tree) -> Array:
        return behaviour.step(params["behaviour"], (), obs)[0][0]

    def constrained(params: Tree) -> ActionValues:
        """The action values, with what the behaviour of the parameters would not do forbidden."""

        def plausible(obs: Tree) -> Array:
            mask = q.allowed(obs)
            logits = only_allowed(logits_of(params, obs), mask)
            top = logits.max(-1, keepdims=True)
            near = (logits - top > jnp.log(hp.threshold)) | (logits == top)
            return near if mask is None else near & mask

        outputs = lambda params, obs, key=None: q.outputs(params["values"], obs, key)
        return q._replace(outputs=outputs, allowed=plausible)

    def init(key: Key) -> Tree:
        k_values, k_behaviour = jax.random.split(key)
        return {"values": q.init(k_values), "behaviour": behaviour.init(k_behaviour)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_target, k_now = jax.random.split(key)
        aim = dqn.bootstrap(constrained(params), params, target, batch, hp, k_target)
        aim = jax.lax.stop_gradient(aim)
        theta = values.take(q.outputs(params["values"], batch.obs, k_now), batch.action)
        error = representation.loss(theta, aim)
        logits = logits_of(params, batch.obs)
        cloned = cloning_loss(categorical(logits, q.allowed(batch.obs)), batch)
        cloned = cloned + hp.logit_penalty * jnp.square(logits).mean(-1)
        value, target_value = values.mean(representation.decode(theta)), values.mean(aim)
        metrics = {"loss": error.mean(), "value": value.mean(), "target_value": target_value.mean()}
        metrics |= {"cloning_loss": cloned.mean(), "priority": jnp.abs(target_value - value)}
        return (batch.weight * (error + cloned)).mean(), metrics

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        own, now = constrained(view.params), annealed(hp.exploration, view.step)
        policy = epsilon_greedy(own.scores(view.params, obs), now, q.allowed(obs))
        return cast(Array, policy.sample(seed=key)), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return constrained(view.params).scores(view.params, obs).argmax(-1), ()

    update = descend(
        init, loss, optimiser_for(hp, optimiser), every(hp.target_period, polyak(hp.target_rate))
    )
    agent = Agent(memoryless(explore), memoryless(exploit), update)
    remember = lambda inner: dqn.remember(inner, hp)
    return replaying(agent, spec, remember, hp.normalise_observations)
