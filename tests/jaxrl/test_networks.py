"""Layers against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks import linear

KEY = jax.random.key(0)


def plain(x, kernel, bias):
    return x @ kernel + bias


def arrays(*lead):
    keys = jax.random.split(KEY, 3)
    shapes = (*lead, 5), (5, 3), (3,)
    return [jax.random.normal(k, shape) for k, shape in zip(keys, shapes)]


def loss(layer):
    return lambda x, kernel, bias: jnp.sin(layer(x, kernel, bias)).sum()


@pytest.mark.parametrize("lead", [(), (7,), (2, 7)])
def test_the_linear_layer_and_its_gradients_are_those_of_its_definition(lead):
    every = (0, 1, 2)
    got = jax.jit(jax.value_and_grad(loss(linear), every))(*arrays(*lead))
    want = jax.value_and_grad(loss(plain), every)(*arrays(*lead))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), got, want)


def test_it_can_be_mapped_over_parameters_and_differentiated_twice():
    x, kernel, bias = arrays(7)
    kernels = jnp.stack([kernel, -kernel])

    def penalty(layer):
        slope = lambda kernel: jax.grad(loss(layer))(x, kernel, bias)
        return jax.vmap(jax.grad(lambda kernel: (slope(kernel) ** 2).sum()))(kernels)

    np.testing.assert_allclose(penalty(linear), penalty(plain), rtol=1e-4, atol=1e-4)
