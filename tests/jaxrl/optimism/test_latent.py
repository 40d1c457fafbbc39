"""Latent processes beside every deterministic policy of histories, in numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import optimism

M, S, A, H = 2, 2, 2, 2


def arrays(seed):
    rng = np.random.default_rng(seed)
    reward = rng.random((M, S, A))
    reward[1] = 1 - reward[0]  # what is good in one is bad in the other
    return (
        rng.dirichlet(np.full(M, 5.0)),
        rng.dirichlet(np.full(S, 0.4), (M, S, A)),
        reward / H,
        rng.dirichlet(np.ones(S), M),
    )


def all_returns(weights, p, r, initial):
    """The return of each of the 2^10 policies: an action for each state, then each history."""
    returns = []
    for bits in itertools.product(range(A), repeat=S + S * A * S):
        first, second = bits[:S], np.reshape(bits[S:], (S, A, S))
        total = 0.0
        for m, s in itertools.product(range(M), range(S)):
            chance, a = weights[m] * initial[m, s], first[s]
            later = sum(p[m, s, a, t] * r[m, t, second[s, a, t]] for t in range(S))
            total += chance * (r[m, s, a] + later)
        returns.append(total)
    return np.array(returns)


@jax.jit
@jax.vmap
def solved(latent):
    alpha, actions = optimism.latent_values(latent, H)
    start = (latent.weights[:, None] * latent.initial * alpha.T).sum()
    play = jax.vmap(optimism.latent_play(latent), (None, 0))
    data = play(actions, jax.random.split(jax.random.key(1), 4000))
    width = jnp.full((M, S, A), 0.1)
    raised, _ = optimism.latent_values(latent, H, width, 2.0)
    return start, optimism.latent_return(latent, actions), data, actions, alpha, raised


def test_the_planner_has_the_return_of_the_best_policy_of_histories():
    every = [arrays(seed) for seed in range(6)]
    latents = optimism.LatentMDP(*(jnp.asarray(np.stack(x), jnp.float32) for x in zip(*every)))
    found = jax.tree.map(np.asarray, solved(latents))
    better = 0
    for i, (weights, p, r, initial) in enumerate(every):
        start, earned, data, actions, alpha, raised = jax.tree.map(lambda x, i=i: x[i], found)
        returns = all_returns(weights, p, r, initial)
        np.testing.assert_allclose([start, earned], returns.max(), atol=1e-5)
        # A policy of the state alone has the same second action after all histories.
        bits = np.array(list(itertools.product(range(A), repeat=S + S * A * S)))[:, S:]
        after = bits.reshape(-1, S, A, S)
        markov = (after == after[:, :1, :1]).all((1, 2, 3))
        better += returns.max() > returns[markov].max() + 1e-3
        # Episodes that were played have that return: the history is told right.
        played = data.reward.sum(-1)
        assert abs(played.mean() - earned) < 4 * played.std() / np.sqrt(len(played)) + 1e-6
        taken = (data.state[:, 0] * A + data.action[:, 0], data.state[:, 1])
        np.testing.assert_array_equal(data.action[:, 1], actions[1][taken])
        # Bonuses only raise, by no less than one width and, with the variance, by no more than all.
        assert (raised >= alpha + 0.1 - 1e-5).all()
    assert better >= 3


def test_bernsteins_bonus_of_one_history():
    """One step before the end: alphas of 0 and 1 of equal chance have the variance 1/4."""
    latent = optimism.LatentMDP(
        jnp.ones(1),
        jnp.full((1, 2, 1, 2), 0.5),
        jnp.array([[[0.0], [1.0]]]),
        jnp.array([[1.0, 0.0]]),
    )
    plan = jax.jit(lambda w: optimism.latent_values(latent, 2, jnp.full((1, 2, 1), w), 2.0)[0])
    for width in (0.08, 0.72):
        later = np.array([0.0, 1.0]) + width
        by_hand = later.mean() + max(np.sqrt(2.0 * later.var() * width), width)
        np.testing.assert_allclose(plan(width)[0, 0], by_hand, rtol=1e-5)
