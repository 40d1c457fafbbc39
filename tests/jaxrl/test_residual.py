"""Gradients of temporal differences and conjugates of divergences, against numpy by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.divergences import DIVERGENCES, divergence
from jaxrl.errors import InputError
from jaxrl.updates import GRADIENTS, cosine, orthogonal, residual_loss

GAMMA, ETA = 0.9, 0.5


def test_each_combination_is_that_of_two_halves_by_hand():
    """A linear value over two leaves: the projection is one, of means over the whole batch."""
    rng = np.random.default_rng(0)
    now, after = rng.normal(size=(2, 6, 4))
    reward, own, other = rng.normal(size=6), rng.normal(size=4), rng.normal(size=4)
    of = lambda w: {"a": jnp.asarray(w[:1]), "b": jnp.asarray(w[1:])}
    flat = lambda tree: np.concatenate([tree["a"], tree["b"]])
    value = lambda tree, x: x[:, :1] @ tree["a"] + x[:, 1:] @ tree["b"]

    def loss(one, next_one):
        difference = reward + GAMMA * value(next_one, after) - value(one, now)
        return 0.5 * jnp.square(difference).mean()

    error = lambda w, w_next: reward + GAMMA * after @ w_next - now @ w
    forward = -(error(own, other)[:, None] * now).mean(0)
    backward = GAMMA * (error(other, own)[:, None] * after).mean(0)
    part = forward @ backward / (forward @ forward)
    wanted = {
        "semi": forward,
        "true": (error(own, own)[:, None] * (GAMMA * after - now)).mean(0),
        "orthogonal": forward + ETA * (backward - part * forward),
    }
    angle = forward @ backward / np.linalg.norm(forward) / np.linalg.norm(backward)
    for kind in GRADIENTS:
        one = lambda w, kind=kind: residual_loss(loss, w, of(other), kind, ETA)
        (found, diagnosed), slope = jax.value_and_grad(one, has_aux=True)(of(own))
        np.testing.assert_allclose(flat(slope), wanted[kind], atol=1e-5, err_msg=kind)
        at = own if kind == "true" else other
        np.testing.assert_allclose(found, 0.5 * np.square(error(own, at)).mean(), rtol=1e-5)
        np.testing.assert_allclose(diagnosed, angle, atol=1e-5)
    # Of what is orthogonal nothing is taken away, and nothing is divided by a gradient of zero.
    rest, none = of(wanted["orthogonal"] - forward), of(np.zeros(4))
    assert abs(cosine(rest, of(forward))) < 1e-5
    np.testing.assert_array_equal(flat(orthogonal(rest, to=none)), flat(rest))
    assert cosine(rest, none) == 0
    with pytest.raises(InputError, match="There is no gradient called 'full'"):
        residual_loss(loss, of(own), of(other), "full")


@pytest.mark.parametrize("name", DIVERGENCES)
def test_conjugates_are_the_greatest_of_all_ratios(name):
    """By brute force over ratios of a grid; the best ratio is the derivative."""
    w, x = np.linspace(0, 8, 8001), np.linspace(-4, 2, 25)
    points = jnp.asarray(x)
    cost = (w - 1) ** 2 if name == "chi-square" else w * np.log(np.maximum(w, 1e-12)) - w + 1
    each = x[:, None] * w - cost
    dual = divergence(name)
    np.testing.assert_allclose(dual.conjugate(points), each.max(-1), atol=1e-5)
    np.testing.assert_allclose(dual.ratio(points), w[each.argmax(-1)], atol=1.1e-3)
    slope = jax.vmap(jax.grad(lambda x: dual.conjugate(x)))(points + 0.01)
    np.testing.assert_allclose(slope, dual.ratio(points + 0.01), atol=1e-5)
    with pytest.raises(InputError, match="There is no divergence called 'k'"):
        divergence("k")
