"""O-DICE in a table, against the fixed point of its dual, state by state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.errors import InputError
from tests.agents.offline.logs import compiled, learner, spec_of
from tests.jaxrl.test_state_values import GAMMA, STATES, logged

SCALE = 4.0  # of rewards: with small ones no ratio is zero


def settled(counts, successor, alive, weight):
    """The values [S] at which the mean ratio at each state is (1 - weight) / weight."""
    share, v = counts / np.maximum(counts.sum(-1, keepdims=True), 1), np.zeros(STATES)
    for _ in range(200):
        q = -SCALE + GAMMA * alive * v[successor]
        low, high = np.full(STATES, -200.0), np.full(STATES, 200.0)
        for _ in range(60):
            middle = (low + high) / 2
            ratio = np.maximum((q - middle[:, None]) / 2 + 1, 0)
            up = (share * ratio).sum(-1) > (1 - weight) / weight
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        v = np.where(counts.sum(-1) > 0, middle, 0.0)
    return v, -SCALE + GAMMA * alive * v[successor] - v[:, None]


def test_values_and_policies_are_those_of_the_dual():
    """Semi gradients end at the exact fixed point, and the policy at n(s, a) max(e, 0)."""
    batch, counts, successor, alive = logged()
    state, action = np.nonzero(counts)
    times = counts[state, action].astype(int)
    rows = jax.tree.map(lambda x: np.repeat(np.asarray(x), times, 0)[:, None], batch)
    rows = rows._replace(reward=SCALE * rows.reward, weight=np.ones_like(rows.reward))
    data = jax.tree.map(jnp.asarray, rows)
    _, learn = learner(
        "o-dice", spec_of(STATES, 4), data, gradient="semi", batch_size=512, discount=GAMMA,
        target_rate=1.0, optimiser="rmsprop", weight_decay=0.0, schedule="cosine", decay=1.0,
        decay_steps=3000.0, learning_rate=0.1,
    )  # fmt: skip
    weights = np.array([0.4, 0.5])

    def train(key, weight):
        view, _ = learn(key, 3000, residual_weight=weight)
        of = lambda params: params["params"]["Dense_0"]
        value, actor = of(view.params["value"]), of(view.params["actor"]["network"])
        policy = jax.nn.softmax(actor["kernel"] + actor["bias"])
        return value["kernel"][:, 0] + value["bias"][0], policy

    v, policy = compiled(train)(jax.random.split(jax.random.key(0), 2), jnp.asarray(weights))
    exact = [settled(counts, successor, alive, weight) for weight in weights]
    assert np.abs(exact[0][0] - exact[1][0])[:-1].min() > 2
    assert any((difference[counts > 0] < -2).any() for _, difference in exact)  # of ratio 0
    for found, chosen, (value, difference) in zip(v, policy, exact):
        np.testing.assert_allclose(found[:-1], value[:-1], atol=0.6)
        wanted = counts * np.maximum(difference, 0)
        wanted = wanted / np.maximum(wanted.sum(-1, keepdims=True), 1e-9)
        np.testing.assert_allclose(chosen[:-1], wanted[:-1], atol=0.12)


def test_bad_input_is_one_sentence():
    entry, spec = AGENTS["o-dice"], spec_of(2, 2)
    for wrong, words in (
        (dict(gradient="half"), "There is no gradient called 'half'"),
        (dict(weights="residue"), "There is no kind of weights called 'residue'"),
        (dict(divergence="tv"), "There is no divergence called 'tv'"),
        (dict(residual_weight=1.0), "residual_weight must be at least 0 and below 1"),
    ):
        with pytest.raises(InputError, match=words):
            entry.make(spec, entry.defaults.replace(**wrong))
