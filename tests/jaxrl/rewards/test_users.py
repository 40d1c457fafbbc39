"""Users who want opposite things: a latent of each, from its own comparisons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import norm

from jaxrl.errors import InputError
from jaxrl.rewards.segments import Comparisons
from jaxrl.rewards.users import Latent, divergence_from_prior, user_learner, user_model
from jaxrl.settings import Layers
from jaxrl.types import Discrete, Spec, Transition
from tests.compiling import OPTIMISED

SPEC = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Discrete(2))
MODEL = user_model(SPEC, 1, Layers(hidden=(16,)))


def asked(key, sign, number):
    """Comparisons [1, N] of places, by a user who wants to go right (1) or left (-1)."""
    obs = jax.random.normal(key, (2, 1, number, 1))
    ones = jnp.ones((1, number))
    pair = [Transition(x, ones.astype(int), ones, ones, ones < 0, x, (), ones) for x in obs]
    better = sign * (obs[0, 0, :, 0] - obs[1, 0, :, 0]) > 0
    return Comparisons(pair[0], pair[1], better.astype(jnp.float32), jnp.ones(number))


def test_users_of_two_kinds_are_told_apart_by_eight_comparisons():
    """And the order of comparisons, or of a pair, tells nothing."""
    update = user_learner(MODEL, optax.adam(2e-2), divergence=0.01)

    @jax.jit
    def accuracy(key):
        k_init, k_learn, k_new, k_held = jax.random.split(key, 4)
        signs = jnp.array([1.0, -1.0] * 4)

        def step(state, key):
            k_ask, k_fit = jax.random.split(key)
            batch = jax.vmap(asked, (0, 0, None))(jax.random.split(k_ask, 8), signs, 8)
            return update.apply(state, batch, k_fit)

        state = update.init(k_init, asked(k_init, 1.0, 8).first)
        state, told = jax.lax.scan(step, state, jax.random.split(k_learn, 200))
        params = state.params

        def judged(k_own, k_held, sign):
            own, held = asked(k_own, sign, 8), asked(k_held, sign, 50)
            z = MODEL.posterior(params, own).mean
            pay = lambda x: MODEL.reward(params, x.obs, x.action, z)[0]
            right = (pay(held.first) > pay(held.second)) == (held.label > 0.5)
            return right.mean()

        news, helds = jax.random.split(k_new, 8), jax.random.split(k_held, 8)
        own = asked(k_new, 1.0, 8)
        order = jax.random.permutation(k_held, 8)
        shuffled = Comparisons(
            *(jax.tree.map(lambda x: x[:, order], x) for x in own[:2]), own.label[order], own.weight
        )
        turned = Comparisons(own.second, own.first, 1 - own.label, own.weight)
        latents = [MODEL.posterior(params, x).mean for x in (own, shuffled, turned)]
        return jax.vmap(judged)(news, helds, signs), latents, told["latent_divergence"][-1]

    run = jax.jit(jax.vmap(accuracy), compiler_options=OPTIMISED)
    right, latents, divergence = run(jax.random.split(jax.random.key(0), 4))
    right = np.asarray(right).mean(-1)  # one reward for all would be right in half of the pairs
    assert right.mean() - 0.5 > 4 * max(right.std() / 2, 0.05)
    np.testing.assert_allclose(latents[1], latents[0], atol=1e-4)
    np.testing.assert_allclose(latents[2], latents[0], atol=1e-4)
    assert (divergence > 0.1).all()  # the latent has not collapsed


def test_the_divergence_has_its_half_and_bad_input_is_refused():
    grid = np.linspace(-12, 12, 20_001)
    density, prior = norm(0.7, 0.5).pdf(grid), norm.pdf(grid)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(density > 0, density * np.log(density / prior), 0.0)
    expected = np.trapezoid(each, grid)
    latent = Latent(jnp.array([0.7, 0.0]), jnp.array([np.log(0.5), 0.0]))
    assert divergence_from_prior(latent) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InputError, match="size must be above zero"):
        user_model(SPEC, 0)
    with pytest.raises(InputError, match="divergence must not be negative"):
        user_learner(MODEL, optax.adam(1e-2), -1.0)
