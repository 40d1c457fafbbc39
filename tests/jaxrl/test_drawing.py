"""Draws of classes: their frequencies against the probabilities, and at the bounds."""

import jax
import numpy as np
from scipy.stats import chisquare

from jaxrl.drawing import one_hot_draw


def test_classes_are_drawn_by_their_probabilities():
    rng = np.random.default_rng(0)
    p = np.float32(rng.dirichlet(np.full(11, 0.3), 4)) + np.float32(0.01)
    p[0, :3], p[1, 4:7], p[2, -3:] = 0, 0, 0
    p[3] = np.eye(11)[9]
    scaled = p * np.float32([[0.2], [1.0], [3.0], [1e-30]])
    keys = jax.random.split(jax.random.key(0), 20_000)
    tally = np.asarray(jax.jit(jax.vmap(one_hot_draw, (None, 0)))(scaled, keys)).sum(0)
    assert (tally.sum(-1) == len(keys)).all()
    assert not one_hot_draw(0 * p, keys[0]).any()
    for row, found in zip(p.astype(np.float64), tally):
        some = row > 0
        assert not found[~some].any()
        expected = row[some] / row.sum() * len(keys)
        assert some.sum() == 1 or chisquare(found[some], expected).pvalue > 1e-4


def test_the_edges_of_the_uniform_draw_are_safe(monkeypatch):
    """The least and the greatest number give the first and the last class that is possible."""
    p = np.float32([[0, 0.1, 1e-8, 0.3, 0.6, 0, 0], [1e-9, 0, 1 / 3, 0, 1 / 3, 1 / 3, 0]])

    @jax.jit
    def run(edge):
        monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: edge + 0 * p[..., 0])
        return one_hot_draw(p, jax.random.key(0)).argmax(-1)

    np.testing.assert_array_equal(run(np.float32(0.0)), [1, 0])
    np.testing.assert_array_equal(run(np.float32(1 - 2.0**-23)), [4, 5])
