"""BEER, deterministic policy gradients with a regulariser of the critic's rank (He et al. 2024).

The penalty is on the cosine similarity of the features of a state and its successor, where it
exceeds the upper bound that follows from the Bellman equation.
"""

from agents import td3
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.networks import Critics
from jaxrl.rank import excess_similarity
from jaxrl.types import Agent, Array, Spec, Transition, Tree


@record
class Hyperparameters(td3.Hyperparameters):
    """The hyperparameters of BEER, beyond those of TD3."""

    rank_penalty: float = number(1e-3, NOT_NEGATIVE)
    """Coefficient of the cosine similarity in excess of the Bellman equation's bound."""
    target_noise: float = number(0.0, NOT_NEGATIVE)
    """Standard deviation of the noise on the next action in targets."""
    ensemble: values.Ensemble = values.Ensemble(1)
    """Number of critics, and the reduction of their predictions to a target."""
    actor_period: int = static(1, POSITIVE)
    """Gradient steps of the critics for each update of the actor and the target networks."""


def beer(spec: Spec, hp: Hyperparameters) -> Agent:
    """DDPG with a scalar critic and BEER's penalty.

    The features of successors, also in the bound, are those of the target critic. Raises an
    InputError as `td3` does, and if the critic is not scalar.
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
