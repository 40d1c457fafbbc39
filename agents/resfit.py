"""ResFiT: TD3 that edits the actions of a trained policy, with critics of the whole action.

Source: Ankile et al. (2025), "Residual off-policy RL for finetuning behavior cloning policies",
https://arxiv.org/abs/2509.19301.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import td3
from jaxrl import networks
from jaxrl.conditioned import Conditioned
from jaxrl.environments import require_box, scale_actions
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.normalise import remembering
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.steering import Frozen, edits, residual
from jaxrl.types import Actor, Agent, Array, Env, Key, Spec, Transition, Tree
from jaxrl.updates import n_step
from jaxrl.values import Ensemble


@record
class Hyperparameters(td3.Hyperparameters):
    """The hyperparameters of TD3, and the size of edits; noise is that of edits in [-1, 1]."""

    edit_size: float = number(0.1, POSITIVE)
    """Largest edit of an action in [-1, 1]."""
    optimisation: Optimisation = Optimisation(learning_rate=1e-4, schedule="constant")
    """How parameters descend the gradient."""
    target_rate: float = number(0.02, FRACTION)
    """Step size with which the target networks move towards the parameters with each update of the
    actor; 1 copies them."""
    exploration_noise: float = number(0.5, NOT_NEGATIVE)
    """Standard deviation of exploration noise on edits in [-1, 1]."""
    ensemble: Ensemble = Ensemble(10, subset=2)
    """Number of critics, and the reduction of their predictions to a target."""
    actor_reduction: str = static("average")
    """Critics that the actor climbs: the first, or a reduction of all, a name of
    ensemble.reduction."""
    actor_period: int = static(4, POSITIVE)
    """Gradient steps of the critics for each update of the actor and the target networks."""
    n_step: int = static(3, POSITIVE)
    """Number of rewards in an n-step return before it bootstraps."""
    collection: Collection = Collection(warmup=5_000)
    """How experience is collected."""
    replay: Replay = Replay(updates=4, data_share=0.5)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256), layer_norm=True)
    """The network's layers."""


def resfit(
    spec: Spec,
    hp: Hyperparameters,
    *,
    network: networks.Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3 in an environment of `jaxrl.steering.residual`, for edits in [-1, 1].

    The actor e(s, b) sees the action b that the trained policy proposes, and critics see what is
    done, a = clip(b + size e, -1, 1):

        Q(s, a) = r + discount Q'(s', clip(b' + size e'(s', b'), -1, 1)).

    So data of other policies have the values of their own actions. A half of each batch is of
    a data set, as `jaxrl.steering.edits` tells it. The actor's learning rate is that of the
    critics, where the authors' is a hundred times lower, and its first edits are nearly zero, where
    theirs are zero. `network`, which is the actor's, and `optimiser` take the place of what `hp`
    describes. Raises an InputError as `td3.td3` does, and if no policy proposes actions.
    """
    td3.check(spec, hp)
    require(
        isinstance(spec.observation, Conditioned),
        "resfit needs an environment in which a trained policy proposes actions: transform it by "
        "`jaxrl.steering.residual`.",
    )
    require(not hp.normalise_observations, "resfit standardises nothing: leave it off.")

    def whole(obs: Conditioned, action: Array) -> tuple[Tree, Array]:
        return obs.obs, jnp.clip(obs.context + hp.edit_size * action, -1.0, 1.0)

    seen = td3.Judged(spec._replace(observation=spec.observation.obs, mask=None), whole)
    agent = td3.learner(spec, hp, seen=seen, network=network, optimiser=optimiser)
    agent = agent._replace(update=n_step(agent.update, hp.discount))
    return remembering(agent, spec, hp, hp.n_step)


def beside(policy: Frozen) -> dict[str, Any]:
    """How it edits the actions of a trained policy, and sees environments and data."""

    def world(env: Env, hp: Hyperparameters) -> Env:
        require_box(env, "resfit")
        return residual(scale_actions(env), policy.act, hp.edit_size)

    def told(data: Transition, hp: Hyperparameters) -> Transition:
        return edits(data, policy.act, hp.edit_size, jax.random.key(0))

    def acting(actor: Actor, hp: Hyperparameters) -> Actor:
        def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
            k_base, k_edit = jax.random.split(key)
            mine = policy.act(obs, k_base)
            edit, memory, extras = actor.step(view, memory, Conditioned(obs, mine), k_edit)
            return jnp.clip(mine + hp.edit_size * edit, -1.0, 1.0), memory, extras

        return Actor(actor.init, step)

    return {"world": world, "told": told, "acting": acting}
