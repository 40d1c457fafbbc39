"""Multi-step mixtures against enumeration of the mixture, in every pattern of boundaries."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import returns, values
from tests.jaxrl.values.families import SUPPORT, close, sample

T, N, GAMMA, LAM = 4, 3, 0.9, 0.7
PATTERNS = np.array(list(itertools.product((0, 1, 2), repeat=T))).T  # 1 died, 2 was truncated
B = PATTERNS.shape[1]
rng = np.random.default_rng(0)
REWARD = jnp.asarray(rng.normal(size=(T, B)), jnp.float32)
DISCOUNT = jnp.asarray(GAMMA * (PATTERNS != 1), jnp.float32)
LAST = jnp.asarray(PATTERNS != 0)
ARGS = (REWARD, DISCOUNT, LAST)
FOLLOWING, TAKEN = sample(1, (T, B, N), -3, 3), sample(2, (T, B, 2), -3, 3)
RATIO = jnp.asarray(rng.uniform(0.2, 2.0, (T, B)), jnp.float32)
TEST_FUNCTIONS = [lambda z: z, lambda z: z**2, np.sin, lambda z: np.maximum(z, 0.3)]


def sums(reward, discount, future):
    return reward + discount * future


def worst(reward, discount, future):
    return np.where(discount > 0, np.minimum(reward, future), reward)


def chain(t, k, column, atoms, join):
    """The returns of t that start with the rewards of t..k and go on as `atoms`."""
    for i in range(k, t - 1, -1):
        atoms = join(float(REWARD[i, column]), float(DISCOUNT[i, column]), atoms)
    return atoms


def stop(t, column):
    """The last step of the episode that t is in."""
    return next(k for k in range(t, T) if LAST[k, column] or k == T - 1)


def expectations(d):
    """E f(Z) [T, B] for each test function."""
    z, p = np.asarray(d.atoms, np.float64), np.asarray(d.probabilities, np.float64)
    return [(p * f(z)).sum(-1) for f in TEST_FUNCTIONS]


def by_definition(parts):
    """E f(Z) [T, B] of the measures that parts(t, column) lists, with a weight each."""
    out = np.zeros((len(TEST_FUNCTIONS), T, B))
    for t, column in itertools.product(range(T), range(B)):
        for weight, atoms, p in parts(t, column):
            for i, f in enumerate(TEST_FUNCTIONS):
                out[i, t, column] += weight * (p * f(atoms)).sum()
    return out


def of(d, t, column):
    return np.asarray(d.atoms[t, column], np.float64), np.asarray(d.probabilities[t, column])


JOINS = pytest.mark.parametrize(
    ("push", "join"), [(values.push, sums), (values.push_worst, worst)], ids=["sum", "worst"]
)
FOLLOWING, TAKEN = (jax.tree.map(np.asarray, d) for d in (FOLLOWING, TAKEN))
REWARD, DISCOUNT, LAST, RATIO = (np.asarray(x) for x in (REWARD, DISCOUNT, LAST, RATIO))


def agree(ours, parts):
    for a, b in zip(expectations(ours), by_definition(parts)):
        close(a, b, 5e-5, 1e-4)


@JOINS
@pytest.mark.parametrize("n", [1, 2, 9])
def test_n_step(push, join, n):
    ours = jax.jit(lambda *args: values.n_step_distributions(*args, n, push))(*ARGS, FOLLOWING)

    def parts(t, column):
        k = min(t + n - 1, stop(t, column))
        atoms, p = of(FOLLOWING, k, column)
        yield 1.0, chain(t, k, column, atoms, join), p

    agree(ours, parts)
    if push is values.push:
        scalar = returns.n_step_returns(*ARGS, values.mean(FOLLOWING), n)
        close(values.mean(ours), scalar, 2e-5)


@JOINS
def test_lambda_mixture(push, join):
    ours = jax.jit(lambda *args: values.lambda_distributions(*args, LAM, push))(*ARGS, FOLLOWING)
    close(ours.probabilities.sum(-1), 1.0)

    def parts(t, column):
        end = stop(t, column)
        for k in range(t, end + 1):
            weight = LAM ** (k - t) * (1 if k == end else 1 - LAM)
            atoms, p = of(FOLLOWING, k, column)
            yield weight, chain(t, k, column, atoms, join), p

    agree(ours, parts)
    if push is values.push:
        scalar = returns.lambda_returns(*ARGS, values.mean(FOLLOWING), LAM)
        close(values.mean(ours), scalar, 2e-5)


@JOINS
def test_retrace(push, join):
    ours = jax.jit(lambda *args: values.retrace_distributions(*args, LAM, push))(
        *ARGS, TAKEN, FOLLOWING, RATIO
    )
    close(ours.probabilities.sum(-1), 1.0)
    assert (np.asarray(ours.probabilities) < 0).any()  # a signed measure

    def parts(t, column):
        trace = 1.0
        for k in range(t, stop(t, column) + 1):
            atoms, p = of(FOLLOWING, k, column)
            yield trace, chain(t, k, column, atoms, join), p
            if k < stop(t, column):
                trace *= LAM * min(1.0, RATIO[k + 1, column])
                atoms, p = of(TAKEN, k + 1, column)
                yield -trace, chain(t, k, column, atoms, join), p

    agree(ours, parts)
    if push is values.push:
        means = values.mean(TAKEN), values.mean(FOLLOWING)
        close(values.mean(ours), returns.retrace(*ARGS, *means, RATIO, LAM), 2e-5)


def test_compressed_mixtures_keep_means_and_size():
    """A linear projection at each step keeps the means, also of signed measures."""
    place = values.on_support(SUPPORT)
    mixture = values.lambda_distributions(*ARGS, FOLLOWING, LAM, compress=place)
    assert mixture.atoms.shape == (T, B, 21)
    close(values.mean(mixture), returns.lambda_returns(*ARGS, values.mean(FOLLOWING), LAM), 5e-5)
    signed = values.retrace_distributions(*ARGS, TAKEN, FOLLOWING, RATIO, LAM, compress=place)
    means = values.mean(TAKEN), values.mean(FOLLOWING)
    close(values.mean(signed), returns.retrace(*ARGS, *means, RATIO, LAM), 5e-5)
    late = place(values.lambda_distributions(*ARGS, FOLLOWING, 0.0))
    early = values.lambda_distributions(*ARGS, FOLLOWING, 0.0, compress=place)
    close(late.probabilities, early.probabilities)


def test_the_true_distribution_is_the_fixed_point_of_retrace():
    """On a two-state MDP, off policy: E over trajectories of the target is what it was given."""
    transition = np.array([[[0.3, 0.7], [0.9, 0.1]], [[0.5, 0.5], [0.2, 0.8]]])  # [S, A, S']
    reward = np.array([[0.0, 1.0], [-1.0, 0.5]])  # [S, A]
    pi, mu = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([[0.4, 0.6], [0.5, 0.5]])
    gamma, length = 0.5, 3
    # Returns of 40 steps, by exact recursion on a fine grid.
    grid = np.linspace(-2.5, 2.5, 2001)
    distribution = np.zeros((2, 2, 2001))
    distribution[..., 1000] = 1.0
    for _ in range(40):
        mixed = np.einsum("sax,xb,xbz->saz", transition, pi, distribution)
        for s, a in itertools.product(range(2), range(2)):
            x = (reward[s, a] + gamma * grid - grid[0]) / (grid[1] - grid[0])
            low = np.floor(x + 1e-9).astype(int)
            share = x - low
            distribution[s, a] = np.bincount(low, mixed[s, a] * (1 - share), 2001) + np.bincount(
                np.minimum(low + 1, 2000), mixed[s, a] * share, 2001
            )
    mean, square = distribution @ grid, distribution @ grid**2
    total = np.zeros(2)
    paths = list(itertools.product(range(2), range(2), repeat=length))
    rows = []
    for path in paths:  # from state 0 and action 0: then (state, action) three times
        states, actions = (0, *path[0::2]), (0, *path[1::2])
        probability = 1.0
        for i in range(length):
            probability *= transition[states[i], actions[i], states[i + 1]]
            probability *= mu[states[i + 1], actions[i + 1]]
        rows.append((states, actions, probability))
    s, a = (np.array([row[i] for row in rows]).T for i in (0, 1))  # [T + 1, paths]
    weight = np.array([row[2] for row in rows])
    assert weight.sum() == pytest.approx(1.0)
    coarse = lambda p: values.ReturnDistribution(
        jnp.broadcast_to(jnp.asarray(grid, jnp.float32), p.shape), jnp.asarray(p, jnp.float32)
    )
    future = np.einsum("xb,xbz->xz", pi, distribution)
    out = values.retrace_distributions(
        jnp.asarray(reward[s, a][:length], jnp.float32),
        jnp.full((length, len(rows)), gamma),
        jnp.zeros((length, len(rows)), bool),
        coarse(distribution[s, a][:length]),
        coarse(future[s[1:]]),
        jnp.asarray((pi / mu)[s, a][:length], jnp.float32),
        0.9,
    )
    z, p = np.asarray(out.atoms[0], np.float64), np.asarray(out.probabilities[0], np.float64)
    total = [(weight * (p * z**k).sum(-1)).sum() for k in (1, 2)]
    assert total == pytest.approx([mean[0, 0], square[0, 0]], abs=1e-3)


def test_worst_step_needs_the_distribution():
    """E min(r, Z) on a coin: a scalar recursion through the mean gets it wrong."""
    coin = values.ReturnDistribution(jnp.array([-1.0, 1.0]), jnp.array([0.5, 0.5]))
    distribution = values.push_worst(coin, jnp.array(0.5), jnp.array(1.0))
    assert values.mean(distribution) == pytest.approx(-0.25)
    wrong = values.push_worst(values.collapse(coin), jnp.array(0.5), jnp.array(1.0))
    assert values.mean(wrong) == pytest.approx(0.0)
    ended = values.push_worst(coin, jnp.array(0.5), jnp.array(0.0))
    assert values.mean(ended) == pytest.approx(0.5)


def test_worst_step_of_a_process_by_enumeration():
    """The least of three random rewards, by recursion and by listing all paths."""
    rewards, p = np.array([-1.0, 0.0, 2.0]), np.array([0.2, 0.5, 0.3])
    distribution = values.dirac(jnp.array(0.0))
    for step in range(3):
        spread = jax.tree.map(lambda x: jnp.broadcast_to(x, (3, *x.shape)), distribution)
        alive = jnp.full(3, 0.0 if step == 0 else 1.0)
        pushed = values.push_worst(spread, jnp.asarray(rewards, jnp.float32), alive)
        distribution = values.mix(pushed, jnp.asarray(p, jnp.float32))
    paths = list(itertools.product(range(3), repeat=3))
    for x in rewards:
        wanted = sum(np.prod(p[list(i)]) for i in paths if rewards[list(i)].min() <= x)
        got = values.cdf(distribution, jnp.array([x]))[0]
        assert got == pytest.approx(wanted, abs=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match="n must be above zero, but it is 0"):
        values.n_step_distributions(*ARGS, FOLLOWING, 0)
    with pytest.raises(ValueError, match=r"A distribution must be \[\*reward, N\]"):
        values.n_step_distributions(*ARGS, jax.tree.map(lambda x: x[:, None], FOLLOWING), 2)
    with pytest.raises(ValueError, match="discount must have the shape of reward"):
        values.lambda_distributions(ARGS[0], ARGS[1][:, :1], ARGS[2], FOLLOWING, 0.5)
    with pytest.raises(ValueError, match="lam must lie between 0 and 1"):
        values.lambda_distributions(*ARGS, FOLLOWING, 1.5)
