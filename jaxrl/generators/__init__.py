"""Generators: flows and diffusion as records of pure functions, for anything with a shape.

- `paths`: from noise to data; what a network may predict there.
- `networks`: the network that predicts, or any function in its place.
- `generator`: `Generator`, its loss and its sampling; diffusion and flow matching as lines of it.
- `likelihood`: densities of samples, and of the steps of sampling.

Examples:
    The examples of this package share a `key` and a sample `x` of two numbers:

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from jaxrl import generators
    >>> key, x = jax.random.key(0), jnp.array([1.0, -2.0])
"""

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

__all__ = [
    "Chain",
    "Denoiser",
    "Generator",
    "Guide",
    "Path",
    "Place",
    "Prediction",
    "chain",
    "chain_log_probs",
    "completed",
    "cosine",
    "denoiser",
    "diffusion",
    "flow_matching",
    "generator",
    "linear",
    "log_prob",
    "noised",
    "path_named",
    "straight",
    "time_features",
    "velocity",
]
