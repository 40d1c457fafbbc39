"""Features from the values of intents, of data without actions (Ghosh et al. 2023, "ICVF").

It is the first of two phases of V-PTR of Bhateja et al. (2023), "Robotic offline RL from internet
videos via value-function pre-training", https://arxiv.org/abs/2309.13041: what then learns with
actions begins from these features. Source: "Reinforcement learning from passive data via latent
intentions", https://arxiv.org/abs/2304.04782.
"""

from jaxrl.errors import require
from jaxrl.fields import FRACTION, check_fields, number, record
from jaxrl.goals import remembered
from jaxrl.goals.intentions import (
    Intended,
    IntentionValues,
    intended,
    intention_loss,
    intention_values,
)
from jaxrl.logged import require_one_action
from jaxrl.rollouts import random_actions
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, lanes, memoryless
from jaxrl.updates import descend, optimiser_for, polyak, require_buffer


@record
class Hyperparameters:
    """The hyperparameters of ICVF; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    expectile: float = number(0.9, FRACTION)
    """Level of the expectile over steps: 0.5 is the behaviour's value, 1 that of the best."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The layers of each encoder; the last has as many units as there are features."""


def model(spec: Spec, hp: Hyperparameters) -> IntentionValues:
    """The values and the features that ICVF learns, of the parameters in a learner's view."""
    return intention_values(spec, hp.network)


def icvf(spec: Spec, hp: Hyperparameters) -> Agent:
    """An agent that acts at random and learns features from a data set, without its actions.

    `model(spec, hp).features(view.params, obs)` are features [..., hidden[-1]] of observations. The
    loss is `jaxrl.goals.intentions.intention_loss` of outcomes and intents that are drawn from the
    data. Steps that are taken later teach it nothing. Raises an InputError if the hyperparameters
    do not fit each other or the actions.
    """
    check(spec, hp)
    made = model(spec, hp)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        sample, stored = batch.extras
        steps: Intended = intended(batch._replace(extras=sample), stored, key)
        each = intention_loss(made.value, params, target, steps, hp.discount, hp.expectile)
        total = (batch.weight * each).mean()
        value = made.value(params, steps.obs, steps.intent, steps.intent)
        return total, {"value_loss": total, "value": value.mean()}

    def act(view: Tree, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return random_actions(spec, lanes(obs), key, obs), ()

    update = descend(made.init, loss, optimiser_for(hp), polyak(hp.target_rate))
    return Agent(memoryless(act), memoryless(act), remembered(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require(
        len(hp.network.hidden) > 0, "icvf needs a hidden layer, whose last units are the features."
    )
    require_buffer(hp)
