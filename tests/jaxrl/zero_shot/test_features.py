"""Hilbert embeddings of graphs, against classical scaling of exact distances."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.goals.intentions import Intended
from jaxrl.zero_shot import centred, hilbert_distance, hilbert_loss, regressed_task, toward

LINE = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
STAR = [(0, 1), (0, 2), (0, 3)]
LOOP = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)]


def discounted_lengths(edges, gamma):
    """(1 - gamma^n) / (1 - gamma) for the n steps [S, S] of shortest paths."""
    states = max(max(edge) for edge in edges) + 1
    steps = np.full((states, states), np.inf)
    np.fill_diagonal(steps, 0)
    for a, b in edges:
        steps[a, b] = steps[b, a] = 1
    for k in range(states):
        steps = np.minimum(steps, steps[:, [k]] + steps[[k]])
    return (1 - gamma**steps) / (1 - gamma)


def embedded(distance):
    """The nearest points [S, S] by classical scaling, exact where there are exact ones."""
    states = len(distance)
    centre = np.eye(states) - 1 / states
    values, vectors = np.linalg.eigh(-centre @ distance**2 @ centre / 2)
    return vectors * np.sqrt(np.maximum(values, 0))


@jax.jit
def losses(points, now, after, goal, gamma):
    """The losses of all steps and goals of one embedding, at the level 1."""
    there = now == goal
    steps = Intended(now, after, now, goal, there, there)
    embed = lambda params, obs: params[obs]
    return hilbert_loss(embed, points, points, steps, gamma, 1.0)


def residual(edges, gamma):
    """The largest loss of the embedding, of graphs that are repeated to the same size."""
    distance = discounted_lengths(edges, gamma)
    points, states = embedded(distance), len(distance)
    points = np.pad(points, (0, 6 - states))[:, None]  # of one network
    pairs = np.resize(np.array(edges + [edge[::-1] for edge in edges]), (12, 2))
    goal = np.tile(np.arange(6) % states, 12)
    now, after = np.repeat(pairs, 6, 0).T
    return float(losses(points, now, after, goal, gamma).max())


def test_which_graphs_have_hilbert_distances():
    """A line has; a star up to a discount of sqrt(3) - 1, and a loop of six hardly ever."""
    assert residual(LINE, 0.9) < 1e-5
    assert residual(STAR, 0.72) < 1e-6
    assert residual(STAR, 0.9) > 2e-3
    assert residual(LOOP, 0.9) > 2e-3


def test_distances_centres_and_directions():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, 3))
    found = hilbert_distance(jnp.asarray(one), jnp.asarray(other))
    np.testing.assert_allclose(found, np.linalg.norm(one - other, axis=-1), rtol=1e-5)
    weight = np.array([1.0, 0.0, 2.0, 1.0, 1.0, 3.0])
    phi = np.asarray(centred(jnp.asarray(one), jnp.asarray(weight)))
    share = weight / weight.sum()
    np.testing.assert_allclose(share @ phi, 0, atol=1e-6)
    np.testing.assert_allclose(share @ (phi**2).sum(-1), 3, rtol=1e-5)
    # A constant beside a reward in the span changes no task.
    reward = phi @ np.array([1.0, -2.0, 0.5])
    for constant in (0.0, 7.0):
        z = regressed_task(jnp.asarray(phi), jnp.asarray(reward + constant), weight, 1e-6)
        np.testing.assert_allclose(z, [1.0, -2.0, 0.5], atol=1e-3)
    way = np.asarray(toward(jnp.asarray(one), jnp.asarray(other)))
    np.testing.assert_allclose(np.linalg.norm(way, axis=-1), np.sqrt(3), rtol=1e-5)
    np.testing.assert_allclose(way, toward(2 * one, 2 * other), rtol=1e-5)
