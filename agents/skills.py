"""SAC for skills that are paid without a reward: METRA, or DIAYN.

The environment shows a skill beside each observation, which lasts for an episode, and its rewards
are ignored. Source: Park, Rybkin and Levine (2024), https://arxiv.org/abs/2310.08887; Eysenbach et
al. (2019), https://arxiv.org/abs/1802.06070.
"""

import optax

from agents import sac
from jaxrl.conditioned import Conditioned, conditioned
from jaxrl.errors import require
from jaxrl.fields import number, record
from jaxrl.rewards.skills import Skills, paid_by_skills, skill_condition, skill_reward
from jaxrl.settings import Layers, Optimisation
from jaxrl.types import Agent, Env, Spec, Update
from jaxrl.updates import replayed


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of SAC, and what skills are paid."""

    skill: Skills = Skills()
    """The skills that are learnt, and what they are paid."""
    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    target_entropy: float = number(-0.5)
    """Target entropy of the policy per action dimension, in nats."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


def world(env: Env, hp: Hyperparameters) -> Env:
    """The environment of one lane, whose observations show the skill of the episode."""
    return conditioned(env, skill_condition(hp.skill))


def skilled_sac(
    spec: Spec, hp: Hyperparameters, *, optimiser: optax.GradientTransformation | None = None
) -> Agent:
    """SAC of an environment that `world` made, which learns from what `hp.skill` pays.

    It is evaluated by the environment's rewards, under skills that are drawn at random. `optimiser`
    takes the place of what `hp` describes. Raises an InputError as `sac.sac` does, or if the
    settings of skills do not fit each other.
    """
    sac.check(spec, hp)
    require(
        isinstance(spec.observation, Conditioned),
        "skills needs an environment that shows them: transform it by agents.skills.world.",
    )
    require(
        not hp.normalise_observations,
        "skills are not standardised with observations: leave normalise_observations off.",
    )
    seen = spec._replace(observation=spec.observation.obs)
    reward = skill_reward(seen, hp.skill, hp.network)

    def schedule(update: Update, hp: Hyperparameters, length: int | None = None) -> Update:
        return replayed(paid_by_skills(update, reward, hp.skill.skill_rate), hp, length)

    return sac.sac(spec, hp, optimiser=optimiser, schedule=schedule)
