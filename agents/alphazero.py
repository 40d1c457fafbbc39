"""Search in the simulator itself, and a network that learns to do without (Silver et al. 2018)."""

from functools import partial
from typing import NamedTuple, cast

import optax
from flax import struct

from jaxrl import models, values
from jaxrl.environments import Revealed, revealed
from jaxrl.errors import require_discrete, require_fraction, require_positive, unknown
from jaxrl.networks import network
from jaxrl.policies import categorical
from jaxrl.returns import lambda_returns
from jaxrl.search import SEARCHES, SearchOutput
from jaxrl.types import Agent, Array, Env, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import clipped, descend, epochs, prepared
from jaxrl.updates.onpolicy import check_divisible

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters:
    """What AlphaZero can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    decay: float = 0.0
    """Share of the run over which the learning rate falls linearly to zero; 0 keeps it constant."""
    decay_steps: float = 0.0
    """Environment steps over which the learning rate falls linearly to zero, instead of a share."""
    discount: float = 0.99
    """Of rewards, per step."""
    trace_decay: float = 0.9
    """The lambda of the returns that values learn from."""
    value_coefficient: float = 0.5
    """Weight of the critic's loss."""
    max_gradient_norm: float = 5.0
    """Global norm at which gradients are clipped."""
    critic: values.Critic = values.Critic()
    """What the critic predicts of the return."""
    search: str = static(default="puct")
    """gumbel or puct."""
    simulations: int = static(default=16)
    """Steps in the model for one in the environment."""
    num_envs: int = static(default=32)
    """Environments that run side by side."""
    rollout_length: int = static(default=32)
    """Steps in each environment between two updates."""
    epochs: int = static(default=2)
    """Passes over each rollout."""
    minibatches: int = static(default=4)
    """Gradient steps in a pass."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static(default="auto")
    """mlp, cnn, or auto: a cnn for images and an mlp for anything else."""
    warmup: int = static(default=0)
    """Environment steps of random acting before learning."""


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    policy: Array
    target: Array


def world(env: Env, hp: Hyperparameters) -> Env:
    """Show the state, from which to search."""
    return revealed(env)


def alphazero(spec: Spec, hp: Hyperparameters, env: Env) -> Agent:
    """Act by search in `env`, one lane as `world` shows it, and learn from what the search finds.

    Raises an InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    actions = require_discrete(spec, "alphazero").num
    model = models.true_model(env, lambda obs, key: obs.state)
    representation = values.critic(hp.critic)
    seen = spec._replace(observation=cast(Revealed, spec.observation).obs)
    sizes, layers = (actions, representation.size), (hp.hidden, hp.activation, hp.encoder)
    net = network(seen, sizes, (0.01, 1.0), *layers)
    v = lambda theta: values.mean(representation.decode(theta))

    def judge(params: Tree, obs: Revealed) -> tuple[Array, Array]:
        (logits, theta), _ = net.step(params, (), obs.obs)
        return logits, v(theta)

    def act(search, view: Tree, obs: Revealed, key: Key) -> tuple[Array, SearchOutput]:
        root = (obs.state, obs)
        found = search(model, partial(judge, view.params), root, hp.discount, key)
        return found.action, found

    def targets(view: Tree, batch: Transition) -> Sample:
        value = judge(view.params, cast(Revealed, batch.final))[1]
        discount = hp.discount * batch.discount
        target = lambda_returns(batch.reward, discount, batch.last, value, hp.trace_decay)
        return Sample(cast(Revealed, batch.obs).obs, batch.extras.policy, target)

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        (logits, theta), _ = net.step(params, (), batch.obs)
        policy = optax.safe_softmax_cross_entropy(logits, batch.policy).mean()
        error = representation.loss(theta, values.dirac(batch.target)).mean()
        entropy = categorical(logits).entropy().mean()
        metrics = {"policy_loss": policy, "value_loss": error, "entropy": entropy}
        return policy + hp.value_coefficient * error, metrics

    make = SEARCHES[hp.search]
    explore = partial(act, make(hp.simulations))
    exploit = partial(act, make(hp.simulations, noise=0.0))
    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.epochs * hp.minibatches
    optimiser = clipped(optax.adam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = epochs(descend(net.init, loss, optimiser), hp.epochs, hp.minibatches)
    return Agent(memoryless(explore), memoryless(exploit), prepared(update, targets))


def check(spec: Spec, hp: Hyperparameters, who: str = "alphazero") -> None:
    """Raise an InputError in the name of `who` if hyperparameters and spec do not fit."""
    require_discrete(spec, who)
    if hp.search not in SEARCHES:
        raise unknown("search", hp.search, SEARCHES)
    values.require_explicit(values.critic(hp.critic), who)
    require_positive(learning_rate=hp.learning_rate, simulations=hp.simulations)
    require_positive(num_envs=hp.num_envs, rollout_length=hp.rollout_length)
    require_positive(epochs=hp.epochs, minibatches=hp.minibatches)
    require_fraction(discount=hp.discount, trace_decay=hp.trace_decay)
    check_divisible(hp.rollout_length, hp.num_envs, hp.minibatches)
