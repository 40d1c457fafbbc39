"""MBPO in rollouts that are filtered by a learnt reward of dynamics (Luo et al. 2024, "MOREC").

For data sets: the most credible of the members' proposals is chosen, and a rollout is truncated
where none is credible. Rollouts can then be long.
"""

import jax
import optax

from agents import mbpo
from jaxrl import models
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.models.consistency import Judged, dynamics_reward, judged, jury
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree


@record
class Hyperparameters(mbpo.Hyperparameters):
    """The hyperparameters of MOREC: those of MBPO, and of the filter."""

    jury_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the discriminators of real and proposed successors."""
    credible: float = number(0.3, FRACTION)
    """Score in [0, 1] below which a rollout is truncated; indistinguishable successors have 0.5."""
    temperature: float = number(0.1, NOT_NEGATIVE)
    """Temperature of the softmax choice among proposals; 0 chooses the highest score."""
    horizon: int = static(16, POSITIVE)
    """Steps of an imagined rollout."""


def morec(spec: Spec, hp: Hyperparameters) -> Agent:
    """MBPO in filtered rollouts. Raises an InputError as `mbpo` does."""
    mbpo.check(hp)
    dynamics, fit = mbpo.dynamics_of(spec, hp)

    def propose(view: Tree, batch: Transition, key: Key) -> Array:
        noise = mbpo.probabilistic(hp)
        model = models.ensemble_model(dynamics, view, models.random_member(), noise)
        k_enter, k_step = jax.random.split(key)
        return model.step(model.enter(batch.obs, k_enter), batch.action, k_step)[1].final

    def model(view: Judged) -> models.Model:
        score = dynamics_reward(spec, view.jury)
        choice = models.best_scored(score, hp.credible, hp.temperature)
        return mbpo.model_of(dynamics, view.fit, hp, choice)

    voters = jury(spec, propose, optax.adam(hp.jury_learning_rate))
    return mbpo.mbpo(spec, hp, world=mbpo.World(judged(fit, voters), model))
