"""Policies that are generators of actions, so that they have as many modes as the data.

policy = generated_policy(spec, Generation(process="flow"))
loss = policy.loss(params, batch, 1.0, key)
action = policy.sample(params, obs, key)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.cloning import within
from jaxrl.errors import require, require_continuous, require_known, require_positive
from jaxrl.fields import FRACTION, POSITIVE, group, static
from jaxrl.generators.generator import Generator, diffusion, flow_matching
from jaxrl.generators.networks import denoiser
from jaxrl.generators.paths import path_named
from jaxrl.networks import Own
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree

PROCESSES = ("diffusion", "flow")


@group
class Generation:
    """How a policy makes actions of noise."""

    process: str = static("diffusion")
    """How actions are made of noise: diffusion or flow."""
    denoising_steps: int = static(5, POSITIVE)
    """Steps in which an action is made of noise, each of which is one pass of the network."""
    noise_schedule: str = static("cosine")
    """Noise schedule of diffusion: cosine, or linear with rates from 0.1 to 10."""
    prediction: str = static("noise")
    """What the network of diffusion predicts: data, noise or velocity."""
    eta: float = static(1.0, FRACTION)
    """Noise of the steps of diffusion: 1 is that of the posterior, as in DDPM, and 0 none, as in
    DDIM."""
    solver: str = static("euler")
    """Method of integration of a flow: euler or heun."""


class GeneratedPolicy(NamedTuple):
    """A generator of actions in [-1, 1], given an observation."""

    generator: Generator
    init: Callable[[Key], Tree]
    observation: Tree  # that of the spec

    def loss(self, params: Tree, batch: Transition, weight: float | Array, key: Key) -> Array:
        """The loss [...] of imitating the actions of a batch, times fixed weights [...]."""
        error = self.generator.loss(params, batch.action, batch.obs, key)
        return jax.lax.stop_gradient(weight) * error

    def of_noise(self, params: Tree, obs: Tree, noise: Array, key: Key) -> Array:
        """The actions [..., *action] at obs [..., *] that are made of noise [..., *action]."""
        return within(self.generator.sample(params, noise, obs, key))

    def sample(self, params: Tree, obs: Tree, key: Key) -> Array:
        """Actions [..., *action] at obs [..., *], clipped to [-1, 1]."""
        k_noise, k_sample = jax.random.split(key)
        noise = self.generator.noise(k_noise, *leading(self.observation, obs))
        return self.of_noise(params, obs, noise, k_sample)


def leading(spec: Tree, tree: Tree) -> tuple[int, ...]:
    """The leading axes of a tree [..., *] whose leaves have the shapes that a spec says."""
    one, leaf = jax.tree.leaves(spec)[0], jax.tree.leaves(tree)[0]
    return leaf.shape[: leaf.ndim - len(one.shape)]


def generated_policy(
    spec: Spec,
    settings: Generation = Generation(),
    layers: Layers = Layers(hidden=(256, 256)),
    own: Own = None,
) -> GeneratedPolicy:
    """The policy of continuous actions that settings describe.

    Expected actions of diffusion are clipped to [-1, 1] in every step, and those of a flow at the
    end. A person's `own` network takes the place of the usual one, see `denoiser`. Raises an
    InputError for discrete actions, or names that do not exist.

    Examples:
        >>> from jaxrl.types import Box, Spec
        >>> spec = Spec(jax.ShapeDtypeStruct((3,), float), Box(-jnp.ones(2), jnp.ones(2)))
        >>> policy = generators.generated_policy(spec)
        >>> print(policy.sample(policy.init(key), jnp.zeros((4, 3)), key).shape)
        (4, 2)
    """
    shape = require_continuous(spec, "A generator of actions").shape
    require_known("process", settings.process, PROCESSES)
    network, steps = denoiser(shape, spec.observation, layers, own), settings.denoising_steps
    if settings.process == "flow":
        made = flow_matching(network, shape, steps, settings.solver)
    else:
        path = path_named(settings.noise_schedule)
        made = diffusion(network, shape, path, settings.prediction, steps, settings.eta, bound=1.0)
    return GeneratedPolicy(made, network.init, spec.observation)


def candidates(policy: GeneratedPolicy, params: Tree, obs: Tree, key: Key, number: int) -> tuple:
    """A `number` N of actions [N, ..., *action] at obs [..., *], and obs [N, ..., *] beside them.

    Examples:
        >>> from jaxrl.types import Box, Spec
        >>> spec = Spec(jax.ShapeDtypeStruct((3,), float), Box(-jnp.ones(2), jnp.ones(2)))
        >>> policy = generators.generated_policy(spec)
        >>> obs = jnp.zeros((4, 3))
        >>> print(generators.candidates(policy, policy.init(key), obs, key, 7)[0].shape)
        (7, 4, 2)
    """
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), obs)
    return policy.sample(params, many, key), many


def best(action: Array, value: Array) -> Array:
    """The action [..., *action] of the highest value, of N actions [N, ..., *action].

    Values are [N, ...]. With many samples of full support it is the action of the highest value of
    all.

    Examples:
        >>> print(generators.best(jnp.array([[5.0], [6.0]]), jnp.array([2.0, 1.0])))
        [5.]
    """
    return chosen(action, value.argmax(0))


def chosen(action: Array, index: Array) -> Array:
    """The actions [..., *action] at indices [...] of N actions [N, ..., *action].

    Examples:
        >>> print(generators.chosen(jnp.array([[5.0], [6.0]]), jnp.array(1)))
        [6.]
    """
    index = index.reshape(1, *index.shape, *(1,) * (action.ndim - index.ndim - 1))
    return jnp.take_along_axis(action, index, 0)[0]


def steered(
    policy: GeneratedPolicy, params: Tree, bound: float = 1.5
) -> Callable[[Tree, Array], Array]:
    """The function (obs, latent) -> action of a fixed policy, whose noise the latent is.

    Observations are [..., *], latents and actions [..., *action]. The latent in [-1, 1], times the
    bound, is the noise of which the policy makes its action. So whoever chooses latents steers the
    policy: see `envs.decoded`. Source: Wagenmaker et al. (2025), "Steering your diffusion policy
    with latent space reinforcement learning", https://arxiv.org/abs/2506.15799; the bound is that
    of the authors' code. Raises an InputError if the policy's steps have noise, or for a bound that
    is not positive.

    Examples:
        >>> from jaxrl.types import Box, Spec
        >>> spec = Spec(jax.ShapeDtypeStruct((3,), float), Box(-jnp.ones(2), jnp.ones(2)))
        >>> policy = generators.generated_policy(spec, generators.Generation("flow"))
        >>> act = generators.steered(policy, policy.init(key))
        >>> print(act(jnp.zeros((4, 3)), jnp.zeros((4, 2))).shape)
        (4, 2)
    """
    require_positive(bound=bound)
    require(
        not policy.generator.noisy,
        "Only a policy without noise in its steps can be steered: set eta to 0, or process to "
        "flow.",
    )

    def act(obs: Tree, latent: Array) -> Array:
        return within(policy.generator.sample(params, bound * latent, obs, None))

    return act
