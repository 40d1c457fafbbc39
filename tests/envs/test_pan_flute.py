"""The pan flute, against a table written by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import pan_flute


def outcomes(level, action, length, leak):
    """The probability of each next level, and the reward."""
    if all(x == length for x in level):
        return {tuple(0 for _ in level): 1.0}, 1.0
    found = {}
    for lost in itertools.product((0, 1), repeat=len(level)):
        chance, new = 1.0, []
        for i, (x, gone) in enumerate(zip(level, lost)):
            chance *= leak if gone else 1 - leak
            new.append((0 if x == length else x + 1) if i == action else max(x - gone, 0))
        found[tuple(new)] = found.get(tuple(new), 0.0) + chance
    return found, 0.0


@pytest.mark.parametrize("level", [(0, 0), (1, 2), (2, 2), (2, 1)])
@pytest.mark.parametrize("action", [0, 1])
def test_steps_have_the_probabilities_of_the_table(level, action):
    env, many = pan_flute(pipes=2, length=2, leak=0.3), 4000
    keys = jax.random.split(jax.random.key(0), many)
    _, now = jax.vmap(env.step, (None, None, 0))(jnp.array(level), action, keys)
    chances, reward = outcomes(level, action, 2, 0.3)
    for new, chance in chances.items():
        share = (np.asarray(now.obs).reshape(many, 2, 2).sum(-1) == new).all(-1).mean()
        assert share == pytest.approx(chance, abs=0.03)
    np.testing.assert_array_equal(now.reward, reward)
    assert not now.last.any() and (now.discount == 1).all()


def test_it_fits_the_rules_of_environments_and_its_parameters_can_be_swept():
    envs.check(envs.make("PanFlute"))

    def losses(leak):
        env = pan_flute(leak=leak)
        state = jnp.array([2, 2, 2, 2, 2])
        return env.step(state, 0, jax.random.key(0))[1].obs.sum()

    np.testing.assert_array_equal(jax.vmap(losses)(jnp.array([0.0, 1.0])), [11, 7])


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="no parameter 'pipe': did you mean pipes"):
        envs.make("PanFlute", pipe=3)
    with pytest.raises(ValueError, match="needs pipes and cells"):
        envs.make("PanFlute", pipes=0)
