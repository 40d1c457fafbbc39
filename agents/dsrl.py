"""DSRL with noise aliasing: a fixed generator is steered by its noise, and valued by its actions.

It learns in the environment of latents that `envs.decoded` makes, with its actions told. Without
aliasing, diffusion steering is `agents.sac` in that environment. Source: Wagenmaker et al. (2025),
"Steering your diffusion policy with latent space reinforcement learning",
https://arxiv.org/abs/2506.15799.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.cloning import policy_actors, policy_network
from jaxrl.environments import require_box, scale_actions
from jaxrl.errors import require, require_continuous
from jaxrl.fields import FRACTION, POSITIVE, check_fields, number, record, static
from jaxrl.networks import Own, critic_ensemble
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.steering import Decoder, Frozen, decoded
from jaxrl.types import Actor, Agent, Array, Box, Env, Key, Spec, Transition, Tree
from jaxrl.updates import descend, optimiser_for, polyak, replayed, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of DSRL; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target critics move towards the critics; 1 copies them."""
    target_entropy: float = number(0.0)
    """Target entropy of the policy of latents per dimension, in nats."""
    initial_temperature: float = number(1.0, POSITIVE)
    """Initial temperature, the coefficient of the entropy bonus."""
    bound: float = number(1.5, POSITIVE)
    """Noise for which the latent 1 stands; the critics of latents learn at normal noise."""
    aliases: int = static(4, POSITIVE)
    """Latents at each observation of a batch at which the critics of latents learn."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble()
    """Number of critics of actions, and the reduction of their predictions to one."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256), layer_norm=True)
    """The network's layers."""


def dsrl(
    spec: Spec,
    hp: Hyperparameters,
    decode: Decoder,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """DSRL with noise aliasing, for latents in [-1, 1] of which `decode` makes actions.

    For latents w of the policy, noise e clipped to the bound, and the actions a that were done,

        Q(s, a) = r + discount Q'(s', decode(s', w')),
        P(s, e / bound) = Q(s, decode(s, e / bound)),

    and the policy maximises P(s, w) with an entropy bonus, as that of SAC does. So latents that
    decode to the same action have the same value, and critics of actions can learn from any data.
    Actions are the signals of the environment: see `envs.decoded`. `representation`, `network`,
    which is the policy's, and `optimiser` take the place of what `hp` describes. Raises an
    InputError if the hyperparameters do not fit each other, latents are not continuous, or the
    environment does not tell its actions.
    """
    box = require_continuous(spec, "dsrl")
    check_fields(hp)
    require_buffer(hp)
    require(
        isinstance(spec.signals, jax.ShapeDtypeStruct),
        "dsrl learns from actions that the environment tells as its signals: make it by "
        "envs.decoded(env, decode, latents, tell=True).",
    )
    layers = hp.network
    representation = values.critic(hp.critic) if representation is None else representation
    reduced = partial(values.ensemble_critic, representation, hp.ensemble)
    reduced()  # raises
    ones = jnp.ones(spec.signals.shape)
    acting = spec._replace(action=Box(-ones, ones))
    critics = critic_ensemble(acting, representation.size, hp.ensemble.members, layers)
    aliased = critic_ensemble(spec, representation.size, 1, layers)
    policy = policy_network(spec, "squashed", layers, network)

    def init(key: Key) -> Tree:
        k_actor, k_critics, k_aliased = jax.random.split(key, 3)
        temperature = jnp.log(jnp.asarray(hp.initial_temperature, float))
        first = {"actor": policy.init(k_actor), "critics": critics.init(k_critics)}
        return first | {"aliased": aliased.init(k_aliased), "log_temperature": temperature}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_next, k_value, k_noise, k_alias, k_now = jax.random.split(key, 5)
        # Critics of actions: the value of what the policy's next latent is decoded to.
        latent = fixed(policy.sample(params["actor"], batch.final, k_next))
        ensemble = reduced(k_value)
        action = decode(batch.final, latent)
        future = ensemble.decode(critics.apply(target["critics"], batch.final, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = ensemble.loss(critics.apply(params["critics"], batch.obs, batch.signals), targets)
        # Critic of latents: what those of actions say of the decoded ones.
        shape = (hp.aliases, *batch.action.shape)
        noise = jnp.clip(jax.random.normal(k_noise, shape) / hp.bound, -1.0, 1.0)
        many = jax.tree.map(lambda x: jnp.broadcast_to(x, (hp.aliases, *x.shape)), batch.obs)
        said = critics.apply(fixed(params["critics"]), many, decode(many, noise))
        worth = fixed(reduced(k_alias).decode(said))
        alias = representation.loss(aliased.apply(params["aliased"], many, noise), worth).mean(0)
        # Policy of latents; then temperature.
        latent, log_prob = policy.at(params["actor"], batch.obs).sample_and_log_prob(seed=k_now)
        theta = aliased.apply(fixed(params["aliased"]), batch.obs, latent)
        value = values.mean(representation.decode(theta))
        temperature = jnp.exp(params["log_temperature"])
        steer = fixed(temperature) * log_prob - value
        wanted = hp.target_entropy * box.low.size
        balance = -params["log_temperature"] * fixed(log_prob + wanted)
        total = (batch.weight * (error + alias + steer + balance)).mean()
        metrics = {"critic_loss": error.mean(), "alias_loss": alias.mean()}
        metrics |= {"policy_loss": steer.mean(), "value": value.mean()}
        return total, metrics | {"temperature": temperature, "entropy": -log_prob.mean()}

    update = descend(init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    return Agent(*policy_actors(policy), replayed(update, hp))


def beside(policy: Frozen) -> dict[str, Any]:
    """How it acts by the noise of a trained policy, and sees environments and data.

    Raises an InputError for a policy that does not make its actions of noise.
    """
    of_noise = policy.of_noise
    require(
        of_noise is not None,
        "dsrl steers a policy that makes its actions of noise, which this one does not: train "
        "flow-bc or diffusion-bc, and name its results folder by --frozen.",
    )
    assert of_noise is not None  # for the type checker

    def decoder(hp: Hyperparameters) -> Decoder:
        return lambda obs, latent: of_noise(obs, hp.bound * latent)

    def world(env: Env, hp: Hyperparameters) -> Env:
        one = jnp.ones_like(require_box(env, "dsrl").low)
        return decoded(scale_actions(env), decoder(hp), Box(-one, one), tell=True)

    def make(spec: Spec, hp: Hyperparameters) -> Agent:
        return dsrl(spec, hp, decoder(hp))

    def told(data: Transition, hp: Hyperparameters) -> Transition:
        # The critics of actions learn from any data; no loss reads the latents of a batch.
        return data._replace(action=jnp.zeros_like(data.action), signals=data.action)

    def acting(actor: Actor, hp: Hyperparameters) -> Actor:
        def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
            latent, memory, extras = actor.step(view, memory, obs, key)
            return decoder(hp)(obs, latent), memory, extras

        return Actor(actor.init, step)

    return {"world": world, "make": make, "told": told, "acting": acting}
