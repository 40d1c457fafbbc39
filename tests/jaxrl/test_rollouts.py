"""Actors that are disturbed by noise, whose distribution is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.errors import InputError
from jaxrl.rollouts import with_noise
from jaxrl.types import Box, Discrete, MultiDiscrete, Product, Spec, memoryless

NUMBER = 20_000
SHAPE = jax.ShapeDtypeStruct((2,), jnp.float32)


def test_discrete_actions_are_replaced_at_a_rate_and_within_the_mask():
    allowed = lambda obs: jnp.broadcast_to(
        jnp.array([True, True, False, True]), (*obs.shape[:-1], 4)
    )
    fixed = memoryless(lambda view, obs, key: (jnp.full(len(obs), 1), ()))
    actor = with_noise(fixed, Spec(SHAPE, Discrete(4), mask=allowed), 0.3)
    action = np.asarray(actor.step((), (), jnp.zeros((NUMBER, 2)), jax.random.key(0))[0])
    shares = np.bincount(action, minlength=4) / NUMBER
    wanted = np.array([0.1, 0.8, 0.0, 0.1])  # a third of 0.3 falls on what was chosen
    assert (np.abs(shares - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / NUMBER)).all()


def test_continuous_actions_get_gaussian_noise_of_their_range_and_are_clipped():
    box = Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 10.0]))
    middle = jnp.array([0.0, 5.0])
    fixed = memoryless(lambda view, obs, key: (jnp.broadcast_to(middle, (len(obs), 2)), ()))
    actor = with_noise(fixed, Spec(SHAPE, box), 0.5)
    action = np.asarray(actor.step((), (), jnp.zeros((NUMBER, 2)), jax.random.key(0))[0])
    unit = (action - np.asarray(middle)) / np.array([1.0, 5.0])
    assert (np.abs(unit) <= 1.0001).all()
    # A Gaussian of deviation 1/2 is beyond 1 with probability 0.0455, and beyond 1/2 with 0.3173.
    for bound, wanted in ((0.9999, 0.0455), (0.5, 0.3173)):
        rate = (np.abs(unit) > bound).mean(0)
        assert (np.abs(rate - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / NUMBER)).all()
    assert (np.abs(unit.mean(0)) < 5 * 0.5 / np.sqrt(NUMBER)).all()


@pytest.mark.parametrize(
    ("space", "amount", "sentence"),
    [
        (Discrete(2), 1.5, "noise must lie between 0 and 1"),
        (MultiDiscrete((2, 2)), -1.0, "noise must not be negative"),
        (Product((Discrete(2), Box(-jnp.ones(1), jnp.ones(1)))), 0.1, "not both at once"),
    ],
)
def test_what_does_not_fit_is_refused(space, amount, sentence):
    with pytest.raises(InputError, match=sentence):
        with_noise(memoryless(lambda view, obs, key: (obs, ())), Spec(SHAPE, space), amount)
