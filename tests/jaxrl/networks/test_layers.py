"""Layers against their definitions."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.networks import Heads
from jaxrl.networks.layers import CNN, MLP, initialise, linear, orthogonal

KEY = jax.random.key(0)


def plain(x, kernel, bias):
    return x @ kernel + bias


def arrays(*lead):
    rng = np.random.default_rng(0)
    return [np.float32(rng.normal(size=shape)) for shape in ((*lead, 5), (5, 3), (3,))]


def loss(layer):
    return lambda x, kernel, bias: jnp.sin(layer(x, kernel, bias)).sum()


@pytest.mark.parametrize("lead", [(), (7,), (2, 7)])
def test_the_linear_layer_and_its_gradients_are_those_of_its_definition(lead):
    every = (0, 1, 2)
    both = lambda *x: [jax.value_and_grad(loss(f), every)(*x) for f in (linear, plain)]
    got, want = jax.jit(both)(*arrays(*lead))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), got, want)


def test_it_can_be_mapped_over_parameters_and_differentiated_twice():
    x, kernel, bias = arrays(7)

    def penalty(layer, kernels):
        slope = lambda kernel: jax.grad(loss(layer))(x, kernel, bias)
        return jax.vmap(jax.grad(lambda kernel: (slope(kernel) ** 2).sum()))(kernels)

    both = jax.jit(lambda kernels: (penalty(linear, kernels), penalty(plain, kernels)))
    np.testing.assert_allclose(*both(np.stack([kernel, -kernel])), rtol=1e-4, atol=1e-4)


def test_weights_begin_orthogonal_and_with_their_gains():
    """As `module.init` would make them, in every kind of network."""
    actor = Heads(lambda: MLP((6, 6), layer_norm=True), (3, 1), (0.01, 1.0))
    members = nn.vmap(
        MLP, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=3
    )((6, 2))
    for module, x in [(actor, jnp.ones(4)), (members, jnp.ones(4)), (CNN(2), jnp.ones((5, 5, 1)))]:
        both = lambda key, m=module, x=x: (initialise(m, key, x), m.init(key, x))
        own, made = jax.tree.map(np.asarray, jax.jit(both)(KEY))
        chex.assert_trees_all_equal_shapes_and_dtypes(own, made)
        for (path, new), old in zip(jax.tree.leaves_with_path(own), jax.tree.leaves(made)):
            if "kernel" not in str(path):
                np.testing.assert_array_equal(new, old)
                continue
            turned, wide = (lambda w: np.swapaxes(w, -1, -2)), new.shape[-2] < new.shape[-1]
            square = lambda w, t=turned, wide=wide: w @ t(w) if wide else t(w) @ w
            np.testing.assert_allclose(square(new), square(old), atol=1e-5)
            assert not np.allclose(new, old)
        if module is members:
            kernel = own["params"]["Dense_0"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])


def test_orthogonal_matrices_are_equally_likely():
    """The entries of one of size n have the moments 0, 1/n and 3/(n (n + 2))."""
    normal = np.random.default_rng(0).normal(size=(20_000, 3, 3))
    q = np.asarray(jax.jit(orthogonal)(np.float32(normal)))
    for power, moment in [(1, 0.0), (2, 1 / 3), (4, 1 / 5)]:
        np.testing.assert_allclose((q**power).mean(0), moment, atol=0.02)
