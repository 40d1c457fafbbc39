"""Bilevel rewards, penalties of occupancies, re-ranked policies and programmes, beside oracles."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxrl import dp
from jaxrl.errors import InputError
from jaxrl.rewards import bilevel, lexicographic, penalties, programmes, reranked
from jaxrl.types import memoryless
from tests.jaxrl.dp.cases import evaluated, random_arrays


def test_implicit_gradients_are_those_of_finite_differences():
    """Of rewards and of a discount, through a policy in a tabular process that is regularised."""
    S, A, decay = 3, 2, 0.1
    p, r, d, start = random_arrays(5, S, A, end=0.2)
    mean = (p * r).sum(-1)
    auxiliary = np.random.default_rng(0).normal(size=(S, A))
    true_gamma = 0.9

    def value(theta, reward, gamma, lib=jnp):
        """The return of a softmax policy, by a linear system."""
        policy = lib.exp(theta - theta.max(-1, keepdims=True))
        policy = policy / policy.sum(-1, keepdims=True)
        kernel = lib.einsum("sa,sat->st", policy, gamma * p * d)
        return start @ lib.linalg.solve(lib.eye(S) - kernel, (policy * reward).sum(-1))

    def reward(phi):
        return bilevel.mixed_reward(phi, mean, auxiliary)

    inner = lambda theta, phi: (
        value(theta, reward(phi), phi["gamma"]) - decay / 2 * (theta**2).sum()
    )
    residual = jax.grad(inner)

    def solve(theta, phi):
        def newton(theta, _):
            flat = lambda x: residual(x.reshape(S, A), phi).reshape(-1)
            step = jnp.linalg.solve(jax.jacobian(flat)(theta.reshape(-1)), flat(theta.reshape(-1)))
            return theta - step.reshape(S, A), None

        climb = lambda theta, _: (theta + 0.5 * residual(theta, phi), None)
        theta, _ = jax.lax.scan(climb, theta, None, 300)
        return jax.lax.scan(newton, theta, None, 3)[0]

    solution = bilevel.learnt_from(residual, solve, jnp.zeros((S, A)))
    phi = {"bias": 0.1, "primary": 0.7, "auxiliary": 0.5, "gamma": 0.6}
    phi = {name: jnp.asarray(x) for name, x in phi.items()}
    outer = jax.jit(jax.grad(lambda phi: value(solution(phi), mean, true_gamma)))

    def by_hand(phi):
        reward = phi["bias"] + phi["primary"] * mean + phi["auxiliary"] * auxiliary
        loss = lambda x: -value(x.reshape(S, A), reward, phi["gamma"], np) + decay / 2 * (x @ x)
        theta = minimize(loss, np.zeros(S * A), method="BFGS", options={"gtol": 1e-9}).x
        return value(theta.reshape(S, A), mean, true_gamma, np)

    found, h = outer(phi), 1e-3
    plain = {name: float(x) for name, x in phi.items()}
    for name, slope in found.items():
        up, down = (by_hand(plain | {name: plain[name] + sign * h}) for sign in (1, -1))
        assert slope == pytest.approx((up - down) / 2 / h, abs=2e-3), name
    assert max(abs(x) for x in found.values()) > 0.05


def test_occupancies_bound_what_a_proxy_promises():
    """Random processes, policies and proxies; and the policy gradients of the penalties."""
    S, A, N, gamma = 4, 2, 300, 0.8
    mdp = dp.stacked(dp.from_arrays(*random_arrays(seed, S, A, end=0.0)) for seed in range(30))
    rng = np.random.default_rng(1)
    rewards = rng.normal(size=(2, N, S, A))
    rewards[1] += rng.uniform(0, 3, (N, 1, 1)) * rewards[0]
    logits = rng.normal(size=(2, N, S, A)) * np.array([0.5, 1.5])[:, None, None, None]
    index = rng.integers(0, 30, N)

    @jax.jit
    @jax.vmap
    def bounds(mdp, reward, proxy, base, other):
        occupancies = [dp.occupancy(mdp, jax.nn.softmax(x), gamma) for x in (other, base)]
        mu, nu = (x / x.sum() for x in occupancies)

        def divergence(theta):
            mu = dp.occupancy(mdp, jax.nn.softmax(theta), gamma)
            return dp.chi_square_divergence(mu, nu)

        def penalised(theta):
            now = dp.occupancy(mdp, jax.nn.softmax(theta), gamma)
            return (now / now.sum() * penalties.chi_square_penalty(jnp.log(mu / nu))).sum()

        slopes = jax.grad(divergence)(other), jax.grad(penalised)(other)
        correlation = dp.proxy_correlation(reward, proxy, nu)
        return dp.guaranteed_gain(reward, proxy, *occupancies), correlation, (mu, nu), slopes

    chosen = jax.tree.map(lambda x: x[index], mdp)
    (gain, bound), correlation, (mu, nu), slopes = jax.device_get(
        bounds(chosen, *rewards.astype(np.float32), *logits.astype(np.float32))
    )
    positive = correlation > 0
    assert positive.sum() > 200 and (gain >= bound - 1e-3)[positive].all()
    np.testing.assert_allclose(*slopes, atol=2e-3)
    for i in range(5):
        r, q = (x - (nu[i] * x).sum() for x in rewards[:, i])
        c = (nu[i] * r * q).sum() / np.sqrt((nu[i] * r * r).sum() * (nu[i] * q * q).sum())
        chi = (mu[i] ** 2 / nu[i]).sum() - 1
        assert correlation[i] == pytest.approx(c, abs=1e-4)
        promised = c * ((mu[i] * q).sum()) / np.sqrt((nu[i] * q * q).sum())
        assert bound[i] == pytest.approx(promised - np.sqrt((1 - c * c) * chi), abs=2e-3)


def test_penalties_of_few_steps_and_their_discriminator():
    mu, nu = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])
    ratio = jnp.asarray(np.log(mu / nu), jnp.float32)
    current, base = (np.repeat(np.arange(4), np.round(10 * x).astype(int)) for x in (mu, nu))
    loss = lambda logit: penalties.discriminator_loss(logit[current], logit[base])
    np.testing.assert_allclose(jax.grad(loss)(ratio), 0, atol=1e-6)
    # Ten steps are too few to trim, and the mean over them is the divergence itself.
    found = penalties.root_chi_square_penalty(ratio[current])
    chi = (mu**2 / nu).sum() - 1
    np.testing.assert_allclose(found, (mu / nu - 1)[current] / np.sqrt(chi), rtol=1e-4)
    many = jnp.repeat(ratio[current], 100).at[0].set(20.0)
    assert jnp.abs(penalties.root_chi_square_penalty(many)[1:]).max() < 100
    assert penalties.occupancy_penalty("kl")(ratio) is ratio
    with pytest.raises(InputError, match="did you mean chi-square"):
        penalties.occupancy_penalty("chi-squares")


def test_re_ranked_policies_tend_to_the_tilted_one_and_overrate_errors():
    policy, q = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 0.5, 1.0, 2.0])
    lanes, temperature = 20_000, 1.0
    tilted = policy * np.exp(q / temperature)
    tilted /= tilted.sum()

    def exact(number):
        found = np.zeros(4)
        for drawn in itertools.product(range(4), repeat=number):
            weights = np.exp(q[list(drawn)] / temperature)
            for a, weight in zip(drawn, weights / weights.sum()):
                found[a] += np.prod(policy[list(drawn)]) * weight
        return found

    gaps = [np.abs(exact(number) - tilted).sum() / 2 for number in (1, 2, 4, 6)]
    assert (np.diff(gaps) < 0).all() and gaps[3] < 0.5 * gaps[0]
    drawn = memoryless(lambda view, obs, key: (
        jax.random.choice(key, 4, (lanes,), p=jnp.asarray(policy)), obs + 1))  # fmt: skip
    score = lambda view, obs, action: view[action]
    obs = jnp.arange(lanes)

    @jax.jit
    def act(view, key):
        k_soft, k_best = jax.random.split(key)
        soft = reranked(drawn, score, 4, temperature).step(view, (), obs, k_soft)
        best = reranked(drawn, score, 3).step(view, (), obs, k_best)
        return soft[0], best[0], soft[2]

    soft, best, extras = act(jnp.asarray(q), jax.random.key(0))
    np.testing.assert_array_equal(extras, obs + 1)
    below = np.cumsum(policy)
    highest = below**3 - (below - policy) ** 3
    for found, expected in ((soft, exact(4)), (best, highest)):
        share = np.bincount(found, minlength=4) / lanes
        error = np.sqrt(expected * (1 - expected) / lanes)
        assert (np.abs(share - expected) < 4.5 * error).all()
    # A critic that overrates what is far away: ten draws help, and a thousand harm.
    true = lambda a: -jnp.square(a - 1)
    wrong = lambda view, obs, a: true(a) + 3 * jnp.square(jnp.maximum(jnp.abs(a) - 2, 0))
    normal = memoryless(lambda view, obs, key: (jax.random.normal(key, (500,)), ()))

    @jax.jit
    def worth(key):
        actors = [reranked(normal, wrong, number) for number in (1, 6, 400)]
        return [true(x.step((), (), obs[:500], key)[0]).mean() for x in actors]

    means = worth(jax.random.key(1))
    assert means[1] > means[0] + 0.5 and means[1] > means[2] + 0.5
    with pytest.raises(InputError, match="number must be above zero"):
        reranked(normal, wrong, 0)


def test_programmes_do_what_they_are_written_as():
    """By Python's own evaluation of the text, and a search whose parents survive."""
    features, lines, number = 3, 5, 60
    names = ("x", "y", "z")
    seen = np.random.default_rng(2).normal(size=(7, features)).astype(np.float32)
    keys = jax.random.split(jax.random.key(3), number)
    drawn = jax.jit(jax.vmap(lambda key: programmes.random_programme(key, features, lines)))(keys)
    values = jax.jit(jax.vmap(programmes.reward_of, (0, None)))(drawn, seen)
    known = {"min": np.minimum, "abs": np.abs, "tanh": np.tanh, "exp": np.exp}
    operations = set()
    with np.errstate(over="ignore"):
        for i in range(number):
            one = jax.tree.map(lambda x, i=i: x[i], drawn)
            text = programmes.written(one, names)
            operations.update(np.asarray(one.operation).tolist())
            expected = eval(text, {**known, **dict(zip(names, seen.T))})
            np.testing.assert_allclose(values[i], np.broadcast_to(expected, 7), rtol=0.3, atol=0.1)
    assert len(operations) == len(programmes.NAMES)
    target = -np.abs(seen[:, 0])

    def fitness(programme, key):
        reward = programmes.reward_of(programme, seen)
        return -jnp.square(reward - target).mean()

    find = jax.jit(lambda key: programmes.searched(key, fitness, features, 3, 32, 12))
    found = find(jax.random.key(0))
    scores = np.asarray(found.scores)
    assert (np.diff(found.fitness) >= 0).all()
    np.testing.assert_allclose(found.fitness[-1], scores.max(), rtol=1e-5)
    for t in range(1, 12):
        np.testing.assert_allclose(scores[t, 0], scores[t - 1].max(), rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="population must be above one"):
        programmes.searched(keys[0], fitness, features, 3, 1)


def test_margins_make_few_cycles():
    """The shares of cyclic triples of three factors that are independent and normal."""
    draws = jax.random.normal(jax.random.key(4), (100_000, 3, 3))

    @jax.jit
    def cycles(margin):
        a, b, c = jnp.moveaxis(draws, 1, 0)
        wins = [lexicographic(x, y, margin) for x, y in ((a, b), (b, c), (c, a))]
        total = sum(wins)
        return (jnp.abs(total) == 3).mean()

    def by_hand(x, y, margin):
        decided = np.abs(x - y) > margin
        first = np.take_along_axis(np.sign(x - y), decided.argmax(-1)[:, None], -1)[:, 0]
        return np.where(decided.any(-1), first, 0)

    for margin, low, high in ((0.0, 0.0, 0.0), (0.25, 0.0015, 0.0035), (1.0, 0.011, 0.017)):
        a, b, c = np.moveaxis(np.asarray(draws), 1, 0)
        round_ = sum(by_hand(x, y, margin) for x, y in ((a, b), (b, c), (c, a)))
        share = (abs(round_) == 3).mean()
        assert float(cycles(margin)) == pytest.approx(share, abs=1e-4)
        assert low <= share <= high


def test_bonuses_at_every_end_are_earned_by_going_back_and_forth():
    """A corridor with a key halfway: the bonus for the key is worth more than the goal."""
    states, gamma = np.arange(6), 0.95
    to = np.clip(states[:, None] + np.array([-1, 1]), 0, 5)
    reward = np.zeros((6, 2, 6))
    reward[4, 1] = 1.0
    goes_on = np.ones((6, 2, 6)) * (np.arange(6) < 5)
    p = np.eye(6)[to]
    arrives = np.where(np.arange(6) == 2, 0, -1) + np.zeros((6, 2, 6), int)
    once = dp.collecting(dp.from_arrays(p, reward, goes_on, np.eye(6)[0]), jnp.asarray(arrives),
                         jnp.array([0.0, 0.5]))  # fmt: skip
    paid = dp.from_arrays(p, reward + 0.5 * (arrives == 0), goes_on, np.eye(6)[0])
    solve = jax.jit(lambda mdp: dp.value_iteration(mdp, gamma).theta)
    cycling, finishing = (np.asarray(solve(mdp)) for mdp in (paid, once))
    for q, reaches in ((cycling[:6], 0.0), (finishing[6:12], gamma**2)):
        greedy = np.eye(2)[q.argmax(1)]  # after the key was found
        true = evaluated(p, reward, goes_on, gamma, greedy)
        assert (greedy * true).sum(1)[2] == pytest.approx(reaches, abs=1e-5)
