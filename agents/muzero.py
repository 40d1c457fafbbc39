"""Tree search in a learnt model of rewards, ends and values (Schrittwieser et al. 2020).

The search is that of Gumbel MuZero (Danihelka et al. 2022), which improves on the prior with any
number of simulations. It differs from the papers in values that are trained on lambda-returns, in
targets that are not computed again when they are replayed, and in learning terminations.
"""

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from agents import alphazero
from jaxrl import values
from jaxrl.errors import require_discrete
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.models.abstract import abstract, abstract_model, discount_loss, unrolled
from jaxrl.models.model import reached
from jaxrl.networks import Heads
from jaxrl.networks.layers import MLP, initialise
from jaxrl.policies import allowed, categorical
from jaxrl.search import SEARCHES, SearchOutput
from jaxrl.settings import Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import descend, optimiser_for


@record
class Hyperparameters(alphazero.Hyperparameters):
    """The hyperparameters of MuZero: those of AlphaZero, and of the model."""

    optimisation: Optimisation = Optimisation(learning_rate=2e-3, max_gradient_norm=5.0)
    """How parameters descend the gradient."""
    reward_coefficient: float = number(1.0, NOT_NEGATIVE)
    """Coefficient of the loss of rewards."""
    search: str = static("gumbel")
    """Search algorithm: gumbel or puct."""
    state_size: int = static(64, POSITIVE)
    """Size of the model's state."""
    sequence_length: int = static(4, POSITIVE)
    """Steps for which the model is unrolled in training."""
    replay: Replay = Replay(updates=64, batch_size=32, buffer_size=32_768)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(128,))
    """The network's layers."""


class Sample(NamedTuple):
    """The inputs of the loss for each step."""

    obs: Tree
    action: Array
    reward: Array
    discount: Array
    last: Array
    policy: Array
    target: Array
    weight: Array


def muzero(spec: Spec, hp: Hyperparameters) -> Agent:
    """Learn a model that predicts rewards, ends, values and policies, and act by search in it.

    Raises an InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    actions = require_discrete(spec, "gumbel-muzero").num
    representation = values.critic(hp.critic)
    layers = hp.network
    world = abstract(
        spec, representation, hp.state_size, layers.hidden, layers.activation, layers.encoder
    )
    v = lambda theta: values.mean(representation.decode(theta))
    torso = lambda: MLP(layers.hidden, layers.activation, layers.layer_norm)
    heads = Heads(torso, (actions, representation.size), (0.01, 1.0))

    def init(key: Key) -> Tree:
        k_world, k_heads = jax.random.split(key)
        example = jnp.zeros(hp.state_size)
        return {"world": world.init(k_world), "heads": initialise(heads, k_heads, example)}

    def outputs(params: Tree, state: Array) -> tuple[Array, Array]:
        return cast(tuple, heads.apply(params["heads"], state))

    def evaluator(params: Tree, state: Array) -> tuple[Array, Array]:
        logits, theta = outputs(params, state)
        return logits, v(theta)

    def seen(params: Tree, obs: Tree) -> tuple[Array, Array]:
        return evaluator(params, world.encode(params["world"], obs))

    def act(search, view: Tree, obs: Tree, key: Key) -> tuple[Array, SearchOutput]:
        model = abstract_model(world, view.params["world"], representation, spec)
        state = world.encode(view.params["world"], obs)
        root, at = (state, state), partial(evaluator, view.params)
        found = search(model, at, root, hp.discount, key, allowed(spec, obs))
        return found.action, found

    def sample(batch: Transition, policy: Array, target: Array) -> Sample:
        return Sample(
            batch.obs, batch.action, batch.reward, batch.discount, batch.last, policy, target,
            batch.weight,
        )  # fmt: skip

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        first = jax.tree.map(lambda x: x[0], batch.obs)
        state, step = unrolled(world, params["world"], first, batch.action)
        logits, theta = outputs(params, state)
        # Steps after the end of an episode have no targets.
        alive = reached(jnp.ones_like(batch.reward), batch.last)
        over = lambda x: (batch.weight * alive * x).sum() / alive.sum()
        policy = over(optax.safe_softmax_cross_entropy(logits, batch.policy))
        error = over(representation.loss(theta, values.dirac(batch.target)))
        paid = over(representation.loss(step.reward, values.dirac(batch.reward)))
        ends = over(discount_loss(spec, step.survival, batch.discount))
        entropy = over(categorical(logits).entropy())
        total = policy + hp.value_coefficient * error + hp.reward_coefficient * paid + ends
        metrics = {"policy_loss": policy, "value_loss": error, "reward_loss": paid}
        return total, metrics | {"end_loss": ends, "entropy": entropy}

    make = SEARCHES[hp.search]
    explore = partial(act, make(hp.simulations))
    exploit = partial(act, make(hp.simulations, noise=0.0))
    update = descend(init, loss, optimiser_for(hp))
    update = alphazero.replaying_searches(update, hp, actions, seen, sample, hp.sequence_length)
    return Agent(memoryless(explore), memoryless(exploit), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    alphazero.check(spec, hp, "gumbel-muzero", hp.sequence_length)
