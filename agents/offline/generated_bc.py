"""Behaviour cloning by a generator: diffusion, or flow matching, which is a line of it.

Where the data take one of several actions, so does the policy, and never their mean. Source:
Pearce et al. (2023), "Imitating human behaviour with diffusion models",
https://arxiv.org/abs/2301.10677.
"""

from dataclasses import replace

import optax

from jaxrl.fields import FRACTION, check_fields, number, record, static
from jaxrl.generators import Generation, generated_policy, steered
from jaxrl.networks import Own
from jaxrl.normalise import remembering, shown, standardise
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.steering import Decoder
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import Learner, descend, optimiser_for, polyak, require_buffer


@record
class Hyperparameters:
    """The hyperparameters of cloning by a generator; those not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4)
    """How parameters descend the gradient."""
    generation: Generation = Generation(denoising_steps=10)
    """How actions are made of noise."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the network that acts moves towards the one that learns; 1 copies it."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


def generated_bc(
    spec: Spec,
    hp: Hyperparameters,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """Behaviour cloning of continuous actions in [-1, 1] by `jaxrl.generators.generator`.

    The loss is that of the generator, and actions are samples of it, in evaluation too, by a moving
    average of its parameters. `network`, see `jaxrl.generators.denoiser`, and `optimiser` take the
    place of what `hp` describes. Raises an InputError if the hyperparameters do not fit each other,
    or actions are discrete.
    """
    check_fields(hp)
    require_buffer(hp)
    seen = shown(spec, hp.normalise_observations)
    policy = generated_policy(seen, hp.generation, hp.network, network)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        total = policy.loss(params["actor"], batch, batch.weight, key).mean()
        return total, {"policy_loss": total}

    def act(view: Learner, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return policy.sample(view.target["actor"], obs, key), ()

    init = lambda key: {"actor": policy.init(key)}
    update = descend(init, loss, optimiser_for(hp, optimiser), polyak(hp.target_rate))
    agent = Agent(memoryless(act), memoryless(act), update)
    return remembering(agent, spec, hp)


def of_noise(spec: Spec, hp: Hyperparameters, view: Tree) -> Decoder:
    """The actions of a trained policy by the noise that they are made of, without other noise.

    `view` is what its actors see of the learner. So diffusion samples as DDIM does.
    """
    seen, quiet = shown(spec, hp.normalise_observations), replace(hp.generation, eta=0.0)
    policy = generated_policy(seen, quiet, hp.network)
    if not hp.normalise_observations:
        return steered(policy, view.target["actor"], 1.0)
    decode = steered(policy, view.inner.target["actor"], 1.0)
    return lambda obs, noise: decode(standardise(view.moments, obs), noise)
