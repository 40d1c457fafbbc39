"""Discrete BCQ in a table, against exact dynamic programming over what the data would take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.errors import InputError
from tests.agents.offline.logs import compiled, learner, spec_of
from tests.jaxrl.test_state_values import GAMMA, STATES, iterated, logged

KEYS = jax.random.split(jax.random.key(0), 3)
EYE = jnp.eye(STATES)


def test_values_are_the_best_of_the_plausible_actions():
    """At a threshold of 0.02 actions that were never taken do not count, and at 0.6 no rare ones.

    In the latter case the end is never reached.
    """
    batch, counts, successor, alive = logged()
    state, action = np.nonzero(counts)
    times = counts[state, action].astype(int)
    rows = jax.tree.map(lambda x: np.repeat(np.asarray(x), times, 0)[:, None], batch)
    data = jax.tree.map(jnp.asarray, rows._replace(weight=np.ones_like(rows.reward)))
    entry, spec = AGENTS["discrete-bcq"], spec_of(STATES, 4)
    _, learn = learner(
        "discrete-bcq", spec, data, batch_size=256, discount=GAMMA,
        learning_rate=0.05, schedule="cosine", decay_steps=1500.0, target_rate=0.1,
        logit_penalty=1e-4,
    )  # fmt: skip
    thresholds = [0.02, 0.6]

    def train(key, threshold):
        view, _ = learn(key, 1500, threshold=threshold)
        layer = view.params["values"]["params"]["Dense_0"]
        q = layer["kernel"] + layer["bias"]
        agent = entry.make(spec, entry.defaults.replace(hidden=(), threshold=threshold))
        return q, agent.exploit.step(view, (), EYE, key)[0]

    found, mode = (np.asarray(x) for x in compiled(train)(KEYS[:2], jnp.array(thresholds)))
    for q, chosen, threshold in zip(found, mode, thresholds):
        plausible = counts > threshold * counts.max(-1, keepdims=True)
        best = iterated(
            counts, successor, alive, lambda q, n, p=plausible: np.where(p, q, -np.inf).max(-1)
        )
        exact = -1.0 + GAMMA * alive * best[successor]
        seen = (counts > 0)[:-1]
        np.testing.assert_allclose(q[:-1][seen], exact[:-1][seen], atol=0.2)
        lost = (best - exact[np.arange(STATES), chosen])[:-1]
        assert plausible[np.arange(STATES), chosen][:-1].all() and (lost < 0.05).all(), lost
    free = iterated(counts, successor, alive, lambda q, n: q.max(-1))
    assert np.abs(best - free)[:-1].max() > 1  # it matters


def test_bad_input_is_one_sentence():
    entry = AGENTS["discrete-bcq"]
    with pytest.raises(InputError, match="threshold must be at least 0 and below 1"):
        entry.make(spec_of(2, 3), entry.defaults.replace(threshold=1.0))
