"""Processes, oracles in float64 numpy, and two minimal representations for these tests."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.dp import from_arrays, stacked
from jaxrl.values import Representation, ReturnDistribution


def degenerate_arrays(states=4, actions=2):
    """Processes of one shape with deterministic rows, ties and the like: {name: arrays}.

    Rewards are integers of size at most 3, except in the last three.
    """
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.full(states, 0.5), (states, actions))
    sure = np.eye(states)[rng.integers(0, states, (states, actions))]
    r = rng.integers(-3, 4, p.shape).astype(float)
    one, initial = np.ones_like(p), np.eye(states)[0]
    paired = np.broadcast_to(r[:, :, :1], p.shape)
    absorbing, unpaid = p.copy(), r.copy()
    absorbing[0], unpaid[0] = np.eye(states)[0], 0
    unreachable = p.copy()
    unreachable[:, :, -1] = 0
    unreachable /= unreachable.sum(-1, keepdims=True)
    trap = np.where(np.arange(states) == states - 1, -3.0, 1.0) + 0 * p
    ends = (rng.random(p.shape) < 0.5).astype(float)
    return {
        "random": (p, r, one, initial),
        "deterministic": (sure, r, one, initial),
        "deterministic, ending": (sure, paired, ends, initial),
        "equal actions": (p[:, :1] + 0 * p, r[:, :1] + 0 * r, one, initial),
        "equal rewards": (p, one, one, initial),
        "absorbing": (absorbing, unpaid, one, initial),
        "unreachable": (unreachable, r, one, initial),
        "impossible and worst": (unreachable, trap, one, initial),
        "all ends": (p, r, 0 * one, initial),
        "zero rewards": (p, 0 * r, one, initial),
        "tiny rewards": (p, 1e-7 * r, one, initial),
        "huge rewards": (p, 1e6 * r, ends, initial),
        "small differences": (sure, 100 + 0.01 * r, one, initial),
    }


DEGENERATE = degenerate_arrays()


def degenerate_stack(names=DEGENERATE):
    """Degenerate processes with a first axis to vmap over."""
    return stacked(from_arrays(*DEGENERATE[name]) for name in names)


def three_arrays():
    """Three states and two actions that never end, whose solutions are known to six decimals."""
    r = np.array([[0.0, 0.2], [1.0, 0.0], [-0.5, 2.0]])
    stay = [[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.0, 0.3, 0.7]]
    go = [[0.1, 0.6, 0.3], [0.4, 0.2, 0.4], [0.5, 0.0, 0.5]]
    p = np.stack([stay, go], 1)
    return p, np.repeat(r[..., None], 3, 2), np.ones_like(p), np.full(3, 1 / 3)


def single_state():
    """One state and one action, for ever."""
    one = np.ones((1, 1, 1))
    return one, 2 * one, one, np.ones(1)


def random_arrays(seed=0, states=7, actions=3, end=0.1):
    """A dense process whose rewards and terminations depend on the successor."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(states, 0.5), (states, actions))
    p[p < 0.02] = 0
    p /= p.sum(-1, keepdims=True)
    r = rng.normal(size=p.shape)
    d = (rng.random(p.shape) >= end).astype(float)
    return p, r, d, np.full(states, 1 / states)


def random_mdp(seed=0, **kw):
    return from_arrays(*random_arrays(seed, **kw))


def float64(mdp):
    return [np.asarray(x, np.float64) for x in mdp[:3]]


def bellman(p, r, d, gamma, value):
    """E[r + gamma d V(s')]: [S, A]."""
    return (p * (r + gamma * d * value)).sum(-1)


def optimal(p, r, d, gamma, sweeps=4000):
    q = np.zeros(p.shape[:2])
    for _ in range(sweeps):
        q = bellman(p, r, d, gamma, q.max(-1))
    return q


def evaluated(p, r, d, gamma, policy):
    """Action values of a policy [S, A], by a linear system."""
    matrix = np.einsum("sa,sat,sat->st", policy, p, gamma * d)
    v = np.linalg.solve(np.eye(len(p)) - matrix, np.einsum("sa,sat,sat->s", policy, p, r))
    return bellman(p, r, d, gamma, v)


def categorical(low, high, size):
    """Probabilities themselves, not logits, on a grid: a minimal C51."""
    grid = jnp.linspace(low, high, size)
    width = (high - low) / (size - 1)

    def project(distribution):
        gap = jnp.clip(distribution.atoms, low, high)[..., None, :] - grid[:, None]
        share = jnp.clip(1 - jnp.abs(gap) / width, 0, 1)
        return (share * distribution.probabilities[..., None, :]).sum(-1)

    decode = lambda theta: ReturnDistribution(jnp.broadcast_to(grid, theta.shape), theta)
    return Representation(size, decode, project, lambda theta, distribution: jnp.zeros(()))


def quantile(size):
    """Equally weighted atoms at the midpoints: a minimal QR-DQN."""
    levels = (jnp.arange(size) + 0.5) / size

    def project(distribution):
        atoms, weights = jax.lax.sort(tuple(distribution), num_keys=1)
        index = (jnp.cumsum(weights, -1)[..., None, :] < levels[:, None] - 1e-6).sum(-1)
        return jnp.take_along_axis(atoms, jnp.minimum(index, atoms.shape[-1] - 1), -1)

    decode = lambda theta: ReturnDistribution(theta, jnp.full_like(theta, 1 / size))
    return Representation(size, decode, project, lambda theta, distribution: jnp.zeros(()))


def cvar(level):
    """The mean of the worst share of outcomes."""

    def statistic(distribution):
        atoms, weights = jax.lax.sort(tuple(distribution), num_keys=1)
        below = jnp.cumsum(weights, -1) - weights
        return (jnp.clip(level - below, 0, weights) * atoms).sum(-1) / level

    return statistic
