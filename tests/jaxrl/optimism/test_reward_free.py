"""Exploration without rewards: regressions in numpy, and a river that must be swum to be known."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import dp, optimism

D, S, A, H = 3, 6, 2, 12


def kernels():
    """A river in which two actions up its upper third are told apart only by theta.

    Below, the second action swims up with probability 1/2; above, it goes up in the first kernel,
    the first action does in the second, and none in the third.
    """
    p = np.zeros((D, S, A, S))
    for s in range(S):
        up, down = min(s + 1, S - 1), max(s - 1, 0)
        for k, a in itertools.product(range(D), range(A)):
            rises = 0.5 * a if s < 4 else 1.0 * (k < 2 and a == 1 - k)
            p[k, s, a, up] += rises
            p[k, s, a, down] += 1 - rises
    return jnp.asarray(p, jnp.float32)


def test_regressions_of_powers_are_weighted_by_what_the_next_power_says():
    rng = np.random.default_rng(0)
    p, v = rng.dirichlet(np.ones(S), (D, S, A)), rng.random((2, S))
    s, a, following = rng.integers(S, size=H), rng.integers(A, size=H), rng.integers(S, size=H)
    ones = np.ones(H)
    ridge, floor, radius = 0.7, 0.2, 0.5
    learner = optimism.reward_free(
        jnp.asarray(p), H, radius, jnp.asarray(v), powers=2, ridge=ridge, floor=floor
    )

    @jax.jit
    def observed():
        steps = optimism.Steps(*(jnp.asarray(x) for x in (s, a, ones, ones, following, ones)))
        fit = learner.observe(learner.init(), steps)
        return learner.observe(fit, steps)  # now the estimates are not zero

    gram, moment, taken = np.stack([ridge * np.eye(D)] * 2), np.zeros((2, D)), set()
    for _ in range(2):
        theta = np.stack([np.linalg.solve(g, m) for g, m in zip(gram, moment)])
        inverse = np.linalg.inv(gram)
        norm = lambda x, m, inverse=inverse: np.sqrt(x @ inverse[m] @ x)
        more = np.zeros_like(gram), np.zeros_like(moment)
        for h in range(H):
            of = lambda x, h=h: p[:, s[h], a[h]] @ x
            j = max((0, 1), key=lambda j, of=of, norm=norm: norm(of(v[j]), 0))
            taken.add(j)
            phi = of(v[j]), of(v[j] ** 2)
            mean, second = (np.clip(x @ t, 0, 1) for x, t in zip(phi, theta))
            unsure = [radius * norm(phi[m], m) for m in (0, 1)]
            variance = [max(second - mean**2, 0) + floor * unsure[1], 1.0]
            for m in (0, 1):
                variance[m] = max(variance[m], floor**2, floor * unsure[m])
                more[0][m] += np.outer(phi[m], phi[m]) / variance[m]
                more[1][m] += phi[m] * v[j][following[h]] ** (m + 1) / variance[m]
        gram, moment = gram + more[0], moment + more[1]
    fit = observed()
    assert len(taken) == 2
    np.testing.assert_allclose(fit.gram, gram, rtol=1e-4)
    np.testing.assert_allclose(fit.moment, moment, rtol=1e-4)


def test_what_differs_upstream_is_learnt_by_those_who_swim():
    truth = jnp.array([0.2, 0.7, 0.1])
    every = kernels()
    ones = jnp.ones((S, A, 1))
    mdp = optimism.mixed_kernel(every, truth), 0 * ones, ones, jnp.eye(S)[0]
    play = optimism.tabular_play(dp.TabularMDP(*mdp), H)

    @jax.jit
    @jax.vmap
    def run(key):
        explorer = optimism.reward_free(every, H, radius=1.0)
        even = explorer._replace(
            plan=lambda fit, key: (fit, jnp.full((H, S, A), 1 / A)),
        )
        learn = partial(optimism.learn, play=play, measure=lambda *_: (), episodes=100, key=key)
        error = lambda fit: jnp.abs(optimism.coefficients(fit)[0] - truth).sum()
        return error(learn(explorer)[0]), error(learn(even)[0])

    ours, theirs = (np.asarray(x) for x in run(jax.random.split(jax.random.key(0), 80)))
    gap = theirs - ours
    assert gap.mean() > 4 * gap.std() / np.sqrt(80)
