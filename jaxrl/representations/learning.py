"""Encoders that learn: from data, beside an agent, or within an agent's network.

    params = pretrained(encoder, inverse_dynamics(encoder, spec), data, key)

learns once from data. `represented` makes an agent that sees features, which learn from the same
replay by their own objective only; `auxiliary` adds an objective to the layers that an agent's own
loss moves too.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import optax

from jaxrl import buffers
from jaxrl.errors import require, require_positive
from jaxrl.representations.encoders import Encoder, Pretext, vector_spec
from jaxrl.rewards.learnt import replayed_sequences
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import Learner, descend, imagined, polyak, without_context

fixed = jax.lax.stop_gradient


def representation_learner(
    encoder: Encoder,
    pretext: Pretext,
    optimiser: optax.GradientTransformation,
    rate: float | Array = 0.01,
) -> Update:
    """Learn an encoder and the heads of an objective from sequences [steps, B, ...].

    The parameters are `encoder` and `heads`; the target encoder follows by `polyak(rate)`, and with
    a rate of 1 it is the encoder itself, without a gradient.
    """

    def init(key: Key) -> Tree:
        k_encoder, k_heads = jax.random.split(key)
        return {"encoder": encoder.init(k_encoder), "heads": pretext.init(k_heads)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        heads = params["heads"]
        error = pretext.loss(params["encoder"], target["encoder"], heads, batch, key)
        return error, {"representation_loss": error}

    return descend(init, loss, optimiser, polyak(rate))


def pretrained(
    encoder: Encoder,
    pretext: Pretext,
    data: Transition,
    key: Key,
    *,
    steps: int = 1_000,
    batch_size: int = 128,
    learning_rate: float | Array = 1e-3,
    rate: float | Array = 0.01,
) -> Tree:
    """The encoder's parameters after `steps` gradient steps of Adam on a data set [T, B, ...].

    Batches are uniform sequences of consecutive steps of a lane, and those that cross the end of an
    episode count as far as their objective says. Raises an InputError for numbers that are not
    positive, or a data set that is shorter than a sequence.
    """
    require_positive(steps=steps, batch_size=batch_size)
    number = len(data.reward)
    require(
        number >= pretext.steps,
        f"An objective of {pretext.steps} steps needs as many steps in each lane, but the data set "
        f"has {number}.",
    )
    update = representation_learner(encoder, pretext, optax.adam(learning_rate), rate)
    data = data._replace(extras=(), signals=())
    stored = buffers.init(data, number)
    k_init, k_learn = jax.random.split(key)

    def one(state: Tree, key: Key) -> tuple[Tree, None]:
        k_draw, k_update = jax.random.split(key)
        batch = buffers.sample_sequences(stored, k_draw, batch_size, pretext.steps)
        return update.apply(state, batch, k_update)[0], None

    start = update.init(k_init, data)
    return jax.lax.scan(one, start, jax.random.split(k_learn, steps))[0].params["encoder"]


def featured(encoder: Encoder, params: Tree, batch: Transition) -> Transition:
    """Transitions [..., *] with features [..., D] as observations, which have no gradient."""
    obs, final = (fixed(encoder.apply(params, x)) for x in (batch.obs, batch.final))
    return batch._replace(obs=obs, final=final)


def represented(
    make: Callable[..., Agent],
    encoder: Encoder,
    pretext: Pretext,
    optimiser: optax.GradientTransformation,
    rate: float | Array = 0.01,
) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent that sees features, which learn beside it from the same replay.

    `make(spec, hp, schedule=...)` makes an agent that replays uniformly, such as DQN or SAC. At
    each gradient step the encoder learns from sequences by its objective, and then the agent from
    the features of their first steps; its own loss does not move them. Raises an InputError if the
    agent does not replay, or what it standardises are observations.
    """
    require(
        "schedule" in inspect.signature(make).parameters,
        "Representations are learnt beside agents that replay, such as sac, dqn or td3.",
    )
    learner = representation_learner(encoder, pretext, optimiser, rate)

    def made(spec: Spec, hp: Any) -> Agent:
        require(
            not getattr(hp, "normalise_observations", False),
            "Features are learnt from observations as they are: leave normalise_observations off.",
        )

        def around(update: Update, length: int | None) -> Update:
            def dream(view: Learner, inner: Tree, batch: Transition, key: Key) -> Transition:
                head = jax.tree.map(lambda x: x[0] if length is None else x[:length], batch)
                return featured(encoder, view.params["encoder"], head)

            both = imagined(update, without_context(learner), dream)
            see = lambda state: (learner.read(state.model), update.read(state.inner))
            return both._replace(read=see)

        def schedule(update: Update, hp: Any, length: int | None = None) -> Update:
            return replayed_sequences(update, around, hp, length, pretext.steps, "Representations")

        inner = vector_spec(encoder.size)._replace(action=spec.action, signals=spec.signals)
        require(
            spec.mask is None,
            "Features do not tell which actions are allowed: choose an environment without a mask.",
        )
        agent = make(inner, hp, schedule=schedule)
        seeing = partial(seen_through, encoder)
        return agent._replace(explore=seeing(agent.explore), exploit=seeing(agent.exploit))

    return made


def seen_through(encoder: Encoder, actor: Actor) -> Actor:
    """An actor that sees features, for views (learner of the encoder, the actor's own view)."""

    def step(view: tuple, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        features = encoder.apply(view[0].params["encoder"], obs)
        return actor.step(view[1], memory, features, key)

    return Actor(actor.init, step)


class Assisted(NamedTuple):
    """The state of a learner, and of an objective of some of its layers."""

    inner: Learner
    heads: Tree
    target: Tree  # of the encoder
    opt: Tree


def auxiliary(
    update: Update,
    encoder: Encoder,
    pretext: Pretext,
    optimiser: optax.GradientTransformation,
    path: Sequence[str] = ("params", "MLP_0"),
    rate: float | Array = 1.0,
    first: int | None = None,
) -> Update:
    """Let the layers at `path` of a learner's parameters descend another objective as well.

    Each batch [steps, B, ...] is first learnt from by `update`, which sees its first step [B, ...],
    or its first `first` steps, and then by one step of `optimiser` on the objective, of these
    layers and the heads. Source of two optimisers in turn: Zheng et al. (2023), "TACO",
    https://arxiv.org/abs/2306.13229, in the authors' code.

    Args:
      update: a `descend`, whose state is a `Learner`.
      encoder: of these layers: see `torso_encoder`.
      pretext: the objective.
      optimiser: of the objective.
      path: the keys of the layers in the parameters.
      rate: of the target encoder; 1 is the encoder itself, without a gradient.
      first: how many steps of each sequence `update` sees, None for one without an axis of time.
    """

    def layers(params: Tree) -> Tree:
        for name in path:
            require(
                isinstance(params, dict) and name in params,
                f"There is no {name} in these parameters, but "
                f"{', '.join(map(str, params)) if isinstance(params, dict) else 'an array'}.",
            )
            params = params[name]
        return params

    def with_layers(params: Tree, new: Tree, rest: Sequence[str]) -> Tree:
        if not rest:
            return new
        return params | {rest[0]: with_layers(params[rest[0]], new, rest[1:])}

    def init(key: Key, example: Transition) -> Assisted:
        k_inner, k_heads = jax.random.split(key)
        inner, heads = update.init(k_inner, example), pretext.init(k_heads)
        own = layers(inner.params)
        return Assisted(inner, heads, own, optimiser.init((own, heads)))

    def apply(state: Assisted, batch: Transition, key: Key) -> tuple[Assisted, dict]:
        k_inner, k_loss = jax.random.split(key)
        head = jax.tree.map(lambda x: x[0] if first is None else x[:first], batch)
        inner, metrics = update.apply(state.inner, head, k_inner)
        both = (layers(inner.params), state.heads)

        def loss(both: tuple[Tree, Tree]) -> Array:
            return pretext.loss(both[0], state.target, both[1], batch, k_loss)

        error, gradient = jax.value_and_grad(loss)(both)
        change, opt = optimiser.update(gradient, state.opt, both)
        own, heads = cast(tuple[Tree, Tree], optax.apply_updates(both, change))
        inner = inner._replace(params=with_layers(inner.params, own, path))
        target = optax.incremental_update(own, state.target, rate)
        return Assisted(inner, heads, target, opt), metrics | {"representation_loss": error}

    return Update(init, apply, lambda state: update.read(state.inner))
