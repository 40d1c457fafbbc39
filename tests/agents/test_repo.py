"""What RePo keeps in its latent states, and what it leaves out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, dreamer, repo
from jaxrl import assemble
from jaxrl.models.latent import world
from jaxrl.networks.backbones import backbone
from jaxrl.types import Discrete, Spec, Transition
from tests.compiling import OPTIMISED

KEY = jax.random.key(0)
SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2))
HP = repo.Hyperparameters(model_learning_rate=3e-3, information=0.75, initial_weight=1.0)


def sequences(key, length=8, lanes=32):
    """What pays, and what does not: two coins, both tossed anew in each step."""
    obs = jax.random.rademacher(key, (length + 1, lanes, 2), float)
    one = jnp.ones((length, lanes))
    zero = jnp.zeros((length, lanes), jnp.int32)
    return Transition(obs[:-1], zero, obs[1:, :, 0], one, one < 0, obs[1:], (), one)


def explained(learn, steps=500):
    """The share of each observation's variance [2] that latent classes tell, by regression.

    Of four seeds the median, as of the metrics in each step.
    """
    carry = partial(backbone, "gru", size=16, window=8)
    mind = world(SPEC, carry, 4, 4, (32,), balance=0.8, free=0.0)
    update = learn(mind, HP)

    def step(state, key):
        k_data, k_learn = jax.random.split(key)
        return update.apply(state, (sequences(k_data), None), k_learn)

    obs = np.asarray(sequences(jax.random.key(1), lanes=128).obs.reshape(-1, 2))

    def train(key):
        state = update.init(key, sequences(key))
        state, metrics = jax.lax.scan(step, state, jax.random.split(key, steps))
        seen = mind.see(update.read(state), mind.blank(obs.shape[0]), jnp.asarray(obs), key)
        return seen.classes, metrics

    classes, metrics = jax.jit(jax.vmap(train), compiler_options=OPTIMISED)(
        jax.random.split(KEY, 4)
    )

    def share(x):
        x = np.concatenate([x, np.ones((len(obs), 1))], -1)
        fit = x @ np.linalg.lstsq(x, obs, rcond=1e-3)[0]
        return 1 - ((obs - fit) ** 2).mean(0) / obs.var(0)

    median = lambda x: np.median(np.asarray(x), 0)
    return median([share(x) for x in np.asarray(classes)]), jax.tree.map(median, metrics)


@pytest.mark.thorough
def test_noise_is_left_out_and_what_pays_is_kept():
    """Reconstruction keeps both; the constraint leaves out what cannot be foretold."""
    everything, _ = explained(dreamer.reconstructive)
    paying, metrics = explained(repo.predictive)
    assert everything.min() > 0.3, everything
    assert paying[0] > 0.6 and paying[1] < 0.2, paying
    assert metrics["divergence"][-50:].mean() < 0.9  # a coin is .69 nats, and .75 are allowed


def test_the_multiplier_grows_while_there_is_too_much_information():
    carry = partial(backbone, "gru", size=16, window=8)
    mind = world(SPEC, carry, 4, 4, (32,), balance=0.8, free=0.0)

    def change(allowed):
        update = repo.predictive(mind, HP.replace(information=allowed))
        before = update.init(KEY, sequences(KEY))
        after, _ = update.apply(before, (sequences(KEY), None), KEY)
        return after.params["log_weight"] - before.params["log_weight"]

    tight, loose = jax.jit(jax.vmap(change))(jnp.array([0.01, 50.0]))
    assert tight > 0 > loose


def test_bad_input_is_one_sentence():
    entry = AGENTS["repo"]
    with pytest.raises(ValueError, match="information must be above zero"):
        assemble(entry.make, envs.make("CartPole-v1"), entry.defaults.replace(information=0.0))
