"""World models with categorical latent states, on any backbone.

The state is (h, z): h is the output of the backbone for the past, z a vector of one-hot classes
sampled from the observation, z ~ q(z | x), or from both, z ~ q(z | h, x). The backbone reads
(z, action); its output predicts the next classes p(z' | h'), and (h', z') predict the observation,
reward and end. Where z depends on its own observation alone, training reads whole sequences at once
(S4WM, Deng et al. 2023); where it depends on h too, step by step (the RSSM of Hafner et al. 2025,
"DreamerV3").
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrl import spaces, values
from jaxrl.drawing import one_hot_draw
from jaxrl.errors import require_known, require_positive
from jaxrl.models.model import Model
from jaxrl.networks import action_size, flat, flat_action
from jaxrl.networks.backbones import Backbone
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.types import Array, Key, Spec, TimeStep, Transition, Tree, select
from jaxrl.values import Representation

fixed = jax.lax.stop_gradient
POSTERIORS = ("history", "observation")


class State(NamedTuple):
    """The state of a world model."""

    memory: Tree  # of the backbone
    past: Array  # [..., H] its last output, zero at the beginning of an episode
    classes: Array  # [..., G * C] one-hot, G groups of C

    @property
    def features(self) -> Array:
        """The inputs [..., H + G * C] of actors and heads."""
        return jnp.concatenate([self.past, self.classes], -1)


class Outlook(NamedTuple):
    """What a model shows where some actions are forbidden: its features, and a mask."""

    features: Any  # [..., H + G * C]; in a spec its shape and type
    mask: Tree  # as `Spec.mask` returns it


class World(NamedTuple):
    """A latent world model, with parameters."""

    init: Callable[[Key], Tree]
    blank: Callable[[int], State]  # of B new episodes, before they are seen
    see: Callable[[Tree, State, Tree, Key], State]  # (params, state, obs, key) -> with its classes
    move: Callable[[Tree, State, Array], State]  # (params, state, action) -> classes are the old
    predict: Callable[[Tree, Array], dict]  # (params, features) -> the outputs of each head
    prior: Callable[[Tree, Array], Array]  # (params, past) -> logits [..., G, C] of the classes
    posterior: Callable[[Tree, Array, Tree], Array]  # (params, past, obs) -> those after obs, where
    # past is not used if classes depend on the observation alone
    allowed: Callable[[Tree, Array], Tree]  # (params, features) -> the likely mask
    parts: Callable[[Tree, Transition, Key], dict]  # terms of the loss [L, B] of sequences
    reward: Representation
    spec: Spec


def symlog(x: Array) -> Array:
    """sign(x) log(1 + |x|), elementwise. Source: Hafner et al. (2025), equation 9."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def mixed_logits(logits: Array, uniform: float = 0.01) -> Array:
    """Log-probabilities [..., C] of a mixture with weight `uniform` of the uniform distribution."""
    p = (1 - uniform) * jax.nn.softmax(logits) + uniform / logits.shape[-1]
    return jnp.log(p)


def straight_through(log_probs: Array, key: Key) -> Array:
    """One-hot samples [..., C] with the gradient of their probabilities (Bengio et al. 2013)."""
    p = jnp.exp(log_probs)
    return fixed(one_hot_draw(p, key)) + p - fixed(p)


def divergence(p: Array, q: Array) -> Array:
    """The Kullback-Leibler divergence [...] of groups of classes, from log-probabilities."""
    return (jnp.exp(p) * (p - q)).sum((-1, -2))


def balanced_divergence(
    posterior: Array, prior: Array, balance: float | Array = 0.8, free: float | Array = 1.0
) -> Array:
    """The divergence [...] with weight `balance` for the prior and the rest for the posterior.

    Below `free` nats there is no gradient. The inputs are log-probabilities [..., G, C]. Source:
    Hafner et al. (2021), algorithm 2, and (2025), equation 4.
    """
    clip = lambda x: jnp.maximum(x, free)
    to_prior = clip(divergence(fixed(posterior), prior))
    to_posterior = clip(divergence(posterior, fixed(prior)))
    return balance * to_prior + (1 - balance) * to_posterior


def world(
    spec: Spec,
    backbone: Callable[[int], Backbone],
    groups: int = 8,
    classes: int = 8,
    hidden: Sequence[int] = (128,),
    reward: Representation | None = None,
    balance: float | Array = 0.8,
    free: float | Array = 1.0,
    posterior: str = "observation",
) -> World:
    """A world model; `backbone(inputs)` makes its sequence model.

    With the `posterior` "observation", classes depend on the current observation alone, with
    "history" also on all that was seen before. Observations of type bool are reconstructed as
    independent bits, others by squared errors of their symlog. Rewards are of the representation
    `reward`, by default two-hot on 41 symlog atoms. Where `spec.mask` forbids actions, the mask is
    predicted too, as independent bits. Raises an InputError for an unknown posterior
    or a number that is not positive.
    """
    require_positive(groups=groups, classes=classes)
    require_known("posterior", posterior, POSTERIORS)
    historic = posterior == "history"
    reward = reward or values.critic(
        values.Critic("two-hot", atoms=41, low=-20.0, high=20.0, spacing="symlog")
    )
    leaves = jax.tree.leaves(spec.observation)
    width = sum(math.prod(leaf.shape) for leaf in leaves)
    bits = all(leaf.dtype == jnp.bool_ for leaf in leaves)
    size = groups * classes
    carry = backbone(size + action_size(spec))
    tower = lambda outputs, scale=1.0: Tower(MLP(tuple(hidden), "swish"), outputs, scale)
    modules = {
        "encoder": (tower(size), width + carry.size * historic),
        "prior": (tower(size), carry.size),
        "decoder": (tower(width), carry.size + size),
        "reward": (tower(reward.size, 0.01), carry.size + size),
        "survival": (tower(1, 0.01), carry.size + size),
    }

    masks = () if spec.mask is None else spaces.mask_shapes(spec.action)
    limits = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(masks))
    if limits:
        modules["mask"] = (tower(limits), carry.size + size)

    def run(params: Tree, name: str, x: Array) -> Array:
        return cast(Array, modules[name][0].apply(params[name], x))

    def init(key: Key) -> Tree:
        keys = jax.random.split(key, len(modules) + 1)
        start = {
            name: initialise(module, k, jnp.zeros(inputs))
            for k, (name, (module, inputs)) in zip(keys, modules.items())
        }
        return start | {"backbone": carry.init(keys[-1])}

    def shown(obs: Tree) -> Array:
        return symlog(flat(spec.observation, obs))

    def encoded(params: Tree, past: Array, obs: Tree) -> Array:
        x = shown(obs)
        logits = run(params, "encoder", jnp.concatenate([past, x], -1) if historic else x)
        return mixed_logits(logits.reshape(*logits.shape[:-1], groups, classes))

    def prior(params: Tree, past: Array) -> Array:
        logits = run(params, "prior", past)
        return mixed_logits(logits.reshape(*logits.shape[:-1], groups, classes))

    def drawn(log_probs: Array, key: Key) -> Array:
        return straight_through(log_probs, key).reshape(*log_probs.shape[:-2], size)

    def joined(classes: Array, action: Array) -> Array:
        return jnp.concatenate([classes, flat_action(spec, action)], -1)

    def fresh(batch_size: int) -> State:
        zeros = lambda n: jnp.zeros((batch_size, n))
        return State(carry.memory(batch_size), zeros(carry.size), zeros(size))

    def see(params: Tree, state: State, obs: Tree, key: Key) -> State:
        return state._replace(classes=drawn(encoded(params, state.past, obs), key))

    def move(params: Tree, state: State, action: Array) -> State:
        inputs = joined(state.classes, action)
        memory, past = carry.step(params["backbone"], state.memory, inputs)
        return State(memory, past, state.classes)

    def predict(params: Tree, features: Array) -> dict:
        found = {name: run(params, name, features) for name in ("decoder", "reward", "survival")}
        return found | {"survival": found["survival"][..., 0]}

    def allowed(params: Tree, features: Array) -> Tree:
        leaves, structure = jax.tree.flatten(masks)
        ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
        bits = jnp.split(run(params, "mask", features) > 0, ends[:-1], -1)
        lead = features.shape[:-1]
        shaped = [x.reshape(*lead, *leaf.shape) for x, leaf in zip(bits, leaves)]
        return structure.unflatten(shaped)

    def read_at_once(params: Tree, batch: Transition, key: Key) -> Array:
        now = see(params, fresh(batch.reward.shape[1]), batch.obs, key).classes
        first = jnp.concatenate([jnp.ones_like(batch.last[:1]), batch.last[:-1]])
        return carry.parallel(params["backbone"], joined(now, batch.action), first)

    def read_in_turn(params: Tree, batch: Transition, key: Key) -> Array:
        start = fresh(batch.reward.shape[1])
        return lived(start, partial(see, params), partial(move, params), batch, key)[1].past

    def parts(params: Tree, batch: Transition, key: Key) -> dict:
        k_now, k_next = jax.random.split(key)
        past = (read_in_turn if historic else read_at_once)(params, batch, k_now)
        # The true successors, also where the next row is of another episode.
        after = encoded(params, past, batch.final)
        features = jnp.concatenate([past, drawn(after, k_next)], -1)
        out = predict(params, features)
        target = flat(spec.observation, batch.final)
        error = (
            optax.sigmoid_binary_cross_entropy(out["decoder"], target)
            if bits
            else 0.5 * jnp.square(out["decoder"] - symlog(target))
        )
        found = {}
        if spec.mask is not None:
            bits_of = flat(masks, spec.mask(batch.final))
            wrong = optax.sigmoid_binary_cross_entropy(run(params, "mask", features), bits_of)
            found = {"mask_loss": wrong.sum(-1)}
        return found | {
            "image_loss": error.sum(-1),
            "reward_loss": reward.loss(out["reward"], values.dirac(batch.reward)),
            "end_loss": optax.sigmoid_binary_cross_entropy(out["survival"], batch.discount),
            "divergence": balanced_divergence(after, prior(params, past), balance, free),
        }

    return World(init, fresh, see, move, predict, prior, encoded, allowed, parts, reward, spec)


def latent_model(world: World, params: Tree, states: State) -> Model:
    """A world model as a Model, entered at `states` [B, ...]; it shows its features.

    It shows an `Outlook` if `spec.mask` forbids actions. Classes are sampled from the prior.
    Terminations are not sampled: discounts are the
    probabilities that the episode continues.
    """

    masked = world.spec.mask is not None

    def step(state: State, action: Array, key: Key) -> tuple[State, TimeStep]:
        state = world.move(params, state, action)
        log_probs = world.prior(params, state.past)
        classes = straight_through(log_probs, key).reshape(state.classes.shape)
        state = state._replace(classes=classes)
        out = world.predict(params, state.features)
        paid = values.mean(world.reward.decode(out["reward"]))
        alive = jax.nn.sigmoid(out["survival"])
        shown = state.features
        if masked:
            shown = Outlook(shown, world.allowed(params, shown))
        return state, TimeStep(shown, paid, alive, jnp.zeros_like(paid) > 0, shown, {})

    shape = jax.ShapeDtypeStruct(states.features.shape[1:], jnp.float32)
    spec = world.spec._replace(observation=shape)
    if masked:
        seen = Outlook(shape, spaces.mask_shapes(spec.action))
        spec = spec._replace(observation=seen, mask=lambda seen: seen.mask)
    return Model(lambda obs, key: states, step, spec)


def lived(
    fresh: State, see: Callable, move: Callable, batch: Transition, key: Key
) -> tuple[State, State]:
    """The states [L, B, ...] along sequences, after each observation and after each action."""

    def step(state: State, inputs: tuple) -> tuple[State, tuple[State, State]]:
        row, key = inputs
        seen = see(state, row.obs, key)
        moved = move(seen, row.action)
        return select(row.last, fresh, moved), (seen, moved)

    keys = jax.random.split(key, batch.reward.shape[0])
    return jax.lax.scan(step, fresh, (batch, keys))[1]


def replayed(world: World, params: Tree, batch: Transition, key: Key) -> State:
    """The states [L * B, ...] along sequences [L, B, ...], each after its observation."""
    see, move = partial(world.see, params), partial(world.move, params)
    states, _ = lived(world.blank(batch.reward.shape[1]), see, move, batch, key)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), states)
