"""Backbones: what is read at once must be what is read step by step."""

import jax
import numpy as np
import pytest

from jaxrl.networks.backbones import BACKBONES, backbone
from jaxrl.types import select

KEY = jax.random.key(1)
L, B, D, H = 24, 3, 5, 16
X = np.float32(np.random.default_rng(0).normal(size=(L, B, D)))
START = np.arange(L)[:, None] == np.zeros((1, B), int)  # one episode in each lane
FIRST = START.copy()
FIRST[[7, 20], 1] = True


def build(name, window=8):
    return backbone(name, D, H, layers=2, window=window)


def stepped(net, params, x, first):
    blank = net.memory(x.shape[1])
    step = lambda memory, now: net.step(params, select(now[1], blank, memory), now[0])
    return jax.lax.scan(step, blank, (x, first))[1]


@pytest.mark.parametrize("name", BACKBONES)
def test_parallel_is_step_by_step(name):
    net = build(name)

    @jax.jit
    def both(x, first):
        params = net.init(KEY)
        return net.parallel(params, x, first), stepped(net, params, x, first)

    at_once, by_step = both(X, FIRST)
    assert at_once.shape == (L, B, H)
    np.testing.assert_allclose(at_once, by_step, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_nothing_is_seen_ahead_or_across_episodes(name):
    net = build(name, window=64)

    @jax.jit
    def influence(x, first):
        params = net.init(KEY)
        return jax.jacrev(lambda x: net.parallel(params, x, first).sum(-1)[:, 1])(x)

    strong = np.abs(np.asarray(influence(X, FIRST))[:, :, 1]).max(-1)  # [out, in]
    episode = np.cumsum(FIRST[:, 1])
    allowed = np.tril(np.ones((L, L), bool)) & (episode[:, None] == episode)
    assert (strong[~allowed] == 0).all()
    assert (strong[allowed] > 0).all()


def test_the_memory_of_a_transformer_is_its_window():
    net = build("transformer", window=4)
    change = X.copy()
    change[3] += 1.0
    read = jax.jit(lambda x: net.parallel(net.init(KEY), x, START))
    far = np.asarray(read(X)) - np.asarray(read(change))
    # Two layers look back over three steps each.
    assert (np.abs(far[3:10]).max((1, 2)) > 0).all()
    np.testing.assert_array_equal(far[10:], 0)


def test_a_state_space_is_its_recurrence():
    """One layer against its equations in numpy and complex128, with a matrix power for the past."""
    net = backbone("state-space", D, 8, layers=1)

    @jax.jit
    def run(x):
        params = net.init(KEY)
        return params, net.parallel(params, x, START)

    params, found = jax.tree.map(np.asarray, run(X))
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
        y = y / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))  # GELU
        goal = x[t] + y / (1 + np.exp(-(y @ p["gate"])))
        np.testing.assert_allclose(found[t, 0], goal, atol=1e-4)


def test_backbones_have_names():
    with pytest.raises(ValueError, match="There is no backbone called 'lru'"):
        backbone("lru", D, H)


@pytest.mark.parametrize("name", BACKBONES)
def test_unrolling_goes_on_from_any_memory(name):
    """With the memory of each step, in a window smaller and larger than what went before."""
    for window in (4, 16):
        net = build(name, window)
        params = jax.jit(net.init)(KEY)
        blank = net.memory(B)

        def step(memory, inputs, net=net, params=params, blank=blank):
            x, first = inputs
            memory, y = net.step(params, select(first, blank, memory), x)
            return memory, (memory, y)

        go = lambda step=step, blank=blank: jax.lax.scan(step, blank, (X, FIRST))[1]
        memories, outputs = jax.jit(go)()
        unroll = jax.jit(net.unroll)
        for start in (1, 8, 10):
            before = jax.tree.map(lambda x, at=start: x[at - 1], memories)
            after, y = unroll(params, before, X[start:], FIRST[start:])
            np.testing.assert_allclose(y, outputs[start:], atol=1e-5)
            rest = jax.tree.map(lambda x, at=start: x[at:], memories)
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), after, rest)
