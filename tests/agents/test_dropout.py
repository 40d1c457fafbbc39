"""Critics that drop units (DroQ): means and variances over masks are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, sac
from jaxrl import assemble, values
from jaxrl.errors import InputError
from jaxrl.networks import critic_ensemble
from jaxrl.settings import Layers
from jaxrl.types import Box, Spec, Transition

RATE, DRAWS, UNITS = 0.25, 4000, 64
SPEC = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))


def made(members):
    """Weights of one layer of positive units, which see no action, and the outputs of the units."""
    rng = np.random.default_rng(0)
    layer, head = rng.random((3, UNITS), np.float32), rng.standard_normal(UNITS, np.float32)
    kernel = np.concatenate([layer, np.zeros((1, UNITS), np.float32)])
    tree = {
        "torso": {"Dense_0": {"kernel": kernel, "bias": np.zeros(UNITS, np.float32)}},
        "head": {"kernel": head[:, None], "bias": np.ones(1, np.float32)},
    }
    each = lambda x: jnp.broadcast_to(jnp.asarray(x), (members, *x.shape))
    return {"params": jax.tree.map(each, tree)}, lambda obs: (obs @ layer) * head


def test_masks_leave_the_mean_and_add_their_variance():
    """They are independent for each row, each critic and each key."""
    params, units = made(2)
    critics = critic_ensemble(SPEC, 1, 2, Layers((UNITS,)), dropout=RATE)
    obs = np.stack([np.full(3, 0.5, np.float32)] * 2)
    run = jax.jit(jax.vmap(lambda key: critics.apply(params, obs, jnp.zeros((2, 1)), key)))
    found = np.asarray(run(jax.random.split(jax.random.key(0), DRAWS)), np.float64)
    found = found.reshape(DRAWS, 4)
    parts = units(obs)[0].astype(np.float64)
    variance = RATE / (1 - RATE) * (parts**2).sum()
    error = (variance / DRAWS) ** 0.5
    np.testing.assert_allclose(found.mean(0), parts.sum() + 1, atol=5 * error)
    # The relative error of a variance of 4000 draws is some 0.022, that of a correlation 0.016.
    np.testing.assert_allclose(found.var(0), variance, rtol=0.13)
    np.testing.assert_allclose(np.corrcoef(found.T) - np.eye(4), 0.0, atol=0.1)


def test_nothing_is_dropped_without_a_key_or_without_dropout():
    params, units = made(1)
    obs = np.full((2, 3), 0.5, np.float32)
    whole = units(obs).sum(-1)[:, None] + 1
    for rate, key in ((RATE, None), (0.0, jax.random.key(0))):
        critics = critic_ensemble(SPEC, 1, 1, Layers((UNITS,)), dropout=rate)
        np.testing.assert_allclose(critics.apply(params, obs, jnp.zeros((2, 1)), key), whole, 1e-5)


def test_the_loss_and_the_target_drop_units_of_their_own():
    """The mean loss has the variance of both, and the target's mean over a batch that of its own.

    The discount is 1/2 and rewards are such that the undropped error is 3; one mask for both passes
    would make the variances of loss and target cancel in part.
    """
    params, units = made(1)
    hp = sac.Hyperparameters(
        dropout=RATE, ensemble=values.Ensemble(1), hidden=(UNITS,), discount=0.5,
        entropy_backup=False,
    )  # fmt: skip
    net = sac.networks(SPEC, hp, values.scalar())
    judge, act = sac.objectives(SPEC.action, hp, values.scalar(), net)
    obs = np.full((1, 3), 0.5, np.float32)
    parts = units(obs)[0].astype(np.float64)
    whole, variance = parts.sum() + 1, RATE / (1 - RATE) * (parts**2).sum()
    reward = jnp.full(1, whole / 2 - 3)  # the target is whole - 3
    one = jnp.ones(1)
    batch = Transition(obs, jnp.zeros((1, 1)), reward, one, one < 0, obs, (), one)
    sight = sac.Sight(obs, obs, obs, obs)

    def run(key):
        k_first, k_judge, k_act = jax.random.split(key, 3)
        tree = net.init(k_first) | {"critics": params}
        error, told = judge(tree, tree, batch, sight, k_judge)
        return error, told["target_value"], act(tree, tree, batch, sight, k_act)[1]["value"]

    keys = jax.random.split(jax.random.key(1), DRAWS)
    error, target, value = np.asarray(jax.jit(jax.vmap(run))(keys), np.float64)
    square = 9 + variance * (1 + 0.25)
    np.testing.assert_allclose(error.mean(), square / 2, rtol=0.1)  # its own error is 0.02
    np.testing.assert_allclose(target.var(), 0.25 * variance, rtol=0.13)
    np.testing.assert_allclose(value.var(), variance, rtol=0.13)


def test_dropout_is_refused_where_nothing_drops():
    with pytest.raises(InputError, match="choose the mlp encoder"):
        critic_ensemble(SPEC, 1, 2, Layers((8,), encoder="residual"), dropout=0.1)
    for name, env in (("discrete-sac", "CartPole-v1"), ("sequence-sac", "Pendulum-v1")):
        entry = AGENTS[name]
        with pytest.raises(InputError, match="set dropout to 0"):
            assemble(entry.make, envs.make(env), entry.defaults.replace(dropout=0.1))
