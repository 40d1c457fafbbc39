"""Backbones: what is read at once must be what is read step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.models.backbones import BACKBONES, backbone
from jaxrl.types import select

KEY = jax.random.key(0)
L, B, D, H = 24, 3, 5, 16
X = jax.random.normal(KEY, (L, B, D))
FIRST = jnp.zeros((L, B), bool).at[0].set(True).at[7, 1].set(True).at[20, 1].set(True)


def build(name, window=8):
    net = backbone(name, D, H, layers=2, window=window)
    return net, net.init(jax.random.key(1))


def stepped(net, params, x, first):
    memory, found = net.memory(x.shape[1]), []
    blank = net.memory(x.shape[1])
    for t in range(x.shape[0]):
        memory, y = net.step(params, select(first[t], blank, memory), x[t])
        found.append(y)
    return jnp.stack(found)


@pytest.mark.parametrize("name", BACKBONES)
def test_parallel_is_step_by_step(name):
    net, params = build(name)
    both = jax.jit(lambda: (net.parallel(params, X, FIRST), stepped(net, params, X, FIRST)))
    at_once, by_step = both()
    assert at_once.shape == (L, B, H)
    np.testing.assert_allclose(at_once, by_step, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_nothing_is_seen_ahead_or_across_episodes(name):
    net, params = build(name, window=64)
    lane = lambda x: net.parallel(params, x, FIRST).sum(-1)[:, 1]
    influence = jax.jit(jax.jacrev(lane))(X)[:, :, 1]  # [out, in, D]
    strong = np.abs(influence).max(-1)
    episode = np.asarray(jnp.cumsum(FIRST[:, 1]))
    allowed = np.tril(np.ones((L, L), bool)) & (episode[:, None] == episode)
    assert (strong[~allowed] == 0).all()
    assert (strong[allowed] > 0).all()


def test_the_memory_of_a_transformer_is_its_window():
    net, params = build("transformer", window=4)
    first = jnp.zeros((L, B), bool).at[0].set(True)
    change = X.at[3].add(1.0)
    far = net.parallel(params, X, first) - net.parallel(params, change, first)
    # Two layers look back over three steps each.
    assert (np.abs(far[3:10]).max((1, 2)) > 0).all()
    np.testing.assert_array_equal(far[10:], 0)


def test_a_state_space_is_its_recurrence():
    """One layer against its equations in numpy and complex128, with a matrix power for the past."""
    net = backbone("state-space", D, 8, layers=1)
    params = net.init(jax.random.key(1))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params["layers"][0])
    a = -np.exp(p["decay"]) + 1j * p["frequency"]
    factor = np.exp(np.exp(p["step"]) * a)
    b = (p["b"][0] + 1j * p["b"][1]) * ((factor - 1) / a)
    c = p["c"][0] + 1j * p["c"][1]
    x = np.asarray(X[:, 0], np.float64) @ np.asarray(params["in"], np.float64)
    u = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    for t in (0, 5, L - 1):
        state = sum(factor ** (t - s) * (u[s] @ b) for s in range(t + 1))
        y = 2 * (state @ c).real + p["d"] * u[t]
        y = np.asarray(jax.nn.gelu(jnp.asarray(y)), np.float64)
        goal = x[t] + y / (1 + np.exp(-(y @ p["gate"])))
        found = net.parallel(params, X, jnp.zeros((L, B), bool).at[0].set(True))[t, 0]
        np.testing.assert_allclose(found, goal, atol=1e-4)


def test_backbones_have_names():
    with pytest.raises(ValueError, match="There is no backbone called 'lru'"):
        backbone("lru", D, H)
