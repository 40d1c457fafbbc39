"""Inverse models: what they label, what they cannot, and that they stop early."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.data import labelled
from jaxrl.inverse import inverse_model
from jaxrl.settings import Layers
from jaxrl.types import Box, Spec, Transition

SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-jnp.ones(2), jnp.ones(2)))


def steps(key, effect, number=1000):
    """Steps s' = s + effect(a) of random actions, as a data set [N, 1, ...]."""
    k_obs, k_act = jax.random.split(key)
    obs = jax.random.normal(k_obs, (number, 1, 2))
    action = jax.random.uniform(k_act, (number, 1, 2), minval=-0.9, maxval=0.9)
    one = jnp.ones((number, 1))
    return Transition(obs, action, one, one, one > 0, obs + effect(action), (), one)


def test_unknown_actions_are_labelled_where_one_action_explains_a_step():
    """A tenth of the actions is known. Of products of two numbers, signs are not identified."""
    mixed = jnp.array([[0.8, -0.6], [0.6, 0.8]])
    effects = {"one": lambda a: a @ mixed, "two": lambda a: a[..., :1] * a[..., 1:] * jnp.ones(2)}
    for name, effect in effects.items():

        def error(key, effect=effect):
            k_data, k_fit = jax.random.split(key)
            data = steps(k_data, effect)
            known = jnp.arange(1000)[:, None] % 10 == 0
            hidden = data._replace(action=jnp.where(known[..., None], data.action, 7.0))
            inverse = inverse_model(
                SPEC, hidden, k_fit, known, layers=Layers((32,)), steps=800, batch_size=64,
                learning_rate=5e-3,
            )  # fmt: skip
            new = labelled(hidden, inverse, known)
            kept = jnp.where(known[..., None], new.action - data.action, 0.0)
            return jnp.abs(new.action - data.action).mean(), jnp.abs(kept).max()

        found, kept = jax.jit(jax.vmap(error))(jax.random.split(jax.random.key(0), 3))
        assert not np.asarray(kept).any()
        if name == "one":
            assert (np.asarray(found) < 0.12).all(), found
        else:
            assert (np.asarray(found) > 0.3).all(), found


def test_the_best_of_what_was_held_out_is_kept():
    """Labels are noise: the best model says nothing, and the last one repeats what it has seen."""

    def size(key, checks):
        k_data, k_noise, k_fit = jax.random.split(key, 3)
        data = steps(k_data, lambda a: 0 * a, 80)
        noise = jax.random.uniform(k_noise, data.action.shape, minval=-0.9, maxval=0.9)
        inverse = inverse_model(
            SPEC, data._replace(action=noise), k_fit, layers=Layers((64, 64)), steps=700,
            batch_size=32, learning_rate=3e-3, held_out=0.3, checks=checks,
        )  # fmt: skip
        return jnp.abs(inverse(data.obs, data.final)).mean()

    keys = jax.random.split(jax.random.key(1), 6)
    early, late = (np.asarray(jax.jit(jax.vmap(lambda k, c=c: size(k, c)))(keys)) for c in (30, 1))
    error = (late - early).std(ddof=1) / np.sqrt(len(keys))
    assert (late - early).mean() - 4 * error > 0.05, (early, late)
