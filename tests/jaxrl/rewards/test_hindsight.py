"""Contexts of preferred segments: gradients by hand, and a policy that acts as the preferred do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl.errors import InputError
from jaxrl.rewards import hindsight_learner, hindsight_model, triplet, wanted_actor
from jaxrl.rewards.segments import Comparisons
from jaxrl.settings import Layers
from jaxrl.types import Box, Spec, Transition
from tests.compiling import OPTIMISED

SPEC = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
MODEL = hindsight_model(SPEC, 2, Layers(hidden=(16,)))
L, N = 4, 24


def drawn(key):
    """Segments of which a third each push by -0.8, 0 and 0.6, with noise; some are shorter."""
    k_kind, k_noise, k_obs, k_length = jax.random.split(key, 4)
    kind = jax.random.randint(k_kind, (N,), 0, 3)
    push = jnp.array([-0.8, 0.0, 0.6])[kind]
    action = push + 0.05 * jax.random.normal(k_noise, (L, N))
    obs = jax.random.normal(k_obs, (L, N, 1))
    length = jax.random.randint(k_length, (N,), 1, L + 1)
    weight = (jnp.arange(L)[:, None] < length).astype(jnp.float32)
    ones = jnp.ones((L, N))
    return Transition(obs, action[..., None], ones, ones, ones < 0, obs, (), weight), push


def compared(key):
    """Segments that push to the right are preferred, also to those that stay."""
    k_first, k_second = jax.random.split(key)
    (first, a), (second, b) = drawn(k_first), drawn(k_second)
    return Comparisons(first, second, (1 + jnp.sign(a - b)) / 2, (a != b).astype(jnp.float32))


def test_the_wanted_policy_is_that_of_the_preferred_and_no_better():
    update = hindsight_learner(MODEL, optax.adam(1e-2))

    def learnt(key):
        k_init, k_learn = jax.random.split(key)
        step = lambda state, key: update.apply(state, compared(key), key)
        state = update.init(k_init, compared(k_init).first)
        state, _ = jax.lax.scan(step, state, jax.random.split(k_learn, 250))
        obs = jnp.linspace(-1, 1, 5)[:, None]
        return wanted_actor(MODEL).step(state, (), obs, k_init)[0].mean()

    run = jax.jit(jax.vmap(learnt), compiler_options=OPTIMISED)
    action = np.asarray(run(jax.random.split(jax.random.key(0), 8)))
    error = max(action.std() / np.sqrt(8), 0.05)
    assert action.mean() > 4 * error  # the mean of the data is below 0
    assert action.mean() < 0.6 + 4 * error


def test_contexts_are_means_over_steps_that_count_and_wanted_is_led_by_them_alone():
    near, far = jnp.array([[1.0, 0.0], [0.0, 3.0]]), jnp.array([[0.0, 1.0], [0.0, 0.5]])
    by_hand = [np.hypot(1, 0) - np.hypot(0, 1) + 1, 3 - 0.5 + 1]
    np.testing.assert_allclose(triplet(jnp.zeros(2), near, far), by_hand, atol=1e-5)
    assert triplet(jnp.zeros(2), far[1], near[1]) == 0
    params = MODEL.init(jax.random.key(1))
    data, _ = drawn(jax.random.key(2))
    beyond = jnp.where(data.weight[..., None] > 0, data.action, 7.0)
    same = MODEL.encode(params, data._replace(action=beyond))
    np.testing.assert_allclose(same, MODEL.encode(params, data), atol=1e-5)
    update = hindsight_learner(MODEL, optax.sgd(1.0), preference=0.0, length=0.0)
    pairs = compared(jax.random.key(3))
    state = update.init(jax.random.key(1), data)
    step = jax.jit(update.apply)
    moved = step(state, pairs, jax.random.key(4))[0].params
    unlabelled = pairs._replace(weight=0 * pairs.weight)
    still = step(state, unlabelled, jax.random.key(4))[0].params
    for name in ("encoder", "policy"):  # a preference without a weight changes neither
        for a, b in zip(jax.tree.leaves(moved[name]), jax.tree.leaves(still[name])):
            np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_array_equal(still["wanted"], state.params["wanted"])
    assert jnp.abs(moved["wanted"] - state.params["wanted"]).max() > 1e-4
    with pytest.raises(InputError, match="size must be above zero"):
        hindsight_model(SPEC, 0)
