"""Deterministic policy gradients whose critic keeps the rank that its values need (He et al. 2024).

The penalty looks at the features of a state and of its successor: where they are more alike than
values that obey the Bellman equation can have them, it pushes them apart, and nowhere else.
"""

from functools import partial

from flax import struct

from agents import td3
from jaxrl import values
from jaxrl.errors import require
from jaxrl.networks import Critics
from jaxrl.rank import excess_similarity
from jaxrl.types import Agent, Array, Spec, Transition, Tree

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(td3.Hyperparameters):
    """What BEER can be told, beyond TD3."""

    rank_penalty: float = 1e-3
    """Weight of the cosine that exceeds what the Bellman equation allows."""
    target_noise: float = 0.0
    """Standard deviation of what is added to the next action in targets."""
    ensemble: values.Ensemble = values.Ensemble(1)
    """How many critics, and what to believe where they disagree."""
    actor_period: int = static(default=1)
    """Gradient steps of the critics for one of the actor and the target networks."""


def beer(spec: Spec, hp: Hyperparameters) -> Agent:
    """DDPG with a critic of means, regularised as its own Bellman equation asks.

    Features of successors are those of the target critic, also in the bound. Raises an InputError
    as `td3` does, and if the critic is not scalar.
    """
    family = hp.critic.family
    require(family == "scalar", f"beer needs a scalar critic, but critic.family is {family}.")

    def penalty(
        critics: Critics, params: Tree, target: Tree, batch: Transition, action: Array
    ) -> Array:
        features, weights = critics.linear(params, batch.obs, batch.action)  # [B, E, H], [E, H, 1]
        following, _ = critics.linear(target, batch.final, action)
        reward, discount = batch.reward[:, None], hp.discount * batch.discount[:, None]
        excess = excess_similarity(features, following, weights[..., 0], reward, discount)
        return hp.rank_penalty * excess.sum(-1)

    return td3.td3(spec, hp, penalty=penalty)
