"""SAC whose actor emits a sequence of actions for one observation, and learns through a model.

The actor is trained by temporal recall: a learnt model predicts the states along the sequence, and
critics of single steps evaluate every action there. It acts without a model, in open loop for the
length of a sequence.
Source: Patel and Siegelmann (2025), "Overcoming slow decision frequencies".
"""

from dataclasses import replace
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from agents import sac
from jaxrl import models, values
from jaxrl.errors import require
from jaxrl.fields import POSITIVE, number, record, static
from jaxrl.models.dynamics import predict, vector_size
from jaxrl.networks import blank, flat
from jaxrl.networks.layers import MLP, Dense, initialise
from jaxrl.normalise import remembering
from jaxrl.policies import tanh_family
from jaxrl.types import Actor, Agent, Array, Box, Key, Spec, Tree, select
from jaxrl.updates import Late, delayed, fitting, optimiser_for, polyak

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of a sequence actor: those of SAC, and of sequences and their model."""

    model_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the model."""
    length: int = static(4, POSITIVE)
    """Actions in a sequence in training."""
    held: int = static(4, POSITIVE)
    """Actions of a sequence that are played after one observation, at most length."""
    model_hidden: tuple[int, ...] = static((128, 128), POSITIVE)
    """Units of each hidden layer of the model."""


class Sequence(nn.Module):
    """A recurrent policy: its outputs [..., size] depend on the actions emitted before."""

    hidden: tuple[int, ...]
    activation: str
    size: int
    actions: int

    def setup(self) -> None:
        """The torso, the recurrent cell and the head."""
        self.torso = MLP(self.hidden, self.activation)
        self.cell = nn.GRUCell(self.hidden[-1])
        self.head = Dense(self.size, 0.01)

    def __call__(self, x: Array) -> Array:
        """The first outputs, which involve all parameters."""
        _, out = self.after(self.begin(x), jnp.zeros((*x.shape[:-1], self.actions)))
        return out

    def begin(self, x: Array) -> Array:
        """The state [..., H] before the first action."""
        return cast(Array, self.torso(x))

    def after(self, state: Array, action: Array) -> tuple[Array, Array]:
        """The next state, and the outputs for the action that follows `action` [..., A]."""
        state, y = self.cell(state, action)
        return state, self.head(y)


def sequence_sac(spec: Spec, hp: Hyperparameters) -> Agent:
    """SAC with an actor of sequences. Raises an InputError as `sac` does."""
    check(spec, hp)
    assert isinstance(spec.action, Box)  # checked above; for the type checker
    family, width = tanh_family(spec.action), spec.action.low.size
    representation = values.critic(hp.critic)
    net = Sequence(hp.network.hidden, hp.network.activation, family.size, width)
    base = sac.networks(spec, hp, representation)
    ensemble = partial(values.ensemble_critic, representation)
    ensemble(hp.ensemble)  # raises
    mean_of = ensemble(replace(hp.ensemble, reduction=hp.actor_reduction))
    dynamics = models.deterministic_mlp(spec, 1, hp.model_hidden)
    world = models.fitted(
        dynamics, models.squared_error, optax.adam(hp.model_learning_rate), bootstrap=False
    )
    target_entropy = hp.target_entropy * width

    def init(key: Key) -> Tree:
        k_actor, k_rest = jax.random.split(key)
        actor = initialise(net, k_actor, flat(spec.observation, blank(spec)))
        return base.init(k_rest) | {"actor": actor}

    def unfold(params: Tree, obs: Tree, keys: Key | None, length: int) -> tuple[Array, Array]:
        """Actions [J, B, *] and their log-probabilities [J, B]; the modes without keys."""
        x = flat(spec.observation, obs)
        run = partial(net.apply, params["actor"])
        state = cast(Array, run(x, method="begin"))

        def one(carry: tuple, key: Any) -> tuple[tuple, tuple]:
            state, action = carry
            state, out = cast(tuple, run(state, action, method="after"))
            policy = family.distribution(out, ())
            if keys is None:
                new, log_prob = policy.mode(), jnp.zeros(x.shape[:-1])
            else:
                new, log_prob = policy.sample_and_log_prob(seed=key)
            return (state, new.reshape(*x.shape[:-1], width)), (new, log_prob)

        start = (state, jnp.zeros((*x.shape[:-1], width)))
        return jax.lax.scan(one, start, keys, length)[1]

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        """Of critics of single steps: the next action is the first of a new sequence."""
        data = batch[1]
        k_next, k_subset = jax.random.split(key)
        reduced = ensemble(hp.ensemble, k_subset)
        temperature = fixed(jnp.exp(params["log_temperature"]))
        first, log_prob = (x[0] for x in unfold(fixed(params), data.final, k_next[None], 1))
        future = reduced.decode(base.q(target, data.final, first))
        cost = temperature * log_prob * hp.entropy_backup
        aim = sac.soft_target(future, cost, data, hp.discount)
        error = reduced.loss(base.q(params, data.obs, data.action), aim)
        return (data.weight * error).mean(), {"critic_loss": error.mean()}

    def act(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        """Temporal recall: each action is evaluated in the state that those before it lead to."""
        view, data = batch
        temperature = jnp.exp(params["log_temperature"])
        actions, log_probs = unfold(params, data.obs, jax.random.split(key, hp.length), hp.length)

        def meet(obs: Array, action: Array) -> tuple[Array, Array]:
            return predict(dynamics, view, obs, action).mean[0, :, :-1], obs

        _, met = jax.lax.scan(meet, flat(spec.observation, data.obs), fixed(actions))
        scores = values.mean(mean_of.decode(base.q(fixed(params), fixed(met), actions)))
        policy = (fixed(temperature) * log_probs - scores).mean(0)
        balance = -params["log_temperature"] * fixed(log_probs.mean(0) + target_entropy)
        metrics = {"policy_loss": policy.mean(), "temperature": temperature}
        total = (data.weight * (policy + balance)).mean()
        return total, metrics | {"entropy": -log_probs.mean()}

    def actor(sampled: bool) -> Actor:
        def init(batch_size: int) -> tuple[Array, Array]:
            shape = (batch_size, hp.held, *cast(Box, spec.action).shape)
            return jnp.zeros(shape), jnp.zeros(batch_size, jnp.int32)

        def step(view: Tree, memory: tuple, obs: Tree, key: Key) -> tuple[Array, tuple, tuple]:
            plan, place = memory
            keys = jax.random.split(key, hp.held) if sampled else None
            new = jnp.swapaxes(unfold(view.params, obs, keys, hp.held)[0], 0, 1)
            plan = select(place == 0, new, plan)
            action = plan[jnp.arange(place.shape[0]), place]
            return action, (plan, (place + 1) % hp.held), ()

        return Actor(init, step)

    late = Late(act, sac.LATE, hp.actor_period)
    update = delayed(init, loss, late, optimiser_for(hp), polyak(hp.target_rate))
    return remembering(Agent(actor(True), actor(False), fitting(update, world)), spec, hp)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    sac.check(spec, hp)
    vector_size(spec)  # raises
    require(not hp.actor_sees, "sequence-sac's actor sees everything: leave actor_sees empty.")
    require(not hp.dropout, "sequence-sac's critics have no dropout: set dropout to 0.")
    require(hp.held <= hp.length, f"held {hp.held} must be at most length {hp.length}.")
