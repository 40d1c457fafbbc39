"""SAC with a memory, for environments that do not show their state.

The critics' loss trains the memory, and the actor reads what it holds, without changing it. As in
R2D2, sequences are replayed from the memory stored when they were collected, after burn-in steps
that only bring it up to date (Kapturowski et al. 2019). Source: Yang and Nguyen (2021), "Recurrent
off-policy baselines for memory-based continuous control", https://arxiv.org/abs/2110.12628, there
with a memory for each network; Ni et al. (2022), https://arxiv.org/abs/2110.05038.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import distrax
import jax
import jax.numpy as jnp
import optax

from agents import sac
from jaxrl import networks, values
from jaxrl.errors import require, require_continuous
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, check_fields, record, static
from jaxrl.networks import reread
from jaxrl.normalise import replaying, shown
from jaxrl.settings import Collection, Layers, Recurrent, Replay
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import Learner, replayed, require_buffer


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of recurrent SAC: those of SAC, and of sequences."""

    burn_in: int = static(4, NOT_NEGATIVE)
    """Steps at the start of a sequence that only refresh its memory; 0 uses the stored memory."""
    sequence_length: int = static(16, POSITIVE)
    """Steps of a sequence after the burn-in, which the loss is on."""
    collection: Collection = Collection(num_envs=4, rollout_length=4, warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(updates=4, batch_size=32)
    """How stored experience is learnt from."""
    network: Recurrent = Recurrent(memory="gru")
    """The layers before the memory, and again those of the actor and the critics after it."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """Replay sequences uniformly; their first steps are the burn-in."""
    return replayed(update, hp, hp.burn_in + hp.sequence_length)


def recurrent_sac(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    schedule: Callable[[Update, Hyperparameters], Update] = remember,
    *,
    network: networks.Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """SAC whose actor and critics see the features of one memory in place of observations.

    `schedule` decides from which sequences it learns. `representation`, `network`, which is the
    memory's and has one output of `hidden[-1]` features, and `optimiser` take the place of what
    `hp` describes. Raises an InputError if the hyperparameters do not fit each other, or actions
    are not continuous.
    """
    check(spec, hp)
    space, width = require_continuous(spec, "recurrent-sac"), hp.network.hidden[-1]
    representation = values.critic(hp.critic) if representation is None else representation
    seen = shown(spec, hp.normalise_observations)
    net = networks.network(seen, (width,), (1.0,), **vars(hp.network), own=network)
    features = spec._replace(observation=jax.ShapeDtypeStruct((width,), jnp.result_type(float)))
    layers = Layers(hp.network.hidden, hp.network.activation, "mlp", hp.network.layer_norm)
    heads = sac.networks(features, replace(hp, network=layers), representation)
    losses = sac.objectives(space, hp, representation, heads)
    fixed = jax.lax.stop_gradient

    def init(key: Key) -> Tree:
        k_memory, k_heads = jax.random.split(key)
        return heads.init(k_heads) | {"memory": net.init(k_memory)}

    def look(params: Tree, target: Tree, batch: Transition) -> tuple[Transition, sac.Sight]:
        late, ((now,), (following,)) = reread(net, params["memory"], batch, hp.burn_in)
        _, (_, (judged,)) = reread(net, target["memory"], batch, hp.burn_in)
        return late, sac.Sight(now, fixed(now), fixed(following), judged)

    def act(choose: Callable, view: Learner, memory: Tree, obs: Tree, key: Key) -> tuple:
        (x,), after = net.step(view.params["memory"], memory, obs)
        return choose(heads.pi(view.params, x), key), after, memory

    def sampled(policy: distrax.Distribution, key: Key) -> Array:
        return policy.sample(seed=key)

    explore = Actor(net.memory, partial(act, sampled))
    exploit = Actor(net.memory, partial(act, lambda policy, key: policy.mode()))
    agent = Agent(explore, exploit, sac.descent(init, look, losses, hp, optimiser))
    return replaying(agent, spec, lambda inner: schedule(inner, hp), hp.normalise_observations)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "recurrent-sac")
    check_fields(hp)
    require(
        not hp.actor_sees,
        "recurrent-sac's actor sees what the critics' memory holds: leave actor_sees empty.",
    )
    require_buffer(hp, hp.burn_in + hp.sequence_length)
