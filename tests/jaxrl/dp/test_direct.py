"""Direct solutions, joint laws and sampled tables of one chain, whose numbers are known."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import dp, values
from jaxrl.dp.sampled import Moves
from tests.jaxrl.dp.cases import evaluated, random_arrays

GAMMA, EVEN = 0.9, np.full((3, 2), 0.5)
MEAN = np.array([-0.251377, 0.401652, -2.178993])
STD = np.array([2.063288, 2.187686, 2.157908])
CHAIN = np.array([[0.45, 0.4, 0.15], [0.25, 0.4, 0.35], [0.25, 0.15, 0.6]])
REWARD = np.array([0.0, 1.0, -1.0])


def chain():
    """The chain of the uniform policy of three states, with rewards 0, 1 and -1 of its states."""
    return dp.from_arrays(CHAIN[:, None], REWARD[:, None], np.ones((3, 1, 3)), np.full(3, 1 / 3))


ONE = np.ones((3, 1))


def test_the_categorical_fixed_point_is_what_iteration_converges_to():
    with jax.enable_x64(True):
        mdp = chain()

        @jax.jit
        def run(mdp):
            direct = {
                size: dp.categorical_fixed_point(
                    mdp, ONE, GAMMA, values.uniform_support(-10.0, 10.0, size)
                )
                for size in (11, 51, 201)
            }
            support = values.uniform_support(-10.0, 10.0, 51)
            place = values.on_support(support)
            model = dp.discounted(mdp, GAMMA)

            def sweep(_, p):
                law = values.ReturnDistribution(jnp.broadcast_to(support.atoms, p.shape), p)
                return place(dp.mixed(model, dp.arriving(model, law))).probabilities[:, 0]

            start = jnp.full((3, 51), 1 / 51)
            iterated = jax.lax.fori_loop(0, 600, sweep, start)
            spread = {k: values.variance(x) ** 0.5 for k, x in direct.items()}
            return direct[51].probabilities, iterated, jax.tree.map(values.mean, direct,
                is_leaf=lambda x: isinstance(x, values.ReturnDistribution)), spread  # fmt: skip

        direct, iterated, means, spread = jax.tree.map(np.asarray, run(mdp))
    np.testing.assert_allclose(direct[:, 0], iterated, atol=1e-12)
    for mean in means.values():
        np.testing.assert_allclose(mean[:, 0], MEAN, atol=1e-6)
    known = {
        11: (2.767, 2.969, 2.945),
        51: (2.096668, 2.219244, 2.189898),
        201: (2.065388, 2.189667, 2.159916),
    }
    for size, std in known.items():
        np.testing.assert_allclose(spread[size][:, 0], std, atol=1e-3 if size == 11 else 1e-6)


def test_joint_moments_and_samples_of_them():
    """Of the occupancy of an episode, and of returns that end and have rewards of successors."""
    arrays = random_arrays(2, 5, 2, end=0.3)
    policy = np.random.default_rng(0).dirichlet(np.ones(2), 5)
    with jax.enable_x64(True):
        mdp, ending = chain(), dp.from_arrays(*arrays)

        @jax.jit
        def run(mdp, ending, key):
            visits = dp.successor_measure_moments(mdp, ONE, GAMMA)
            paid = jnp.stack([ending.reward, jnp.square(ending.reward)], -1)
            both = dp.joint_moments(ending, policy, paid, GAMMA)
            samples = dp.joint_particles(ending, policy, paid, GAMMA, 2000, 80, key)
            solved = dp.policy_evaluation_by_solving(ending, policy, GAMMA)
            occupancy = dp.successor_measure_particles(mdp, ONE, GAMMA, 2000, 80, key)
            return visits, both, samples, solved, occupancy @ REWARD / (1 - GAMMA)

        found = run(mdp, ending, jax.random.key(0))
    visits, both, samples, solved, returns = jax.tree.map(np.asarray, found)
    covariance = visits.covariance[0]
    np.testing.assert_allclose(np.diag(covariance), [0.013670, 0.011387, 0.016733], atol=1e-6)
    off = covariance[[0, 0, 1], [1, 2, 2]]
    np.testing.assert_allclose(off, [-0.004162, -0.009508, -0.007225], atol=1e-6)
    np.testing.assert_allclose(visits.covariance.sum(-1), 0, atol=1e-12)
    law = REWARD @ visits.covariance @ REWARD / (1 - GAMMA) ** 2
    np.testing.assert_allclose(law, STD**2, atol=1e-5)
    np.testing.assert_allclose(visits.mean @ REWARD / (1 - GAMMA), MEAN, atol=1e-6)
    # Bootstrapped samples have these moments: of 2000 particles that share their past.
    np.testing.assert_allclose(returns.mean(1), MEAN, atol=0.5)
    np.testing.assert_allclose(returns.std(1), STD, rtol=0.2)
    # Each of them alone has the variance of a scalar recursion in numpy, and together they covary.
    p, r, d, _ = arrays
    exact = evaluated(p, r, d, GAMMA, policy)
    np.testing.assert_allclose(solved.theta, exact, atol=1e-10)
    assert solved.converged
    value = (policy * exact).sum(1)
    np.testing.assert_allclose(both.mean[:, 0], value, atol=1e-10)
    second = np.zeros(5)
    for _ in range(2000):
        square = r**2 + 2 * r * GAMMA * d * value + (GAMMA * d) ** 2 * second
        second = (policy * (p * square).sum(-1)).sum(1)
    np.testing.assert_allclose(both.covariance[:, 0, 0], second - value**2, atol=1e-9)
    sampled = np.stack([np.cov(x.T) for x in samples])
    scale = np.sqrt(np.einsum("sii,sjj->sij", both.covariance, both.covariance))
    np.testing.assert_allclose(sampled / scale, both.covariance / scale, atol=0.25)
    apart = both.covariance[:, 0, 1] / scale[:, 0, 1]
    assert np.abs(apart).max() > 0.2  # products of the marginals would have none


def test_quantile_temporal_differences_and_their_biased_means():
    """The limit of five quantiles, from the exact operator and from a stream of steps."""
    mdp = chain()
    few, lanes, steps = values.quantile(5, kappa=0.0), 16, 6000

    @jax.jit
    def run(mdp, key):
        tables = [
            dp.distributional_policy_evaluation(
                mdp, ONE, GAMMA, values.quantile(size), tolerance=1e-6
            ).theta
            for size in (5, 25)
        ]

        def learnt(key):
            k_state, k_next = jax.random.split(key)
            # Every state is visited alike, so that rates are known.
            state = jax.random.randint(k_state, (steps,), 0, 3)
            logits = jnp.log(jnp.asarray(CHAIN))[state]
            following = jax.random.categorical(k_next, logits)
            moves = Moves(state, jnp.asarray(REWARD)[state], jnp.full(steps, GAMMA), following)
            rate = 20 / (30 + jnp.arange(steps))
            return dp.distributional_td(few, moves, jnp.zeros((3, 5)), rate)

        return tables, jax.vmap(learnt)(jax.random.split(key, lanes))

    (five, many), learnt = jax.tree.map(np.asarray, run(mdp, jax.random.key(0)))
    np.testing.assert_allclose(five[:, 0].mean(-1), [0.360, 0.939, -2.760], atol=2e-3)
    np.testing.assert_allclose(many[:, 0].mean(-1), [-0.372, 0.275, -2.429], atol=2e-3)
    error = learnt.mean(0) - five[:, 0]
    # The lowest of the last state falls to -10 at a rate of 0.6 / 5 - 0.1 a step: not yet there.
    assert five[2, 0, 0] < -9.9 and learnt[:, 2, 0].mean() < -3
    error[2, 0] = 0
    assert np.abs(error).max() < 0.5, error


def test_the_nearest_probabilities_to_signed_weights():
    """By a quadratic programme: projected gradient on distribution functions, in numpy."""
    rng = np.random.default_rng(0)
    atoms = np.sort(rng.normal(size=(30, 6)), -1)
    weights = rng.normal(size=(30, 6)) + 0.5
    weights[0] = rng.dirichlet(np.ones(6))
    weights /= weights.sum(-1, keepdims=True)
    weights = np.where(np.abs(weights) > 5, 1 / 6, weights)
    weights /= weights.sum(-1, keepdims=True)
    with jax.enable_x64(True):
        found = jax.jit(values.unsigned)(values.SignedMeasure(atoms, weights)).probabilities
    for z, w, mine in zip(atoms, weights, np.asarray(found)):
        assert mine.min() >= 0 and abs(mine.sum() - 1) < 1e-12
        width, target, heights = np.diff(z), np.cumsum(w)[:-1], np.cumsum(mine)[:-1]
        # Nothing feasible is nearer: the slope at the optimum towards every vertex is not down.
        slope = width * (heights - target)
        vertices = np.stack([(np.arange(5) >= k) * 1.0 for k in range(6)])
        assert (vertices @ slope >= heights @ slope - 1e-9).all()
    np.testing.assert_allclose(found[0], weights[0], atol=1e-12)


def test_the_cramer_loss_is_unbiased_and_least_at_the_projection():
    support = values.uniform_support(0.0, 2.0, 5)
    family = values.cramer(support)
    rng = np.random.default_rng(0)
    law = values.ReturnDistribution(np.float32([0.3, 1.6]), np.float32([0.5, 0.5]))

    @jax.jit
    def run(law, theta):
        slope = jax.grad(family.loss)
        each = [slope(theta, values.dirac(atom)) for atom in law.atoms]
        best = family.project(law)
        return slope(theta, law), (each[0] + each[1]) / 2, slope(best, law), family.loss(best, law)

    whole, mean, at_best, least = run(law, np.float32(rng.normal(size=5)))
    np.testing.assert_allclose(whole, mean, atol=1e-6)
    np.testing.assert_allclose(at_best, 0, atol=1e-6)
    assert abs(float(least)) < 1e-10 and np.abs(whole).max() > 1e-3


def test_quantiles_that_cannot_cross():
    """Whatever the outputs are, and its projection is that of plain quantiles."""
    family, plain = values.non_crossing_quantile(6, kappa=0.01), values.quantile(6, kappa=0.01)
    rng = np.random.default_rng(0)
    law = values.ReturnDistribution(rng.normal(size=(20, 9)), rng.dirichlet(np.ones(9), 20))

    @jax.jit
    def run(law, theta):
        best = family.project(law)
        atoms = family.decode(theta).atoms
        losses = family.loss(theta[:20], law), plain.loss(atoms[:20], law)
        return atoms, family.decode(best).atoms, plain.project(law), losses

    with jax.enable_x64(True):
        found = run(law, 5 * rng.normal(size=(200, 8)))
    random, projected, exact, losses = jax.tree.map(np.asarray, found)
    assert (np.diff(random, axis=-1) >= 0).all()
    np.testing.assert_allclose(projected, exact, atol=1e-4)
    np.testing.assert_allclose(*losses, rtol=1e-9)
