"""The bisimulation loss against loops, and features of observations that go on alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline.bisimulation import Model
from jaxrl.bisimulation import bisimulation_loss
from jaxrl.errors import InputError
from jaxrl.networks.encoders import torso
from jaxrl.offline import from_arrays
from tests.agents.offline.logs import compiled, learner, spec_of

GAMMA = 0.8


def test_the_loss_is_that_of_all_pairs():
    """By loops; equal features have a gradient too, and what has no weight is not compared with."""
    rng = np.random.default_rng(0)
    phi, r, z = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng.normal(size=(5, 2, 3))
    phi[1], action, weight = phi[0], np.array([0, 1, 1, 0, 1]), np.array([1.0, 2, 0, 1, 1])
    wanted = np.zeros(5)
    for i in range(5):
        for j in range(5):
            a = action[i]
            apart = abs(r[i, a] - r[j, a]) + GAMMA * np.linalg.norm(z[i, a] - z[j, a])
            wanted[i] += (i != j) * weight[j] * (np.linalg.norm(phi[i] - phi[j]) - apart) ** 2
        wanted[i] /= weight.sum() - weight[i]
    loss = lambda phi, r, z: bisimulation_loss(
        phi, r, z, jnp.asarray(action), GAMMA, jnp.asarray(weight)
    )
    given = [jnp.asarray(x) for x in (phi, r, z)]
    np.testing.assert_allclose(loss(*given), wanted, rtol=1e-5)
    slope, *fixed = jax.grad(lambda *x: loss(*x).sum(), (0, 1, 2))(*given)
    assert np.isfinite(slope).all() and np.abs(slope).min() > 0
    assert not any(x.any() for x in fixed)


def test_features_of_observations_that_go_on_alike_are_alike():
    """Two states are seen in three guises each; which guise follows is random.

    From the first state action 0 goes on to the second one and pays nothing, and action 1 ends;
    from the second one either ends, and action 1 pays 1. The loss leaves the values as they are.
    """
    rng = np.random.default_rng(1)
    guise, after = rng.integers(0, 3, (2, 600))
    state, action = np.arange(600) % 2, np.arange(600) // 2 % 2
    ends = (state == 1) | (action == 1)
    see = np.eye(7, dtype=np.float32)
    spec = spec_of(7, 2)
    data = from_arrays(
        see[3 * state + guise], action, (state * action).astype(float), ends, 0 * ends, spec,
        next_observations=see[np.where(ends, 6, 3 + after)],
    )  # fmt: skip
    _, learn = learner(
        "bisimulation-cql", spec, data, hidden=(16,), batch_size=64, discount=GAMMA,
        learning_rate=3e-3, target_rate=0.05, conservatism=0.0,
    )  # fmt: skip
    model = Model(torso(spec.observation, (16,), "relu"), 2)

    def train(key, weight):
        view, _ = learn(key, 1500, bisimulation=weight)
        found = model.apply(view.params, jnp.eye(7)[:6])
        return found.features, found.value

    keys = jax.random.split(jax.random.key(0), 4)
    phi, value = (np.asarray(x) for x in compiled(train)(keys, jnp.array([0.0, 0.0, 1.0, 1.0])))
    wanted = np.repeat([[GAMMA, 0.0], [0.0, 1.0]], 3, 0)
    np.testing.assert_allclose(value, np.broadcast_to(wanted, value.shape), atol=0.1)
    away = np.linalg.norm(phi[:, :, None] - phi[:, None], axis=-1)
    within = away[:, :3, :3].sum((1, 2)) + away[:, 3:, 3:].sum((1, 2))
    share = within / 12 / away[:, :3, 3:].mean((1, 2))
    assert share[2:].max() < 0.2 and share[:2].min() > 0.4, share


def test_bad_input_is_one_sentence():
    entry, spec = AGENTS["bisimulation-cql"], spec_of(2, 2)
    with pytest.raises(InputError, match="bisimulation-cql needs discrete actions"):
        entry.make(spec_of(2, -1), entry.defaults)
    with pytest.raises(InputError, match="needs a hidden layer, whose last units"):
        entry.make(spec, entry.defaults.replace(hidden=()))
