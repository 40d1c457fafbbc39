"""The implicit quantile head against its equation, and learning with it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrl import values
from jaxrl.implicit import ImplicitHead, cosine_of_half_turns, with_fractions


def test_cosines_are_those_of_a_wider_type():
    x = np.float32(np.concatenate([np.random.default_rng(0).uniform(-70, 70, 10_000),
                                   np.arange(-63, 64) / 2]))  # fmt: skip
    cosine, slope = jax.jit(jax.vmap(jax.value_and_grad(cosine_of_half_turns)))(x)
    turned = np.pi * x.astype(np.float64)
    np.testing.assert_allclose(cosine, np.cos(turned), rtol=0, atol=3e-7)
    np.testing.assert_allclose(slope, -np.pi * np.sin(turned), rtol=0, atol=3e-6)


def test_head_is_equation_4():
    head = ImplicitHead(actions=3, frequencies=5)
    rng = np.random.default_rng(0)
    x, u = jnp.asarray(rng.normal(size=(2, 7))), jnp.asarray(rng.uniform(size=(2, 4)))
    params = head.init(jax.random.key(0), x, u)
    out = head.apply(params, x, u)
    assert out.shape == (2, 3, 4)
    embed, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    for b in range(2):
        for j in range(4):
            cosines = np.cos(np.pi * np.arange(5) * float(u[b, j]))
            phi = np.maximum(cosines @ np.asarray(embed["kernel"]) + np.asarray(embed["bias"]), 0)
            wanted = (np.asarray(x[b]) * phi) @ np.asarray(last["kernel"])
            np.testing.assert_allclose(out[b, :, j], wanted + last["bias"], atol=1e-5)


def test_fractions_may_be_shared_by_a_batch():
    head = ImplicitHead(actions=2, hidden=(8,))
    x, u = jnp.ones((3, 5, 4)), jnp.linspace(0.1, 0.9, 6)
    params = head.init(jax.random.key(0), x, u)
    shared = head.apply(params, x, u)
    apart = head.apply(params, x, jnp.broadcast_to(u, (3, 5, 6)))
    np.testing.assert_allclose(shared, apart, rtol=1e-5)
    theta = with_fractions(shared, u)
    assert theta.shape == (3, 5, 2, 12)
    np.testing.assert_allclose(theta[..., 6:], np.broadcast_to(u, (3, 5, 2, 6)))


def test_it_learns_the_quantile_function_of_an_exponential():
    """With fresh fractions at each step, and kappa 0: then quantiles at fractions never sampled."""
    head = ImplicitHead(actions=1, frequencies=16, hidden=(32,))
    family = values.implicit_quantile(8, kappa=0.0)
    x = jnp.ones((32, 4))
    params = head.init(jax.random.key(0), x, jnp.zeros((32, 8)))
    optimiser = optax.adam(optax.cosine_decay_schedule(5e-3, 1500))

    def loss(params, key):
        k_fractions, k_target = jax.random.split(key)
        u = jax.random.uniform(k_fractions, (32, 8))
        z = jax.random.exponential(k_target, (32, 16))
        theta = with_fractions(head.apply(params, x, u), u)[..., 0, :]
        d = values.ReturnDistribution(z, jnp.full_like(z, 1 / 16))
        return family.loss(theta, d).mean()

    def step(carry, key):
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(1), 1500)
    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, keys))(
        (params, optimiser.init(params))
    )
    u = jnp.linspace(0.05, 0.9, 18)
    got = head.apply(params, x[0], u)[0]
    # The density of the samples, and so the precision of a quantile, falls with 1 - u.
    assert (np.abs(got + np.log1p(-u)) < 0.1 + 0.05 / (1 - u)).all()
    theta = with_fractions(head.apply(params, x[0], values.midpoints(8)), values.midpoints(8))
    assert abs(values.mean(family.decode(theta[0])) - 1) < 0.15
