"""Generators: flows and diffusion as records of pure functions, for anything with a shape.

- `paths`: from noise to data; what a network may predict there.
- `networks`: the network that predicts, or any function in its place.
- `generator`: `Generator`, its loss and its sampling; diffusion and flow matching as lines of it.
- `likelihood`: densities of samples, and of the steps of sampling.
- `composition`: networks made of others: weighted sums, the search of their weights, and
  predictions that are led.
- `policy`: generators of actions, the best of several, and policies steered by their noise.
- `warm`: plans of several actions that go on from the last plan.

Examples:
    The examples of this package share a `key` and a sample `x` of two numbers:

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from jaxrl import generators
    >>> key, x = jax.random.key(0), jnp.array([1.0, -2.0])
"""

from jaxrl.generators.composition import Lead, composed, led, searched, simplex
from jaxrl.generators.generator import Generator, Guide, diffusion, flow_matching, generator
from jaxrl.generators.likelihood import Chain, chain, chain_log_probs, log_prob
from jaxrl.generators.networks import Denoiser, denoiser, time_features
from jaxrl.generators.paths import (
    Path,
    Place,
    Prediction,
    completed,
    cosine,
    linear,
    noised,
    path_named,
    straight,
    velocity,
)
from jaxrl.generators.policy import (
    GeneratedPolicy,
    Generation,
    best,
    candidates,
    chosen,
    generated_policy,
    steered,
)
from jaxrl.generators.warm import receding, refined

__all__ = [
    "Chain",
    "Denoiser",
    "GeneratedPolicy",
    "Generation",
    "Generator",
    "Guide",
    "Lead",
    "Path",
    "Place",
    "Prediction",
    "best",
    "candidates",
    "chain",
    "chain_log_probs",
    "chosen",
    "completed",
    "composed",
    "cosine",
    "denoiser",
    "diffusion",
    "flow_matching",
    "generated_policy",
    "generator",
    "led",
    "linear",
    "log_prob",
    "noised",
    "path_named",
    "receding",
    "refined",
    "searched",
    "simplex",
    "steered",
    "straight",
    "time_features",
    "velocity",
]
