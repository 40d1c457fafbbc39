"""Tree search in the simulator, which trains a policy and values (Silver et al. 2018).

It differs from the paper in values that are trained on lambda-returns, which end with the rollout,
and not on the outcomes of whole games. The replay is the paper's, and needed: from fresh rollouts
alone the network forgets the positions that its own play has come to avoid.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl import models, values
from jaxrl.environments import Revealed, revealed
from jaxrl.errors import require, require_discrete, require_known
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.networks import network
from jaxrl.policies import allowed, categorical, only_allowed
from jaxrl.returns import lambda_returns
from jaxrl.rollouts import none_of
from jaxrl.search import SEARCHES, SearchOutput
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Env, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import descend, optimiser_for, prepared, replayed
from jaxrl.updates.offpolicy import check_buffer


@record
class Hyperparameters:
    """The hyperparameters of AlphaZero; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=1e-3, max_gradient_norm=5.0)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    trace_decay: float = number(0.9, FRACTION)
    """Trace decay (lambda) of the returns on which values are trained."""
    value_coefficient: float = number(0.5, NOT_NEGATIVE)
    """Coefficient of the critic's loss."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    search: str = static("puct")
    """Search algorithm: gumbel or puct."""
    simulations: int = static(16, POSITIVE)
    """Simulated steps of a search, for each step in the environment."""
    collection: Collection = Collection(num_envs=32, rollout_length=32)
    """How experience is collected."""
    replay: Replay = Replay(updates=16, buffer_size=32_768)
    """How stored experience is learnt from."""
    network: Layers = Layers()
    """The network's layers."""


class Sample(NamedTuple):
    """The inputs of the loss for each step."""

    obs: Tree
    allowed: Array | None  # the mask, if there is one
    policy: Array
    target: Array
    weight: Array


def world(env: Env, hp: Hyperparameters) -> Env:
    """Show the state of the simulator, from which a search starts."""
    return revealed(env)


def alphazero(spec: Spec, hp: Hyperparameters, env: Env) -> Agent:
    """Act by search in `env`, one lane as `world` shows it, and learn from its results.

    Raises an InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    actions = require_discrete(spec, "alphazero").num
    model = models.true_model(env, lambda obs, key: obs.state)
    representation = values.critic(hp.critic)
    seen = spec._replace(observation=cast(Revealed, spec.observation).obs, mask=None)
    net = network(seen, (actions, representation.size), (0.01, 1.0), **vars(hp.network))
    v = lambda theta: values.mean(representation.decode(theta))

    def evaluator(params: Tree, obs: Revealed) -> tuple[Array, Array]:
        (logits, theta), _ = net.step(params, (), obs.obs)
        return only_allowed(logits, allowed(spec, obs)), v(theta)

    def act(search, view: Tree, obs: Revealed, key: Key) -> tuple[Array, SearchOutput]:
        root, at = (obs.state, obs), partial(evaluator, view.params)
        found = search(model, at, root, hp.discount, key, allowed(spec, obs))
        return found.action, found

    def sample(batch: Transition, policy: Array, target: Array) -> Sample:
        obs, mask = cast(Revealed, batch.obs).obs, allowed(spec, batch.obs)
        return Sample(obs, mask, policy, target, batch.weight)

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        (logits, theta), _ = net.step(params, (), batch.obs)
        logits = only_allowed(logits, batch.allowed)
        over = lambda x: (batch.weight * x).mean()
        policy = over(optax.safe_softmax_cross_entropy(logits, batch.policy))
        error = over(representation.loss(theta, values.dirac(batch.target)))
        entropy = over(categorical(logits).entropy())
        metrics = {"policy_loss": policy, "value_loss": error, "entropy": entropy}
        return policy + hp.value_coefficient * error, metrics

    make = SEARCHES[hp.search]
    explore = partial(act, make(hp.simulations))
    exploit = partial(act, make(hp.simulations, noise=0.0))
    update = descend(net.init, loss, optimiser_for(hp))
    update = replaying_searches(update, hp, actions, evaluator, sample)
    return Agent(memoryless(explore), memoryless(exploit), update)


def replaying_searches(
    update: Update,
    hp: Any,
    actions: int,
    evaluator: Callable[[Tree, Tree], tuple[Array, Array]],
    sample: Callable[[Transition, Array, Array], Tree],
    length: int | None = None,
) -> Update:
    """Store what searches found, as `hp.replay` says, and learn from samples of it.

    `sample(transitions, policies [..., A], targets of values [...])` is what is stored. Policies
    are those of the searches, and targets are lambda-returns that end, where a rollout does, with
    the value of the `evaluator(parameters, final observations)` at that time.
    """
    stored = replayed(update, hp, length)

    def init(key: Key, example: Transition) -> Tree:
        # Steps of random play, which no search led, are not stored: only what samples look like.
        shape = jax.ShapeDtypeStruct
        row = jax.tree.map(lambda x: shape((1, *x.shape[1:]), x.dtype), example)
        policy = shape((*row.reward.shape, actions), jnp.float32)
        form = jax.eval_shape(sample, row, policy, row.reward)
        none = jax.tree.map(lambda x: none_of(shape(x.shape[1:], x.dtype)), form)
        return stored.init(key, none)

    def found(view: Tree, batch: Transition) -> Tree:
        value = evaluator(view.params, batch.final)[1]
        discount = hp.discount * batch.discount
        target = lambda_returns(batch.reward, discount, batch.last, value, hp.trace_decay)
        return sample(batch, batch.extras.policy, target)

    return prepared(stored._replace(init=init), found)


def check(spec: Spec, hp: Hyperparameters, who: str = "alphazero", length: int = 1) -> None:
    """Raise an InputError in the name of `who` if hyperparameters and spec do not fit.

    Agents learn from sequences of a `length`.
    """
    require_discrete(spec, who)
    check_fields(hp)
    require_known("search", hp.search, SEARCHES)
    values.require_explicit(values.critic(hp.critic), who)
    lanes, steps = hp.collection.num_envs, hp.collection.rollout_length
    require(
        length <= steps,
        f"rollout_length {steps} must be at least sequence_length {length}.",
    )
    check_buffer(hp.replay.buffer_size, lanes, steps, length, lanes * steps)
