"""The passes through networks in a round of each agent of `jaxrl benchmark shares`.

They have the networks, the batches and the numbers of the agents' own rounds, and nothing else: no
sampling, no targets, and the mean square of the outputs in place of the losses.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks.bare import Pass
from jaxrl import values
from jaxrl.action_values import action_values, value_heads
from jaxrl.models import gaussian_mlp
from jaxrl.networks import action_size, blank, critic_ensemble, flat, network
from jaxrl.networks.backbones import backbone
from jaxrl.networks.heads import Heads
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.policies import policy_family, tanh_family
from jaxrl.types import Array, Box, Discrete, Key, Spec, Tree


def key() -> Key:
    """The key of all first parameters, which do not matter."""
    return jax.random.key(0)


def sizes(hp: Any) -> tuple[int, int]:
    """The lanes and the steps of a rollout."""
    return hp.collection.num_envs, hp.collection.rollout_length


def seen(spec: Spec, *lead: int) -> Tree:
    """Observations [*lead, ...] of ones."""
    return jax.tree.map(lambda x: jnp.ones((*lead, *x.shape), x.dtype), blank(spec))


def minibatch(hp: Any) -> tuple[int, int]:
    """The rows of a minibatch, and the number of minibatches in a round."""
    lanes, steps = sizes(hp)
    own = hp.passes
    return lanes * steps // own.minibatches, own.epochs * own.minibatches


def of_ppo(spec: Spec, hp: Any) -> list[Pass]:
    """Actor and critic: acting, the values of successors, and the minibatches."""
    lanes, steps = sizes(hp)
    family, critic = policy_family(spec.action), values.critic(hp.critic)
    net = network(spec, (family.size, critic.size), (0.01, 1.0), **vars(hp.network))
    apply = lambda params, obs: net.step(params, (), obs)[0]
    late = lambda params, obs: apply(params, obs)[1]
    params, (rows, times) = net.init(key()), minibatch(hp)
    return [
        Pass("act", apply, params, seen(spec, lanes), steps),
        Pass("successors", late, params, seen(spec, lanes * steps), 1),
        Pass("learn", apply, params, seen(spec, rows), times, True),
    ]


def of_pqn(spec: Spec, hp: Any) -> list[Pass]:
    """Action values: acting, the values of successors, and the minibatches."""
    lanes, steps = sizes(hp)
    apply, params = action_network(spec, hp)
    rows, times = minibatch(hp)
    return [
        Pass("act", apply, params, seen(spec, lanes), steps),
        Pass("successors", apply, params, seen(spec, lanes * steps), 1),
        Pass("learn", partial(apply, key=key()), params, seen(spec, rows), times, True),
    ]


def action_network(spec: Spec, hp: Any) -> tuple[Callable[..., Array], Tree]:
    """The outputs of a network of action values, and its parameters."""
    objective = values.objective(hp.objective)
    q = action_values(
        spec, values.critic(hp.critic), objective, **vars(hp.network), dueling=hp.dueling
    )
    return q.outputs, q.init(key())


def of_dqn(spec: Spec, hp: Any) -> list[Pass]:
    """Action values: acting, successors under the target and the online network, and learning."""
    lanes, steps = sizes(hp)
    apply, params = action_network(spec, hp)
    size, times = hp.replay.batch_size, hp.replay.updates
    batch, noisy = seen(spec, size), partial(apply, key=key())
    found = [
        Pass("act", apply, params, seen(spec, lanes), steps),
        Pass("target", noisy, params, batch, times),
        Pass("learn", noisy, params, batch, times, True),
    ]
    return [*found, Pass("judge", apply, params, batch, times)] if hp.double else found


def of_r2d2(spec: Spec, hp: Any) -> list[Pass]:
    """A recurrent network: acting, and sequences and their successors under both networks."""
    assert isinstance(spec.action, Discrete)
    lanes, steps = sizes(hp)
    heads, _ = value_heads(spec.action.num, values.critic(hp.critic).size, hp.dueling)
    net = network(spec, heads, (1.0,) * len(heads), **vars(hp.network))
    params, size, times = net.init(key()), hp.replay.batch_size, hp.replay.updates
    obs = seen(spec, hp.sequence_length, size)
    memories = jax.tree.map(lambda x: jnp.stack([x] * hp.sequence_length), net.memory(size))

    def unrolled(params: Tree, obs: Tree) -> tuple[Tree, Tree]:
        length = jax.tree.leaves(obs)[0].shape[0]
        return net.unroll(params, net.memory(size), obs, jnp.zeros((length, size), bool))

    def following(params: Tree, obs: Tree) -> Tree:
        return net.step(params, unrolled(params, obs)[1], obs)[0]

    judged = lambda params, obs: net.step(params, memories, obs)[0]
    act = lambda params, obs: net.step(params, net.memory(lanes), obs)
    found = [
        Pass("act", act, params, seen(spec, lanes), steps),
        Pass("target", following, params, obs, times),
        Pass("judge", judged, params, obs, times),
        Pass("learn", lambda params, obs: unrolled(params, obs)[0], params, obs, times, True),
    ]
    if not hp.burn_in:
        return found
    early, warmed = seen(spec, hp.burn_in, size), lambda params, obs: unrolled(params, obs)[1]
    return [*found, Pass("burn-in", warmed, params, early, 2 * times)]


def actor_critic(spec: Spec, hp: Any, size: int, times: int) -> list[Pass]:
    """A policy with `size` outputs, and critics: `times` gradient steps."""
    assert isinstance(spec.action, Box)
    dimensions = spec.action.low.size
    actor = network(spec, (size,), (0.01,), **vars(hp.network))
    critics = critic_ensemble(spec, values.critic(hp.critic).size, hp.ensemble.members, hp.network)
    policy, judges = actor.init(key()), critics.init(key())
    obs = seen(spec, hp.replay.batch_size)
    action = jnp.zeros((hp.replay.batch_size, dimensions))
    mu = lambda params, obs: jnp.tanh(actor.step(params, (), obs)[0][0][..., :dimensions])
    q = lambda params, inputs: critics.apply(params, *inputs)
    climbed = lambda params, obs: critics.apply(judges, obs, mu(params, obs))
    return [
        Pass("next actions", mu, policy, obs, times),
        Pass("targets", q, judges, (obs, action), times),
        Pass("learn critics", q, judges, (obs, action), times, True),
        Pass("learn actor", climbed, policy, obs, times // hp.actor_period, True),
    ]


def acting(spec: Spec, hp: Any, size: int) -> Pass:
    """A policy with `size` outputs that acts in a rollout."""
    lanes, steps = sizes(hp)
    actor = network(spec, (size,), (0.01,), **vars(hp.network))
    apply = lambda params, obs: actor.step(params, (), obs)[0][0]
    return Pass("act", apply, actor.init(key()), seen(spec, lanes), steps)


def outputs(spec: Spec, stochastic: bool) -> int:
    """The outputs of a policy of continuous actions."""
    assert isinstance(spec.action, Box)
    return tanh_family(spec.action).size if stochastic else spec.action.low.size


def of_sac(spec: Spec, hp: Any) -> list[Pass]:
    """A stochastic policy and critics."""
    size = outputs(spec, True)
    return [acting(spec, hp, size), *actor_critic(spec, hp, size, hp.replay.updates)]


def of_td3(spec: Spec, hp: Any) -> list[Pass]:
    """A deterministic policy and critics; the policy learns every `actor_period` steps."""
    size = outputs(spec, False)
    return [acting(spec, hp, size), *actor_critic(spec, hp, size, hp.replay.updates)]


def of_mbpo(spec: Spec, hp: Any) -> list[Pass]:
    """SAC, an ensemble of models that learns, and imagined steps, each by one member of it."""
    size, fits = outputs(spec, True), hp.replay.updates
    dreams = fits * hp.dreams
    model = gaussian_mlp(spec, hp.members, hp.model_hidden)
    params = model.init(key())
    width = flat(spec.observation, seen(spec)).size + action_size(spec)
    starts = hp.replay.batch_size // hp.horizon
    each = -(-starts // hp.elites)
    few = jax.tree.map(lambda x: x[: hp.elites], params)
    policy = acting(spec, hp, size)
    inputs = jnp.ones((hp.members, hp.replay.batch_size, width))
    steps = dreams * hp.horizon
    return [
        policy,
        Pass("fit the model", model.apply, params, inputs, fits, True),
        Pass("imagine", model.apply, few, jnp.ones((hp.elites, each, width)), steps),
        Pass("act in dreams", policy.apply, policy.params, seen(spec, starts), steps),
        *actor_critic(spec, hp, size, dreams),
    ]


def of_dreamer(spec: Spec, hp: Any) -> list[Pass]:
    """A latent world model, imagined steps in it, and actor and critic on its features."""
    lanes, steps = sizes(hp)
    batch, length, times = hp.replay.batch_size, hp.sequence_length, hp.replay.updates
    width = flat(spec.observation, seen(spec)).size
    classes, rows = hp.groups * hp.classes, batch * length
    carry = backbone(hp.backbone, classes + action_size(spec), hp.size)
    wide = hp.size + classes
    critic = values.critic(hp.critic)
    tower = lambda size: Tower(MLP(tuple(hp.network.hidden), "swish"), size)
    parts = {
        "encoder": (tower(classes), width), "prior": (tower(classes), hp.size),
        "decoder": (tower(width), wide), "reward": (tower(41), wide), "survival": (tower(1), wide),
    }  # fmt: skip
    params = {name: initialise(net, key(), jnp.zeros(size)) for name, (net, size) in parts.items()}
    params |= {"backbone": carry.init(key())}
    make = lambda: MLP(hp.network.hidden, hp.network.activation)
    heads = Heads(make, (policy_family(spec.action).size, critic.size), (0.01, 0.01))
    behaviour = initialise(heads, key(), jnp.zeros(wide))
    run = lambda params, name, x: parts[name][0].apply(params[name], x)
    joined = lambda z, n: jnp.concatenate([z, jnp.zeros((*z.shape[:-1], n))], -1)

    def fitted(params: Tree, obs: Array) -> Tree:
        """The world model's outputs for sequences [L, B, D] and their successors."""
        z, after = run(params, "encoder", obs), run(params, "encoder", obs + 1.0)
        x = joined(z, action_size(spec))
        past = carry.parallel(params["backbone"], x, jnp.zeros(x.shape[:2], bool))
        features = jnp.concatenate([past, after], -1)
        told = [run(params, name, features) for name in ("decoder", "reward", "survival")]
        return told, run(params, "prior", past)

    def replayed(params: Tree, obs: Array) -> Tree:
        """The states along sequences, step by step."""

        def one(memory: Tree, obs: Array) -> tuple[Tree, Array]:
            x = joined(run(params, "encoder", obs), action_size(spec))
            return carry.step(params["backbone"], memory, x)

        return jax.lax.scan(one, carry.memory(obs.shape[1]), obs)[1]

    def seeing(params: Tree, obs: Array) -> Tree:
        z = run(params, "encoder", obs)
        x = joined(z, action_size(spec))
        past = carry.step(params["backbone"], carry.memory(len(z)), x)[1]
        return heads.apply(behaviour, jnp.concatenate([past, z], -1))[0], past

    def imagined(params: Tree, z: Array) -> Tree:
        """A step in the model, and the action that it begins with."""
        past = jnp.zeros((len(z), hp.size)) + z.mean()
        action = heads.apply(behaviour, jnp.concatenate([past, z], -1))[0]
        x = joined(z, action_size(spec)) + action.mean()
        past = carry.step(params["backbone"], carry.memory(len(z)), x)[1]
        features = jnp.concatenate([past, run(params, "prior", past)], -1)
        return [run(params, name, features) for name in ("reward", "survival")]

    criticised = lambda params, x: heads.apply(params, x)[1]
    many = jnp.ones((hp.horizon * rows, wide))
    sequences = jnp.ones((length, batch, width))
    return [
        Pass("act", seeing, params, jnp.ones((lanes, width)), steps),
        Pass("fit the model", fitted, params, sequences, times, True),
        Pass("states along sequences", replayed, params, sequences, times),
        Pass("imagine", imagined, params, jnp.ones((rows, classes)), times * hp.horizon),
        Pass("targets", criticised, behaviour, many, 2 * times),
        Pass("learn", heads.apply, behaviour, many, times, True),
    ]


PASSES: dict[str, Callable[[Spec, Any], list[Pass]]] = {
    "ppo": of_ppo,
    "pqn": of_pqn,
    "dqn": of_dqn,
    "c51": of_dqn,
    "qr-dqn": of_dqn,
    "iqn": of_dqn,
    "sac": of_sac,
    "td3": of_td3,
    "r2d2": of_r2d2,
    "mbpo": of_mbpo,
    "dreamer": of_dreamer,
}
"""The passes in a round of an agent: (spec, hyperparameters) -> passes."""
