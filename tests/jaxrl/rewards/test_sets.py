"""Set functions beside all sets, and the gradient of a function of what was visited."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import policy_gradients
from jaxrl.errors import InputError
from jaxrl.rewards import sets

ITEMS, SIZE, POINTS = 6, 3, 10
EVERY = np.array(list(itertools.product([False, True], repeat=ITEMS)))


def test_values_are_those_of_all_sets_and_greedy_choice_keeps_its_promise():
    rng = np.random.default_rng(0)
    covered = rng.random((8, ITEMS, POINTS)) < 0.3
    weights = rng.random((8, POINTS))
    place = rng.random((8, ITEMS))
    kernels = np.exp(-((place[:, :, None] - place[:, None]) ** 2) / 0.1)

    @jax.jit
    @jax.vmap
    def found(covered, weights, kernel):
        pair = sets.coverage(covered, weights), sets.information(kernel, 0.5)
        return [
            (f(jnp.asarray(EVERY)), f(sets.greedy_set(f, ITEMS, SIZE)), sets.curvature(f, ITEMS))
            for f in pair
        ]

    arrays = (jnp.asarray(covered), *(jnp.asarray(x, jnp.float32) for x in (weights, kernels)))
    (cover, greedy, bend), (told, other, curve) = jax.tree.map(np.asarray, found(*arrays))
    for i in range(8):
        for j, chosen in enumerate(EVERY):
            points = covered[i][chosen].any(0) if chosen.any() else np.zeros(POINTS, bool)
            np.testing.assert_allclose(cover[i, j], weights[i][points].sum(), atol=1e-5)
            part = kernels[i][np.ix_(chosen, chosen)]
            exact = 0.5 * np.linalg.slogdet(np.eye(chosen.sum()) + part / 0.5)[1]
            np.testing.assert_allclose(told[i, j], exact, atol=1e-5)
        sized = EVERY.sum(1) == SIZE
        for values, got, c in ((cover[i], greedy[i], bend[i]), (told[i], other[i], curve[i])):
            best = values[sized].max()
            assert best + 1e-5 >= got >= (1 - np.exp(-c)) / max(c, 1e-6) * best - 1e-5
            singles = values[[int(2 ** (ITEMS - 1 - k)) for k in range(ITEMS)]]
            rest = values[-1] - values[[2**ITEMS - 1 - 2 ** (ITEMS - 1 - k) for k in range(ITEMS)]]
            worth = singles > 0
            np.testing.assert_allclose(c, 1 - (rest[worth] / singles[worth]).min(), atol=1e-4)
    # The best item comes first, although two others together are better than any with it.
    trap = sets.coverage(jnp.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]]) > 0,
                         jnp.array([1.0, 1.0, 0.9, 0.9]))  # fmt: skip
    assert float(trap(sets.greedy_set(trap, 3, 2))) < float(trap(jnp.array([False, True, True])))
    with pytest.raises(InputError, match="size must lie between 1 and 3"):
        sets.greedy_set(trap, 3, 4)


def test_gains_to_go_make_the_gradient_of_what_was_visited_and_single_gains_do_not():
    """All episodes of four steps on a ring of five cells, to the left or to the right."""
    cells, steps = 5, 4
    worth = sets.coverage(jnp.eye(cells, dtype=bool), jnp.array([0.0, 1.0, 3.0, 2.0, 5.0]))
    theta = jnp.asarray(np.random.default_rng(1).normal(size=(steps, cells, 2)), jnp.float32)
    acts = jnp.array(list(itertools.product(range(2), repeat=steps)))
    at = jnp.concatenate([jnp.zeros((len(acts), 1), int), jnp.cumsum(2 * acts - 1, 1)], 1) % cells
    sets_at = jnp.cumsum(jax.nn.one_hot(at, cells), 1) > 0
    gains = jnp.diff(worth(sets_at), axis=1)

    def log_prob(theta):
        return jax.nn.log_softmax(theta)[jnp.arange(steps), at[:, :-1], acts]

    def objective(theta):
        return (jnp.exp(log_prob(theta).sum(1)) * worth(sets_at[:, -1])).sum()

    def expected(theta, discount):
        weight = jax.lax.stop_gradient(jnp.exp(log_prob(theta).sum(1)))
        one = lambda i: policy_gradients.differentiable_return(
            log_prob(theta)[i], gains[i], jnp.full(steps, discount)
        )
        return (weight * jax.vmap(one)(jnp.arange(len(acts)))).sum()

    @jax.jit
    def slopes(theta):
        scores = lambda theta: (log_prob(theta) * gains).sum(1)
        weight = jax.lax.stop_gradient(jnp.exp(log_prob(theta).sum(1)))
        myopic = jax.grad(lambda x: (weight * scores(x)).sum())(theta)
        return jax.grad(objective)(theta), jax.grad(expected)(theta, 1.0), myopic

    exact, ours, myopic = slopes(theta)
    np.testing.assert_allclose(ours, exact, atol=1e-5)
    assert np.abs(myopic - exact).max() > 0.1
