"""Search in a learnt model of rewards and values (Schrittwieser et al. 2020).

With Gumbel MuZero's search (Danihelka et al. 2022), whose policy is better than the prior however
few the simulations. It learns from fresh rollouts, as PPO does, and not from a replay.
"""

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from agents import alphazero
from jaxrl import values
from jaxrl.errors import require_discrete, require_positive
from jaxrl.layers import MLP, initialise
from jaxrl.models.abstract import abstract, abstract_model, unrolled
from jaxrl.models.model import reached
from jaxrl.networks import Heads
from jaxrl.policies import categorical
from jaxrl.returns import lambda_returns
from jaxrl.search import SEARCHES, SearchOutput
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import clipped, descend, epochs, prepared
from jaxrl.updates.onpolicy import check_divisible

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(alphazero.Hyperparameters):
    """What MuZero can be told, beyond AlphaZero."""

    reward_coefficient: float = 1.0
    """Weight of the reward's loss."""
    learning_rate: float = 2e-3
    """Step size of Adam."""
    epochs: int = static(default=8)
    """Passes over each rollout."""
    minibatches: int = static(default=8)
    """Gradient steps in a pass."""
    hidden: tuple[int, ...] = static(default=(128,))
    """Units of each hidden layer."""
    search: str = static(default="gumbel")
    """gumbel or puct."""
    state_size: int = static(default=64)
    """Numbers in a state of the model."""
    sequence_length: int = static(default=4)
    """Steps that the model is unrolled in learning."""


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    action: Array
    reward: Array
    discount: Array
    last: Array
    policy: Array
    target: Array


def muzero(spec: Spec, hp: Hyperparameters) -> Agent:
    """Learn a model that is right about rewards, ends, values and policies, and search in it.

    Raises an InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    actions = require_discrete(spec, "gumbel-muzero").num
    representation = values.critic(hp.critic)
    world = abstract(spec, representation, hp.state_size, hp.hidden, hp.activation, hp.encoder)
    v = lambda theta: values.mean(representation.decode(theta))
    heads = Heads(
        lambda: MLP(hp.hidden, hp.activation), (actions, representation.size), (0.01, 1.0)
    )

    def init(key: Key) -> Tree:
        k_world, k_heads = jax.random.split(key)
        example = jnp.zeros(hp.state_size)
        return {"world": world.init(k_world), "heads": initialise(heads, k_heads, example)}

    def outputs(params: Tree, state: Array) -> tuple[Array, Array]:
        return cast(tuple, heads.apply(params["heads"], state))

    def judge(params: Tree, state: Array) -> tuple[Array, Array]:
        logits, theta = outputs(params, state)
        return logits, v(theta)

    def act(search, view: Tree, obs: Tree, key: Key) -> tuple[Array, SearchOutput]:
        model = abstract_model(world, view.params["world"], representation, spec)
        state = world.encode(view.params["world"], obs)
        found = search(model, partial(judge, view.params), (state, state), hp.discount, key)
        return found.action, found

    def targets(view: Tree, batch: Transition) -> Sample:
        value = judge(view.params, world.encode(view.params["world"], batch.final))[1]
        discount = hp.discount * batch.discount
        target = lambda_returns(batch.reward, discount, batch.last, value, hp.trace_decay)
        return Sample(
            batch.obs, batch.action, batch.reward, batch.discount, batch.last,
            batch.extras.policy, target,
        )  # fmt: skip

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        first = jax.tree.map(lambda x: x[0], batch.obs)
        state, step = unrolled(world, params["world"], first, batch.action)
        logits, theta = outputs(params, state)
        # Beyond the end of an episode there is nothing to be right about.
        alive = reached(jnp.ones_like(batch.reward), batch.last)
        over = lambda x: (alive * x).sum() / alive.sum()
        policy = over(optax.safe_softmax_cross_entropy(logits, batch.policy))
        error = over(representation.loss(theta, values.dirac(batch.target)))
        paid = over(representation.loss(step.reward, values.dirac(batch.reward)))
        ends = over(optax.sigmoid_binary_cross_entropy(step.survival, batch.discount))
        entropy = over(categorical(logits).entropy())
        total = policy + hp.value_coefficient * error + hp.reward_coefficient * paid + ends
        metrics = {"policy_loss": policy, "value_loss": error, "reward_loss": paid}
        return total, metrics | {"end_loss": ends, "entropy": entropy}

    make = SEARCHES[hp.search]
    explore = partial(act, make(hp.simulations))
    exploit = partial(act, make(hp.simulations, noise=0.0))
    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.epochs * hp.minibatches
    optimiser = clipped(optax.adam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = descend(init, loss, optimiser)
    update = epochs(update, hp.epochs, hp.minibatches, hp.sequence_length)
    return Agent(memoryless(explore), memoryless(exploit), prepared(update, targets))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    alphazero.check(spec, hp, "gumbel-muzero")
    require_positive(state_size=hp.state_size, sequence_length=hp.sequence_length)
    check_divisible(hp.rollout_length, hp.num_envs, hp.minibatches, hp.sequence_length)
