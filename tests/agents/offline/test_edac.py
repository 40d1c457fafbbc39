"""The diversity of EDAC's critics, pair by pair and by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS, sac
from agents.offline.edac import alike
from jaxrl.errors import InputError
from tests.agents.offline.logs import spec_of
from tests.jaxrl.test_cloning import batch_of

KEY = jax.random.key(0)


def by_pairs(weights, actions, width=1e-5):
    """The mean cosine [B] over pairs of critics tanh(a W_i) . 1, with slopes by differences."""
    value = lambda a: np.tanh(np.einsum("bd,edk->bek", a, weights)).sum(-1)  # [B, E]
    slopes = np.stack(
        [(value(actions + e) - value(actions - e)) / (2 * width) for e in width * np.eye(2)], -1
    )
    total, members = np.zeros(len(actions)), weights.shape[0]
    for i in range(members):
        for j in range(members):
            if i != j:
                one, other = slopes[:, i], slopes[:, j]
                sizes = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
                total += (one * other).sum(-1) / sizes
    return total / (members - 1)


def test_cosines_of_all_pairs_and_their_gradient():
    """The gradient is of second order: it passes through that of the values."""
    rng = np.random.default_rng(0)
    weights, actions = rng.normal(size=(4, 2, 3)), rng.uniform(-1, 1, (6, 2))
    each = lambda w, obs, action: jnp.tanh(jnp.einsum("bd,edk->bek", action, w)).sum(-1)
    judge = sac.Judgement(lambda *_: jnp.zeros(6), each, None)
    term = lambda w: alike(0.5, judge, w, batch_of(np.float32(actions)), KEY)
    found, slope = jax.jit(lambda w: (term(w), jax.grad(lambda w: term(w).mean())(w)))(
        jnp.asarray(weights, jnp.float32)
    )
    np.testing.assert_allclose(found, 0.5 * by_pairs(weights, actions), atol=1e-4)
    for place in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[place] = 1e-3
        up, down = (by_pairs(weights + s, actions).mean() for s in (step, -step))
        assert slope[place] == pytest.approx(0.5 * (up - down) / 2e-3, abs=2e-3)


def test_bounds_are_those_of_equal_and_of_balanced_gradients():
    """E critics that are equal have the value E, and those whose unit gradients add up to zero
    have -E / (E - 1)."""
    angles = 2 * np.pi * np.arange(3) / 3
    balanced = np.stack([np.cos(angles), np.sin(angles)], -1)
    for slopes, wanted in ((balanced, -1.5), (np.ones((3, 2)), 3.0)):
        each = lambda w, obs, action, slopes=slopes: action @ jnp.asarray(slopes, jnp.float32).T
        judge = sac.Judgement(lambda *_: jnp.zeros(2), each, None)
        found = alike(1.0, judge, None, batch_of(np.zeros((2, 2), np.float32)), KEY)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_one_critic_is_refused():
    entry = AGENTS["edac"]
    one = entry.defaults.replace(ensemble=entry.defaults.ensemble.replace(members=1))
    with pytest.raises(InputError, match="must be at least 2 for edac"):
        entry.make(spec_of(2, -1), one)
