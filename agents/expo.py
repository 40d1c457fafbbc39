"""EXPO: the best of what a generator makes and of its edits, in acting and in targets.

A generator clones the data and what was collected, a small Gaussian policy edits its actions
towards a higher value, and no gradient passes the generator. Source: Dong et al. (2025), "EXPO:
stable reinforcement learning with expressive policies", https://arxiv.org/abs/2507.07986.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.cloning import policy_network, within
from jaxrl.errors import require_continuous
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.generators import Generation, best, candidates, generated_policy
from jaxrl.networks import Own, critic_ensemble
from jaxrl.normalise import remembering, shown
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import Learner, descend, optimiser_for, polyak, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of EXPO; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target critics, and the generator that acts, follow; 1 copies."""
    edit_size: float = number(0.05, NOT_NEGATIVE)
    """Largest change that an edit makes to each element of an action; 0 edits nothing."""
    target_entropy: float = number(-0.5)
    """Target entropy of the edits in [-1, 1], before they are scaled, per action dimension."""
    initial_temperature: float = number(1.0, POSITIVE)
    """Initial temperature, the coefficient of the entropy bonus of edits."""
    candidates: int = static(8, POSITIVE)
    """Number of actions that the generator makes, each of which is edited once."""
    generation: Generation = Generation(denoising_steps=10)
    """How actions are made of noise."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble(10, subset=2)
    """Number of critics, and the reduction of their predictions to one."""
    critic_layer_norm: bool = static(True)
    """Use layer normalisation in the critics, whether or not the actors have it."""
    normalise_observations: bool = static(False)
    """Standardise observations with running statistics of what was collected."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


def expo(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """EXPO for continuous actions in [-1, 1], with critics of any representation.

    Of N actions a_i of the generator and N edited ones, clip(a_i + size u_i) with u_i of the policy
    of edits, given the observation and a_i, the one of the highest value is taken:

        a*(s) = argmax of Q'(s, a) over the 2 N of them,
        target = r + discount Q'(s', a*(s')).

    The choice and the target reduce the target critics over different random subsets. The policy of
    edits maximises Q(s, a + size u) with an entropy bonus as SAC does, at actions of the generator;
    the authors' code has actions of the data there. The generator clones all that is replayed.
    `representation`, `network`, which is the generator's, see `jaxrl.generators.denoiser`, and
    `optimiser` take the place of what `hp` describes. Raises an InputError if the hyperparameters
    do not fit each other, or actions are discrete.
    """
    box = require_continuous(spec, "expo")
    check_fields(hp)
    require_buffer(hp)
    seen, layers = shown(spec, hp.normalise_observations), hp.network
    representation = values.critic(hp.critic) if representation is None else representation
    reduced = partial(values.ensemble_critic, representation, hp.ensemble)
    reduced()  # raises
    base = generated_policy(seen, hp.generation, layers, network)
    normal = replace(layers, layer_norm=hp.critic_layer_norm)
    critics = critic_ensemble(seen, representation.size, hp.ensemble.members, normal)
    action_spec = jax.ShapeDtypeStruct(box.shape, jnp.float32)
    pair = seen._replace(observation={"action": action_spec, "obs": seen.observation})
    editor = policy_network(pair, "squashed", layers)

    def edited(params: Tree, obs: Tree, action: Array, key: Key) -> tuple[Array, Array]:
        policy = editor.at(params, {"action": action, "obs": obs})
        change, log_prob = policy.sample_and_log_prob(seed=key)
        return within(action + hp.edit_size * change), jnp.asarray(log_prob)

    def taken(params: Tree, obs: Tree, key: Key) -> Array:
        k_make, k_edit, k_subset = jax.random.split(key, 3)
        action, many = candidates(base, params["base"], obs, k_make, hp.candidates)
        change, _ = edited(params["editor"], many, action, k_edit)
        both = jnp.concatenate([action, change])
        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), many)
        value = reduced(k_subset).decode(critics.apply(params["critics"], twice, both))
        return best(both, values.mean(value))

    def init(key: Key) -> Tree:
        k_base, k_editor, k_critics = jax.random.split(key, 3)
        temperature = jnp.log(jnp.asarray(hp.initial_temperature, float))
        first = {"base": base.init(k_base), "editor": editor.init(k_editor)}
        return first | {"critics": critics.init(k_critics), "log_temperature": temperature}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_clone, k_next, k_value, k_base, k_edit, k_subset = jax.random.split(key, 6)
        # Critics: the value of the best of the candidates for the successor.
        acting = target | {"editor": fixed(params["editor"])}
        action = taken(acting, batch.final, k_next)
        ensemble = reduced(k_value)
        future = ensemble.decode(critics.apply(target["critics"], batch.final, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = ensemble.loss(critics.apply(params["critics"], batch.obs, batch.action), targets)
        # Generator: it imitates; edits: they climb the critics from what the generator makes.
        cloned = base.loss(params["base"], batch, 1.0, k_clone)
        action = fixed(base.sample(target["base"], batch.obs, k_base))
        action, log_prob = edited(params["editor"], batch.obs, action, k_edit)
        theta = critics.apply(fixed(params["critics"]), batch.obs, action)
        value = values.mean(reduced(k_subset).decode(theta))
        temperature = jnp.exp(params["log_temperature"])
        policy = fixed(temperature) * log_prob - value
        wanted = hp.target_entropy * box.low.size
        balance = -params["log_temperature"] * fixed(log_prob + wanted)
        total = (batch.weight * (error + cloned + policy + balance)).mean()
        metrics = {"critic_loss": error.mean(), "policy_loss": policy.mean()}
        metrics |= {"generator_loss": cloned.mean(), "value": value.mean()}
        return total, metrics | {"temperature": temperature, "entropy": -log_prob.mean()}

    def act(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return taken(view.target | {"editor": view.params["editor"]}, obs, key), ()

    update = descend(init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    agent = Agent(memoryless(act), memoryless(act), update)
    return remembering(agent, spec, hp)
