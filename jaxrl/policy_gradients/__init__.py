"""Estimators of policy gradients, and rules for what is done with them.

- `curvature`: Hessian and Fisher vector products, natural gradients, trust regions, and returns
  whose derivatives of every order are estimates.
- `momentum`: averages of gradients without lag, as optax transformations.
- `sampling_error`: behaviour policies that make a buffer more on-policy.
- `two_sources`: a critic of the policy's own returns and of other data.

Examples:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from jaxrl import dp, policy_gradients
"""

from jaxrl.policy_gradients.curvature import (
    differentiable_return,
    hessian_vector,
    natural_gradient,
    trust_region_step,
)
from jaxrl.policy_gradients.momentum import (
    normalised_hessian_momentum,
    normalised_transport,
    sampling_params,
    scale_by_hessian_momentum,
    scale_by_transport,
)
from jaxrl.policy_gradients.sampling_error import least_sampled, proximal_sampling, sampling_error
from jaxrl.policy_gradients.two_sources import Returns, two_source_critic

__all__ = [
    "Returns",
    "differentiable_return",
    "hessian_vector",
    "least_sampled",
    "natural_gradient",
    "normalised_hessian_momentum",
    "normalised_transport",
    "proximal_sampling",
    "sampling_error",
    "sampling_params",
    "scale_by_hessian_momentum",
    "scale_by_transport",
    "trust_region_step",
    "two_source_critic",
]
