"""Rollouts that look real: a learnt reward of dynamics filters what a model proposes.

MBPO for data sets (Luo et al. 2024, "MOREC"): among the members' proposals the most credible is
chosen, and a rollout ends where none is credible. Rollouts can then be long.
"""

from functools import partial

import jax
import optax
from flax import struct

from agents import mbpo
from jaxrl import models
from jaxrl.errors import require_positive
from jaxrl.models.consistency import Judged, dynamics_reward, judged, jury
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(mbpo.Hyperparameters):
    """What MOREC can be told, beyond MBPO."""

    jury_learning_rate: float = 1e-3
    """Step size of Adam, of what tells real successors from proposed ones."""
    credible: float = 0.3
    """Score, of 1, below which a rollout ends; what is proposed as if it was real has 0.5."""
    temperature: float = 0.1
    """Of the choice among proposals: the best at 0."""
    horizon: int = static(default=16)
    """Steps of an imagined rollout."""


def morec(spec: Spec, hp: Hyperparameters) -> Agent:
    """MBPO in filtered rollouts. Raises an InputError as `mbpo` does."""
    require_positive(jury_learning_rate=hp.jury_learning_rate)
    dynamics, fit = mbpo.dynamics_of(spec, hp)

    def propose(view: Tree, batch: Transition, key: Key) -> Array:
        model = models.ensemble_model(dynamics, view, models.random_member())
        k_enter, k_step = jax.random.split(key)
        return model.step(model.enter(batch.obs, k_enter), batch.action, k_step)[1].final

    def model(view: Judged) -> models.Model:
        score = dynamics_reward(spec, view.jury)
        choice = models.best_scored(score, hp.credible, hp.temperature)
        return mbpo.model_of(dynamics, view.fit, hp, choice)

    voters = jury(spec, propose, optax.adam(hp.jury_learning_rate))
    return mbpo.mbpo(spec, hp, world=mbpo.World(judged(fit, voters), model))
