"""Shaping, canonical rewards, their distances and rewards of sets, beside numpy and programs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import spearmanr

from jaxrl import dp
from jaxrl.errors import InputError
from tests.jaxrl.dp.cases import evaluated, random_arrays

GAMMA, S, A, N = 0.8, 5, 3, 24
EVEN_S, EVEN_A = np.full(S, 1 / S), np.full(A, 1 / A)
PLANS = np.eye(A)[list(itertools.product(range(A), repeat=S))]  # [243, S, A]


def processes(end):
    arrays = [random_arrays(seed, S, A, end) for seed in range(N)]
    return arrays, dp.stacked(dp.from_arrays(*x) for x in arrays)


def test_potentials_lower_all_values_of_a_state_alike_and_redistribution_none():
    """By linear systems, with terminations; the potential of a terminal state does not count."""
    arrays, mdps = processes(end=0.3)
    rng = np.random.default_rng(1)
    potential = rng.normal(size=(N, S)).astype(np.float32)
    change = rng.normal(size=(N, S, A, S)).astype(np.float32)
    policies = rng.dirichlet(np.ones(A), (N, S))

    @jax.jit
    @jax.vmap
    def changed(mdp, potential, change):
        return dp.shaped(mdp, potential, GAMMA).reward, dp.redistributed(mdp, change).reward

    careless = 0.0
    shaped, redistributed = changed(mdps, potential, change)
    for i, (p, r, d, _) in enumerate(arrays):
        q = evaluated(p, r, d, GAMMA, policies[i])
        found = evaluated(p, np.asarray(shaped[i], float), d, GAMMA, policies[i])
        np.testing.assert_allclose(found, q - potential[i][:, None], atol=1e-4)
        same = evaluated(p, np.asarray(redistributed[i], float), d, GAMMA, policies[i])
        np.testing.assert_allclose(same, q, atol=1e-4)
        forgets = r + GAMMA * potential[i] - potential[i][:, None, None]
        wrong = evaluated(p, forgets, d, GAMMA, policies[i]) - q + potential[i][:, None]
        careless = max(careless, np.abs(wrong).max())
    assert careless > 0.5


def canonical(p, r):
    """The canonical rewards of EPIC and DARD by loops over all that is drawn."""
    epic, dard = r.copy(), r.copy()
    for s, a, t in np.ndindex(r.shape):
        for b in range(A):
            for u in range(S):
                chance = 1 / A / S
                epic[s, a, t] += chance * (GAMMA * r[t, b, u] - r[s, b, u])
                epic[s, a, t] -= chance * GAMMA * np.mean(r[:, b, u])
                dard[s, a, t] += (GAMMA * p[t, b, u] * r[t, b, u] - p[s, b, u] * r[s, b, u]) / A
                after = sum(p[t, b, v] * r[u, b, v] for v in range(S))
                dard[s, a, t] -= GAMMA * p[s, b, u] * after / A
    return epic, dard


def worst_regret(p, one, other):
    """The largest loss by `one` of going to a policy that `other` likes no less, over its range.

    A linear program in the occupancies of both policies.
    """
    start = EVEN_S
    flow = np.zeros((S, S * A))
    for s, a in np.ndindex(S, A):
        flow[:, s * A + a] -= GAMMA * p[s, a]
        flow[s, s * A + a] += 1
    both = np.kron(np.eye(2), flow)
    r, q = ((p * x).sum(-1).reshape(-1) for x in (one, other))
    equal = np.concatenate([start, start])
    found = linprog(np.concatenate([-r, r]), np.concatenate([q, -q])[None], [0.0], both, equal)
    single = [linprog(sign * r, A_eq=flow, b_eq=start).fun for sign in (1, -1)]
    return -found.fun / (-single[1] - single[0])


def test_distances_know_what_does_not_matter_and_follow_regret():
    arrays, mdps = processes(end=0.0)
    rng = np.random.default_rng(2)
    potential, change = (jnp.asarray(rng.normal(size=x), jnp.float32)
                         for x in ((N, S), (N, S, A, S)))  # fmt: skip
    policies = jnp.asarray(rng.dirichlet(np.ones(A), (N, S)), jnp.float32)
    mixing = jnp.linspace(0.0, 1.0, N)

    @jax.jit
    @jax.vmap
    def distances(mdp, policy, potential, change, share):
        """Of the rewards to the same in other words, to their negatives, and to other rewards."""
        shaped = 2 * dp.shaped(mdp, potential, GAMMA).reward
        moved = dp.redistributed(mdp, change).reward
        mixed = (1 - share) * mdp.reward + share * change
        noisy = dp.shaped(mdp._replace(reward=mixed), 3 * potential, GAMMA).reward
        trivial = dp.shaped(mdp._replace(reward=0 * change), potential, GAMMA).reward
        others = jnp.stack([shaped, moved, -mdp.reward, trivial, noisy])

        def all_of(reward):
            return jnp.stack([
                dp.starc_distance(mdp, reward, policy, GAMMA),
                dp.epic_distance(mdp, reward, EVEN_A, EVEN_S, GAMMA),
                dp.dard_distance(mdp, reward, EVEN_A, EVEN_S, GAMMA),
                jnp.sqrt(jnp.square(reward - mdp.reward).sum()),
            ])  # fmt: skip

        nothing = dp.starc_distance(mdp._replace(reward=trivial), 0 * change, policy, GAMMA)
        forms = dp.epic_canonical(mdp, EVEN_A, EVEN_S, GAMMA), dp.dard_canonical(mdp, EVEN_A, GAMMA)
        advantage = dp.canonical_reward(mdp, policy, GAMMA)
        return jax.vmap(all_of)(others), nothing, forms, advantage, noisy

    out = jax.device_get(distances(mdps, policies, potential, change, mixing))
    found, nothing, (epic, dard), advantage, noisy = out
    np.testing.assert_allclose(found[:, 0, :3], 0, atol=1e-3)  # a potential and a scale
    np.testing.assert_allclose(found[:, 1, 0], 0, atol=1e-3)  # another one of the successor
    assert (found[:, 1, 1:3] > 0.05).all() and found[:, 1, 1:3].mean() > 0.3  # which these see
    np.testing.assert_allclose(found[:, 2, :3] - [2, 1, 1], 0, atol=1e-3)
    np.testing.assert_allclose(found[:, 3, 0], 1, atol=1e-3)  # from a unit vector to none
    np.testing.assert_allclose(nothing, 0, atol=1e-6)
    regrets = []
    for i, (p, r, d, _) in enumerate(arrays):
        for mine, theirs in zip((epic[i], dard[i]), canonical(p, r)):
            np.testing.assert_allclose(mine, theirs, atol=1e-4)
        returns = [[(EVEN_S * (plan * evaluated(p, x, d, GAMMA, plan)).sum(-1)).sum()
                    for x in (r, np.repeat(advantage[i][..., None], S, -1))]
                   for plan in PLANS[::9]]  # fmt: skip
        difference = np.subtract(*np.transpose(returns))
        np.testing.assert_allclose(difference, difference[0], atol=1e-3)
        regrets.append(worst_regret(p, r, np.asarray(noisy[i], float)))
    follows = [spearmanr(found[:, 4, k], regrets)[0] for k in range(4)]
    assert regrets[0] < 1e-4 and max(regrets) > 0.4
    assert follows[0] > 0.8 and follows[0] > follows[3]


def test_an_array_that_is_constant_has_a_distance():
    x, weights = jnp.array([1.0, 2.0, 4.0]), jnp.array([0.2, 0.3, 0.5])
    flat = jnp.full(3, 7.0)
    y = jnp.array([0.5, -1.0, 2.0])
    distance = jax.jit(dp.pearson_distance)
    for other, expected in ((flat, 0.5**0.5), (3 * x - 1, 0.0), (-x, 1.0)):
        assert distance(x, other, weights) == pytest.approx(expected, abs=1e-3)
    assert distance(flat, 0 * x, weights) == 0
    centred = [np.asarray(z - (weights * z).sum()) for z in (x, y)]
    moments = [(np.asarray(weights) * a * b).sum() for a in centred for b in centred]
    rho = moments[1] / np.sqrt(moments[0] * moments[3])
    assert distance(x, y, weights) == pytest.approx(np.sqrt((1 - rho) / 2), abs=1e-4)


def test_items_pay_their_gains_once_an_episode():
    """By all plans of five steps in a deterministic process, with a submodular set function."""
    rng = np.random.default_rng(3)
    steps, items = 5, 2
    following = rng.integers(0, S, (S, A))
    reward = rng.normal(size=(S, A))
    item = rng.integers(-1, items, (S, A))
    item[0], following[0, 0] = 0, 0  # to stay finds the first item again and again
    sets = np.arange(2**items)
    value = 3 * np.sqrt(np.array([bin(m).count("1") for m in sets])) + 0.5 * (sets & 1)
    p = np.eye(S)[following]
    mdp = dp.from_arrays(p, reward, np.ones((S, A, S)), np.eye(S)[0])
    where = np.broadcast_to(item[..., None], (S, A, S))

    @jax.jit
    def solve(mdp):
        again = dp.collecting(mdp, jnp.asarray(where), jnp.asarray(value, jnp.float32))
        return again, dp.finite_horizon(again, steps)[0]

    again, found = jax.device_get(solve(mdp))
    best, repeated = -np.inf, -np.inf
    single = np.array([value[1 << k] - value[0] for k in range(items)] + [0.0])
    for plan in itertools.product(range(A), repeat=steps):
        s, held, total, greedy = 0, 0, 0.0, 0.0
        for a in plan:
            new = held | (1 << item[s, a]) if item[s, a] >= 0 else held
            total += reward[s, a] + value[new] - value[held]
            greedy += reward[s, a] + single[item[s, a]]
            s, held = following[s, a], new
        best, repeated = max(best, total), max(repeated, greedy)
    assert found.shape == (S * 2**items, A)
    assert float(found[0].max()) == pytest.approx(best, abs=1e-4)
    assert repeated > best + 1.0  # what a bonus at each end would be worth
    with pytest.raises(InputError, match=r"needs 2\^n entries, not \(3,\)"):
        dp.collecting(mdp, jnp.asarray(where), np.zeros(3))
    with pytest.raises(InputError, match="are of dense processes"):
        dp.epic_canonical(again, EVEN_A, EVEN_S, GAMMA)
