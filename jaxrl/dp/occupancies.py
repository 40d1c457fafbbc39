"""Distances of occupancies, and what they bound where a reward is only a proxy of another."""

import jax.numpy as jnp

from jaxrl.types import Array


def chi_square_divergence(occupancy: Array, reference: Array) -> Array:
    """Return the chi-square divergence [] of occupancies [S, A], which may have any sum.

    E_reference[(mu / reference)^2] - 1 of the normalised ones; infinite where the policy goes and
    the reference never does.

    Examples:
        >>> print(dp.chi_square_divergence(jnp.array([[0.0, 2.0]]), jnp.array([[0.5, 0.5]])))
        1.0
    """
    mu, reference = occupancy / occupancy.sum(), reference / reference.sum()
    there = reference > 0
    ratio = jnp.where(there, mu / jnp.where(there, reference, 1.0), jnp.where(mu > 0, jnp.inf, 0.0))
    square = jnp.where(mu > 0, mu * ratio, 0.0)
    return square.sum() - 1


def proxy_correlation(reward: Array, proxy: Array, reference: Array) -> Array:
    """Return the correlation [] of two rewards [S, A] under an occupancy [S, A] of any sum.

    It is 0 where one of them is constant there. Source: Laidlaw et al. (2025), "Correlated
    proxies: a new definition and improved mitigation for reward hacking",
    https://arxiv.org/abs/2403.03185.

    Examples:
        >>> r = jnp.array([[1.0, 2.0]])
        >>> print(dp.proxy_correlation(r, 5 - r, jnp.ones((1, 2))))
        -1.0
    """
    weights = reference / reference.sum()
    one, other = (x - (weights * x).sum() for x in (reward, proxy))
    spread = jnp.sqrt((weights * one**2).sum() * (weights * other**2).sum())
    some = spread > 0
    return jnp.where(some, (weights * one * other).sum() / jnp.where(some, spread, 1.0), 0.0)


def guaranteed_gain(
    reward: Array, proxy: Array, occupancy: Array, reference: Array
) -> tuple[Array, Array]:
    """Return the gain [] of a policy over the reference by the reward, and a lower bound of it.

    Gains are differences of means under normalised occupancies [S, A], over the deviation of each
    reward under the reference. For a proxy of correlation c >= 0 with the reward,

        gain >= c gain of the proxy - sqrt(1 - c^2) sqrt(chi-square(occupancy, reference)),

    so that to maximise the proxy minus a multiple of sqrt(chi-square) improves the reward. Source:
    as `proxy_correlation`.

    Examples:
        >>> r, even = jnp.array([[0.0, 1.0]]), jnp.array([[0.5, 0.5]])
        >>> print(*dp.guaranteed_gain(r, 2 * r, jnp.array([[0.0, 1.0]]), even))
        1.0 1.0
    """
    mu, nu = occupancy / occupancy.sum(), reference / reference.sum()

    def gain(x: Array) -> Array:
        spread = jnp.sqrt((nu * (x - (nu * x).sum()) ** 2).sum())
        return ((mu - nu) * x).sum() / spread

    c = proxy_correlation(reward, proxy, reference)
    apart = jnp.sqrt(jnp.maximum(1 - c**2, 0.0) * jnp.maximum(chi_square_divergence(mu, nu), 0.0))
    return gain(reward), c * gain(proxy) - apart
