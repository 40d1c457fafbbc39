"""Mixtures of normal distributions, whose conditional expectations along a path are known."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.generators import Denoiser


class Mixture:
    """Normal distributions [K] with means [K, D] and covariances [K, D, D]."""

    def __init__(self, weights, means, covariances):
        self.weights = np.asarray(weights, float)
        self.means = np.asarray(means, float)
        self.covariances = np.asarray(covariances, float)

    def moments(self):
        """The mean [D] and the covariance [D, D]."""
        mean = self.weights @ self.means
        away = self.means - mean
        spread = self.covariances + away[:, :, None] * away[:, None]
        return mean, np.tensordot(self.weights, spread, 1)

    def parts(self, x, a, b):
        """Logarithms [K] of the weighted densities of a point x [D] of the path, and what remains.

        The latter are the C^-1 (x - a m) [K, D] of the components, whose covariances C on the path
        have the axes of those of the data.
        """
        spread, axes = np.linalg.eigh(self.covariances)
        variance = a**2 * spread + b**2
        turned = jnp.einsum("kji,kj->ki", axes, x - a * self.means)
        log = jnp.log(2 * jnp.pi * variance) + turned**2 / variance
        solved = jnp.einsum("kij,kj->ki", axes, turned / variance)
        return jnp.log(self.weights) - 0.5 * log.sum(-1), solved

    def log_prob(self, x, a=1.0, b=0.0):
        """The logarithmic density [] of a point [D] of the path."""
        return jax.scipy.special.logsumexp(self.parts(x, a, b)[0])

    def expected(self, x, a, b):
        """E[x | x_t] and E[e | x_t], both [D]."""
        log, solved = self.parts(x, a, b)
        share = jax.nn.softmax(log)[:, None]
        shrunk = jnp.einsum("kij,kj->ki", self.covariances, solved)
        return (share * (self.means + a * shrunk)).sum(0), (share * b * solved).sum(0)

    def denoiser(self, path, kind):
        """The network that predicts without error."""

        def apply(params, x, time, condition):
            def one(x, time):
                place = path(time)
                data, noise = self.expected(x, place.signal, place.noise)
                velocity = place.signal_slope * data + place.noise_slope * noise
                return {"data": data, "noise": noise, "velocity": velocity}[kind]

            flat = jax.vmap(one)(x.reshape(-1, x.shape[-1]), time.reshape(-1))
            return flat.reshape(x.shape)

        return Denoiser(lambda key: (), apply)


def turned(angle, first, second):
    """A covariance [2, 2] with the deviations `first` and `second` along turned axes."""
    c, s = np.cos(angle), np.sin(angle)
    axes = np.array([[c, -s], [s, c]])
    return axes @ np.diag([first**2, second**2]) @ axes.T


TWO = Mixture(
    [0.3, 0.7], [[-1.0, 0.5], [0.8, -0.4]], [turned(0.5, 0.4, 0.2), turned(-1.0, 0.3, 0.5)]
)
ONE = Mixture([1.0], [[0.5, -0.3]], [turned(0.7, 0.3, 0.6)])
