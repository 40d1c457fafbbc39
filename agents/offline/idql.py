"""IDQL: the critics of IQL choose among actions that a diffusion model of the data makes.

Source: Hansen-Estruch et al. (2023), "IDQL: implicit Q-learning as an actor-critic method with
diffusion policies", https://arxiv.org/abs/2304.10573.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents.offline import iql
from jaxrl import values
from jaxrl.cloning import Imitator
from jaxrl.errors import require, require_continuous, require_known
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.generators import Generation, candidates, chosen, generated_policy
from jaxrl.networks import Own
from jaxrl.normalise import shown
from jaxrl.pair_values import pair_values
from jaxrl.state_values import expectile_weight, state_values
from jaxrl.types import Agent, Array, Key, Spec, Tree, memoryless
from jaxrl.updates import Learner

CHOICES = ("best", "weighted")


@record
class Hyperparameters(iql.Hyperparameters):
    """The hyperparameters of IDQL: those of IQL, of the generator, and of the choice."""

    inverse_temperature: float = number(0.0, NOT_NEGATIVE)
    """Factor of advantages in the exponent of the weights of cloned actions; 0 clones all."""
    generation: Generation = Generation()
    """How actions are made of noise."""
    candidates: int = static(64, POSITIVE)
    """Number of actions that are made, of which one is taken."""
    choice: str = static("best")
    """How one of the actions is chosen: the best, or weighted at random as the expectile says."""


def idql(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """IQL whose policy is a generator, and which takes one of N of its actions.

    The action is that of the highest target critic Q(s, a_i), or is drawn with probabilities that
    are proportional to |level - 1{Q(s, a_i) < V(s)}|, which is the policy whose value V is. Actions
    are made by a moving average of the generator's parameters. The posterior's noise and clipped
    expected actions are used in sampling, where the authors' code has more noise and clips the
    action itself. The other arguments are those of `iql.iql`. Raises an InputError as it does, for
    discrete actions, or for a choice that does not exist.
    """
    require_continuous(spec, "idql")
    require_known("choice", hp.choice, CHOICES)
    iql.check(spec, hp)
    require(
        hp.choice == "best" or hp.value == "expectile",
        "Actions are drawn by the weights of an expectile: set value to expectile, or choice to "
        "best.",
    )
    seen, layers = shown(spec, hp.normalise_observations), hp.network
    family = values.critic(hp.critic) if representation is None else representation
    policy = generated_policy(seen, hp.generation, layers, network)
    critics = pair_values(seen, family, hp.ensemble.members, layers)
    v = state_values(seen, family, **vars(layers))
    reduced = partial(values.ensemble_critic, family, hp.ensemble)

    def act(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        k_make, k_choose, k_subset = jax.random.split(key, 3)
        actor, judges = view.target["actor"], view.target["critics"]
        action, many = candidates(policy, actor, obs, k_make, hp.candidates)
        theta = critics.outputs(judges, many, action)
        value = values.mean(reduced(k_subset).decode(theta))
        if hp.choice == "best":
            index = value.argmax(0)
        else:
            weight = expectile_weight(value - v.value(view.params["value"], obs), hp.expectile)
            logits = jnp.log(jnp.maximum(weight, 1e-9))
            index = jax.random.categorical(k_choose, logits, axis=0)
        return chosen(action, index), ()

    actor = memoryless(act)
    cloner = Imitator(policy.init, policy.loss, actor, actor)
    return iql.iql(spec, hp, representation, policy=cloner, optimiser=optimiser)
