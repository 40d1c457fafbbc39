"""Attention to the other members of a set, beside a loop over them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.networks.sets import Others

NET, MEMBERS = Others(4), 5
X = np.random.default_rng(0).normal(size=(MEMBERS, 2)).astype(np.float32)
THERE = np.array([True, False, True, True, False])
PARAMS = NET.init(jax.random.key(0), X, THERE)


def test_members_attend_to_those_others_that_are_there():
    found = NET.apply(PARAMS, X, jnp.asarray(THERE))
    layers = [PARAMS["params"][f"Dense_{i}"] for i in range(4)]
    apply = lambda i, x: x @ np.asarray(layers[i]["kernel"]) + np.asarray(layers[i]["bias"])
    query, key, value = (apply(i, X) for i in range(3))
    for i in range(MEMBERS):
        others = [j for j in range(MEMBERS) if j != i and THERE[j]]
        score = np.exp([query[i] @ key[j] / 2 for j in others])
        mixed = (score / score.sum()) @ value[others]
        by_hand = np.tanh(apply(3, np.concatenate([X[i], mixed, [len(others) / MEMBERS]])))
        np.testing.assert_allclose(found[i], by_hand, atol=1e-5)


def test_the_absent_are_not_seen_and_the_order_of_others_does_not_matter():
    found = NET.apply(PARAMS, X, THERE)
    other = np.where(THERE[:, None], X, 9.0)
    np.testing.assert_allclose(NET.apply(PARAMS, other, THERE)[THERE], found[THERE], atol=1e-6)
    order = np.array([3, 1, 0, 4, 2])
    turned = NET.apply(PARAMS, X[order], THERE[order])
    np.testing.assert_allclose(turned, found[order], atol=1e-5)
    # Alone: as if the values of others were zero, and none of them there.
    alone = NET.apply(PARAMS, X, np.arange(MEMBERS) == 0)
    weights = PARAMS["params"]["Dense_3"]
    by_hand = np.tanh(np.concatenate([X[0], np.zeros(5)]) @ weights["kernel"] + weights["bias"])
    np.testing.assert_allclose(alone[0], by_hand, atol=1e-5)
    grads = jax.grad(lambda x: NET.apply(PARAMS, x, jnp.zeros(MEMBERS, bool)).sum())(X)
    assert np.isfinite(grads).all()
