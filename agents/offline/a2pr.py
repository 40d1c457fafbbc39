"""A2PR, TD3 whose actor imitates generated actions that are better than the data's.

A variational autoencoder models only those actions of the data that are better than the value of
their state. What it makes of the actor's own action is imitated where that is worth more than the
data's action, and the data's otherwise. Source: Liu et al. (2024), "Adaptive advantage-guided
policy regularization for offline reinforcement learning", https://arxiv.org/abs/2405.19909.
"""

import jax
import jax.numpy as jnp
import optax

from agents import td3
from agents.offline import td3_bc
from agents.offline.td3_bc import distance, normalised
from jaxrl import values
from jaxrl.action_vae import action_vae
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, number, record
from jaxrl.networks import Own, critic_ensemble
from jaxrl.normalise import remembering, shown
from jaxrl.state_values import state_values
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import Learner, descend, imagined, optimiser_for

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(td3_bc.Hyperparameters):
    """The hyperparameters of A2PR: those of TD3+BC, and of the generator."""

    divergence: float = number(0.5, NOT_NEGATIVE)
    """Weight of the divergence of the generator's latents in its loss."""


def a2pr(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3 with the actor's loss -weight Q(s, pi(s)) / mean |Q| + m |pi(s) - a*|^2 / d.

    With the advantage A(s, a) = min Q(s, a) - V(s), the generator's loss is

        1{A(s, a) > 0} |decode(z) - a|^2 / d + divergence KL,

    V regresses on the targets of the critics, a* is what the generator remakes of pi(s) where that
    is worth at least as much as the data's a, and a elsewhere, and m is 1 where A of the remade
    action is not negative or that of a is positive, and 0 elsewhere. A remade action is a constant
    for the actor; in the authors' code the gradient passes through it. The other arguments are
    those of `td3.td3`. Raises an InputError as it does, or for n-step returns.
    """
    require(hp.n_step == 1, f"a2pr learns from one-step returns: leave n_step {hp.n_step} at 1.")
    td3.check(spec, hp)
    seen, layers = shown(spec, hp.normalise_observations), hp.network
    family = values.critic(hp.critic) if representation is None else representation
    critics = critic_ensemble(seen, family.size, hp.ensemble.members, layers)
    ensemble = values.ensemble_critic(family, hp.ensemble)
    v = state_values(seen, values.scalar(), **vars(layers))
    generator = action_vae(seen, layers, 0, hp.divergence)

    def loss(value: Array, action: Array, batch: Transition) -> Array:
        aim, share = batch.extras
        return share * distance(action, aim) / action[0].size - hp.value_weight * normalised(
            value, batch
        )

    agent = td3.learner(
        seen, hp, representation, actor_loss=loss, network=network, optimiser=optimiser
    )

    def worth(params: Tree, obs: Tree, action: Array) -> Array:
        """The values [B] of actions under the critics of some parameters."""
        return values.mean(ensemble.decode(critics.apply(params["critics"], obs, action)))

    def chosen(view: Learner, params: Tree, obs: Tree, key: Key) -> Array:
        """The action of the actor of some parameters."""
        return agent.exploit.step(view._replace(params=params), (), obs, key)[0]

    def judged(
        params: Tree, target: Tree, told: tuple[Transition, Learner], key: Key
    ) -> tuple[Array, dict]:
        """The loss of the value and of the generator."""
        batch, view = told
        k_act, k_latent = jax.random.split(key)
        action = chosen(view, view.target, batch.final, k_act)
        future = worth(view.target, batch.final, action)
        aim = batch.reward + hp.discount * batch.discount * future
        value = v.value(params["value"], batch.obs)
        better = worth(view.params, batch.obs, batch.action) > value
        made = generator.loss(
            params["generator"], batch.obs, batch.action, k_latent, fixed(better.astype(float))
        )
        error = optax.l2_loss(value, aim)
        total = (batch.weight * (error + made)).mean()
        metrics = {"value_loss": error.mean(), "generator_loss": made.mean()}
        return total, metrics | {"better": better.mean()}

    def begin(key: Key) -> Tree:
        k_value, k_generator = jax.random.split(key)
        return {"value": v.init(k_value), "generator": generator.init(k_generator)}

    def aimed(model: Learner, view: Learner, batch: Transition, key: Key) -> Transition:
        """The batch with the actions to imitate, and whether to, as extras."""
        k_act, k_latent = jax.random.split(key)
        own = chosen(view, view.params, batch.obs, k_act)
        made = generator.remake(model.params["generator"], batch.obs, own, k_latent)
        value = v.value(model.params["value"], batch.obs)
        new, old = (worth(view.params, batch.obs, x) - value for x in (made, batch.action))
        wide = (new >= old).reshape(-1, *(1,) * (made.ndim - 1))
        share = ((new >= 0) | (old > 0)).astype(float)
        return batch._replace(extras=(jnp.where(wide, made, batch.action), share))

    judge = descend(begin, judged, optimiser_for(hp))
    agent = agent._replace(update=imagined(agent.update, judge, aimed))
    return remembering(agent, spec, hp)
