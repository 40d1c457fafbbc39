"""Ensembles, policy evaluation, particles and Gaussians, against their definitions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from jaxrl import values
from tests.jaxrl.values.families import SUPPORT, close, cramer, rows, sample

some = settings(max_examples=20, deadline=None, derandomize=True)
RNG = np.random.default_rng(0)
MEMBERS = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)


def decoded_mean(reduction, theta=MEMBERS):
    return values.mean(values.ensemble(values.scalar(), 4, reduction).decode(theta))


def test_reductions_of_scalars():
    q = np.asarray(MEMBERS)
    close(decoded_mean(values.minimum), q.min(-1))
    close(decoded_mean(values.average), q.mean(-1))
    close(decoded_mean(values.lower_confidence(1.5)), q.mean(-1) - 1.5 * q.std(-1), 1e-4)
    close(decoded_mean(values.quantile_of_ensemble(0.0)), q.min(-1))
    close(decoded_mean(values.quantile_of_ensemble(1 / 3)), np.sort(q)[:, 1])
    close(decoded_mean(values.quantile_of_ensemble(1.0)), q.max(-1))
    close(decoded_mean(values.truncated(3)), q.min(-1))
    close(decoded_mean(values.truncated(1)), np.sort(q)[:, :3].mean(-1))
    swept = jax.vmap(lambda beta: decoded_mean(values.lower_confidence(beta)))(jnp.arange(3.0))
    close(swept[1], q.mean(-1) - q.std(-1))
    equal = jax.grad(lambda t: decoded_mean(values.lower_confidence(1.0), t).sum())(
        jnp.zeros((1, 4))
    )
    assert np.isfinite(equal).all()  # where all agree


def test_minimum_takes_a_whole_distribution_not_each_atom():
    theta = jnp.array([0.0, 10.0, 4.0, 5.0])
    d = values.ensemble(values.quantile(2), 2).decode(theta)
    close(d.atoms, [4, 5], 0)


def test_truncated_quantile_critics():
    """The pooled, sorted atoms of all critics without the highest: TQC's equation 11."""
    theta = RNG.normal(size=(5, 3, 7))
    settings = values.Ensemble(3, "truncated", drop=2)
    family = values.ensemble_critic(values.quantile(7), settings)
    d = family.decode(jnp.asarray(theta.reshape(5, 21), jnp.float32))
    close(d.atoms, np.sort(theta.reshape(5, 21))[:, :15])
    close(d.probabilities, 1 / 15)


def test_random_subsets_are_subsets_and_all_come_up():
    q = np.asarray(MEMBERS)

    @jax.jit
    def draw(key):
        return decoded_mean(values.random_subset(key, 2))

    pairs = list(itertools.combinations(range(4), 2))
    seen = set()
    for seed in range(60):
        got = draw(jax.random.key(seed))
        match = [i for i, pair in enumerate(pairs) if np.allclose(got, q[:, pair].min(-1))]
        assert match  # the same pair for the whole batch
        seen |= set(match)
    assert len(seen) == 6
    with pytest.raises(ValueError, match="size must be at most 4, but it is 5"):
        draw = decoded_mean(values.random_subset(jax.random.key(0), 5))


def test_every_member_learns_from_the_same_target():
    family, one = values.ensemble(values.quantile(3), 2), values.quantile(3)
    theta, d = jnp.asarray(RNG.normal(size=(4, 6)), jnp.float32), sample(0, (4, 8), -2, 2)
    close(family.loss(theta, d), one.loss(theta[:, :3], d) + one.loss(theta[:, 3:], d))
    close(family.project(d), np.tile(one.project(d), 2))


# Evaluation of policies.


def test_soft_evaluation_has_the_soft_value_as_mean():
    q = jnp.asarray(RNG.normal(size=(5, 3, 1)) * 4, jnp.float32)
    for temperature in (1e-3, 0.1, 1.0, 50.0):
        soft = values.mean(values.soft(values.scalar(), q, temperature))
        wanted = temperature * special.logsumexp(
            np.asarray(q[..., 0], np.float64) / temperature, -1
        )
        close(soft, wanted, 1e-3, 1e-4)
    d = values.soft(values.scalar(), q, 0.5)
    assert (d.atoms.max(-1) - d.atoms.min(-1) < 1e-4).all()  # Q - t log pi is constant in a
    hard = values.greedy(values.scalar(), q)
    close(values.mean(values.soft(values.scalar(), q, 1e-4)), values.mean(hard), 1e-3)


def test_entropy_bonus_belongs_inside_the_discount():
    d = sample(1, (2, 5))
    log_prob, reward, discount = jnp.array([-0.5, -2.0]), jnp.ones(2), jnp.array([0.9, 0.0])
    target = values.push(values.entropy_shift(d, log_prob, 0.2), reward, discount)
    close(values.mean(target), 1 + discount * (values.mean(d) - 0.2 * log_prob))
    close(values.mean(target)[1], 1.0)  # nothing after the end, the bonus included


def test_munchausen():
    q = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
    action = jnp.array([0, 1, 2, 0, 1, 2])
    log = 0.3 * special.log_softmax(np.asarray(q, np.float64) / 0.3, -1)[np.arange(6), action]
    close(values.munchausen(q, action, 0.3), 0.9 * np.clip(log, -1, 0))
    close(values.munchausen(q, action, 0.3, scale=0.5, floor=-0.1), 0.5 * np.clip(log, -0.1, 0))
    assert np.isfinite(values.munchausen(q * 1e6, action, 0.03)).all()


def test_munchausen_target_is_the_papers():
    """r + a t log pi(a|s) + gamma sum pi (q' - t log pi'), on a scalar critic."""
    q, after = (jnp.asarray(x, jnp.float32) for x in RNG.normal(size=(2, 6, 3)))
    action, t, gamma = jnp.arange(6) % 3, 0.3, 0.9
    bonus = values.munchausen(q, action, t)
    ours = values.mean(values.push(values.soft(values.scalar(), after[..., None], t), bonus, gamma))
    log_pi = special.log_softmax(np.asarray(q, np.float64) / t, -1)[np.arange(6), action]
    log_next = special.log_softmax(np.asarray(after, np.float64) / t, -1)
    future = (np.exp(log_next) * (after - t * log_next)).sum(-1)
    close(ours, 0.9 * np.clip(t * log_pi, -1, 0) + gamma * future)


def test_expected_and_greedy_agree_with_rlax_on_quantiles():
    theta, judge = (jnp.asarray(x, jnp.float32) for x in RNG.normal(size=(2, 4, 3, 5)))
    family = values.quantile(5, 0.5)
    chosen = values.greedy(family, theta, judge=judge)
    close(chosen.atoms, np.asarray(theta)[np.arange(4), np.asarray(judge).mean(-1).argmax(-1)], 0)
    pi = jnp.asarray(RNG.dirichlet(np.ones(3), 4), jnp.float32)
    target = values.push(values.expected(family, theta, pi), jnp.ones(4), jnp.full(4, 0.9))
    now = theta[:, 0]
    # theirs averages one loss per action: the same, since losses are linear in the mixture
    fn = jax.vmap(rlax.quantile_regression_loss, (0, None, 0, None))
    each = jnp.stack([fn(now, values.midpoints(5), 1 + 0.9 * theta[:, a], 0.5) for a in range(3)])
    close(family.loss(now, target), (each * pi.T).sum(0) / 0.5)


def test_risk_changes_the_greedy_action():
    safe, risky = jnp.full(8, 1.0), jnp.array([-5.0] * 2 + [4.0] * 6)
    theta, family = jnp.stack([risky, safe]), values.quantile(8)
    for statistic, action in [(values.mean, 0), (values.cvar(0.25), 1), (values.variance, 0)]:
        wanted = (risky, safe)[action]
        close(values.greedy(family, theta, statistic).atoms, wanted, 0)


# Gaussians and particles.


def test_gaussian_likelihood_and_wasserstein():
    theta, z = jnp.array([[0.3, 0.2]]), np.array([[-1.0, 0.5, 2.0]])
    p = np.array([[0.2, 0.5, 0.3]])
    d = values.ReturnDistribution(jnp.asarray(z, jnp.float32), jnp.asarray(p, jnp.float32))
    likelihood = -(p * stats.norm.logpdf(z, 0.3, np.exp(0.2))).sum() - np.log(2 * np.pi) / 2
    close(values.gaussian().loss(theta, d), likelihood)
    mean, deviation = (p * z).sum(), np.sqrt((p * z**2).sum() - (p * z).sum() ** 2)
    wanted = ((0.3 - mean) ** 2 + (np.exp(0.2) - deviation) ** 2) / 2
    close(values.gaussian_wasserstein().loss(theta, d), wanted)
    decoded = values.gaussian(8).decode(theta[0])
    for k in range(16):  # moments are exact up to degree 15
        moment = (decoded.probabilities * decoded.atoms.astype(float) ** k).sum()
        assert moment == pytest.approx(stats.norm.moment(k, 0.3, np.exp(0.2)), rel=1e-3)


@some
@given(seed=st.integers(0, 10**6))
def test_energy_loss_is_twice_the_squared_cramer_distance(seed):
    family = values.particles(4)
    d = sample(seed, (2, 9), -2, 2)
    theta = family.project(sample(seed + 1, (2, 9), -2, 2))
    for a, b, loss in zip(rows(family.decode(theta)), rows(d), energy(theta, d)):
        assert loss == pytest.approx(2 * cramer(a, b) ** 2, abs=1e-4)


energy = jax.jit(values.particles(4).loss)


def test_kernel_loss_is_zero_only_at_the_target():
    family = values.particles(3, values.gaussian_kernel(0.7))
    target = jnp.array([-1.0, 0.2, 2.0])
    d = family.decode(target)
    close(family.loss(target, d), 0.0, 1e-6)
    close(jax.grad(family.loss)(target, d), 0.0, 1e-6)
    for noise in RNG.normal(size=(10, 3)):
        assert family.loss(target + jnp.asarray(noise, jnp.float32), d) > 1e-3


def test_collapsed_families_see_only_the_mean():
    d, family = sample(0, (3, 9), -5, 5), values.categorical(SUPPORT)
    only = values.collapsed(family)
    theta = jnp.asarray(RNG.normal(size=(3, 21)), jnp.float32)
    close(only.loss(theta, d), family.loss(theta, values.dirac(values.mean(d))))
    close(values.collapse(d).atoms[:, 0], values.mean(d))
