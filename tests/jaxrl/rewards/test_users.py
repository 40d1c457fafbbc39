"""What comparisons tell of a user, and the divergence of a latent from its prior."""

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

SPEC = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Discrete(2))
MODEL = user_model(SPEC, 1, Layers(hidden=(16,)))


def asked(key, number):
    """Comparisons [2, N] of places by a user who wants to go right, some without an answer."""
    k_place, k_weight = jax.random.split(key)
    obs = jax.random.normal(k_place, (2, 2, number, 1))
    ones = jnp.ones((2, number))
    first, second = (Transition(x, ones.astype(int), ones, ones, ones < 0, x, (), ones)
                     for x in obs)  # fmt: skip
    better = (obs[0] - obs[1]).sum((0, 2)) > 0
    weight = jax.random.bernoulli(k_weight, 0.7, (number,))
    return Comparisons(first, second, better.astype(jnp.float32), weight.astype(jnp.float32))


def test_the_order_of_comparisons_and_of_pairs_tells_nothing():
    """And what is learnt is the mean preference loss of each user, under a latent of its own."""
    update = user_learner(MODEL, optax.sgd(1.0), divergence=0.5)
    one, other = asked(jax.random.key(1), 8), asked(jax.random.key(2), 8)
    both = jax.tree.map(lambda *x: jnp.stack(x), one, other)

    @jax.jit
    def seen(key):
        state = update.init(key, one.first)
        params = state.params
        order = jax.random.permutation(key, 8)
        mix = lambda segments: jax.tree.map(lambda x: x[:, order], segments)
        shuffled = Comparisons(mix(one.first), mix(one.second), one.label[order], one.weight[order])
        turned = Comparisons(one.second, one.first, 1 - one.label, one.weight)
        ignored = one._replace(label=jnp.where(one.weight > 0, one.label, 1 - one.label))
        latents = [MODEL.posterior(params, x) for x in (one, shuffled, turned, ignored, other)]
        sure = params | {"user": jax.tree.map(jnp.zeros_like, params["user"])}
        scores = [MODEL.reward(params, x.obs, x.action, jnp.zeros(1)).sum(0)
                  for x in (one.first, one.second)]  # fmt: skip
        told = update.apply(state._replace(params=sure), both, key)[1]
        return latents, scores, told

    latents, scores, told = jax.device_get(seen(jax.random.key(0)))
    for same in latents[1:4]:
        np.testing.assert_allclose(same.mean, latents[0].mean, atol=1e-5)
    assert np.abs(latents[4].mean - latents[0].mean).max() > 1e-4
    assert told["latent_divergence"] == pytest.approx(0.0, abs=1e-5)  # the posterior is the prior
    assert np.isfinite(told["preference_loss"]) and np.isfinite(scores).all()


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
