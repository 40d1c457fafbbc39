"""What InfoPower keeps where there is room for one of two coins."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import info_power
from jaxrl.errors import InputError
from jaxrl.models.latent import world
from jaxrl.networks.backbones import backbone
from jaxrl.settings import Layers
from jaxrl.types import Discrete, Spec, Transition
from tests.compiling import OPTIMISED

SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2))
HP = info_power.Hyperparameters(
    model_learning_rate=5e-3, groups=1, classes=2, information=0.3, network=Layers((16,))
)
CARRY = partial(backbone, "gru", size=8)


def sequences(key, length=4, lanes=32):
    """A coin that the action turns to its side, and one that stays as it was."""
    k_action, k_stays = jax.random.split(key)
    action = jax.random.randint(k_action, (length + 1, lanes), 0, 2)
    stays = jnp.broadcast_to(jax.random.rademacher(k_stays, (lanes,), float), action.shape)
    obs, one = jnp.stack([2.0 * action - 1, stays], -1), jnp.ones((length, lanes))
    return Transition(obs[:-1], action[1:], 0 * one, one, one < 0, obs[1:], (), one)


@pytest.mark.thorough
def test_what_the_action_turns_is_kept_and_what_stays_is_not():
    """The action is then known from two observations, where a coin that stays tells nothing."""
    mind = world(SPEC, CARRY, 1, 2, (16,), free=0.0)
    update = info_power.prioritised(mind, HP)
    seen = jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])

    def train(key):
        def step(state, key):
            k_data, k_learn = jax.random.split(key)
            return update.apply(state, (sequences(k_data), None), k_learn)

        state, metrics = jax.lax.scan(step, update.init(key, None), jax.random.split(key, 300))
        p = jnp.exp(mind.posterior(update.read(state), jnp.zeros(()), seen))[:, 0, 0]
        return p, metrics["inverse_loss"][-20:].mean()

    run = jax.jit(jax.vmap(train), compiler_options=OPTIMISED)
    p, unknown = (np.asarray(x) for x in run(jax.random.split(jax.random.key(0), 5)))
    assert np.median(unknown) < np.log(2) / 4
    turned, stayed = np.abs(p[:, 2:] - p[:, :2]).mean(1), np.abs(p[:, ::2] - p[:, 1::2]).mean(1)
    assert np.median(turned) > 0.8 and np.median(stayed) < 0.2


def test_classes_of_histories_are_refused():
    mind = world(SPEC, CARRY, 1, 2, (16,), posterior="history")
    with pytest.raises(InputError, match="posterior must be observation, not history"):
        info_power.prioritised(mind, HP.replace(posterior="history"))
