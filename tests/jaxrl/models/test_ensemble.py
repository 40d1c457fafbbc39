"""Choices among candidates: numpy over the members is the oracle."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import models
from jaxrl.models.dynamics import Prediction, View, empty_scales
from jaxrl.models.ensemble import Candidates, sampled, uncertainty
from tests.jaxrl.models.test_dynamics import SPEC

KEY = jax.random.key(0)
FINAL = jax.random.normal(KEY, (5, 7, 2))
CANDIDATES = Candidates(FINAL, FINAL.sum(-1), (FINAL[..., 0] > -0.5).astype(float))
ELITE = jnp.array([True, False, True, True, False])
WHERE = (jnp.zeros((7, 2)), jnp.zeros((7, 1)))


def pick(choice, key=KEY, memory=None):
    memory = choice.init(7, ELITE, key) if memory is None else memory
    return choice.pick(memory, WHERE, CANDIDATES, ELITE, key)


def test_mean_and_median_of_the_elite():
    kept = np.asarray(FINAL)[np.asarray(ELITE)]
    alive = np.asarray(CANDIDATES.discount)[np.asarray(ELITE)].mean(0) >= 0.5
    for choice, fn in ((models.average(), np.mean), (models.median(), np.median)):
        out, _ = pick(choice)
        np.testing.assert_allclose(out.final, fn(kept, 0), atol=1e-6)
        np.testing.assert_allclose(out.reward, fn(kept.sum(-1), 0), atol=1e-6)
        np.testing.assert_array_equal(out.discount, alive)


def test_members_are_drawn_among_the_elite():
    keys = jax.random.split(KEY, 600)
    who = lambda out: (out.final[None] == FINAL).all(-1).argmax(0)
    step = np.asarray(jax.vmap(lambda k: who(pick(models.random_member(), k)[0]))(keys))
    assert set(step.ravel()) == {0, 2, 3}
    np.testing.assert_allclose(np.bincount(step.ravel())[[0, 2, 3]] / step.size, 1 / 3, atol=0.03)
    choice = models.trajectory_member()
    memory = choice.init(7, ELITE, KEY)
    held = np.asarray(jax.vmap(lambda k: who(pick(choice, k, memory)[0]))(keys))
    assert (held == held[0]).all() and set(held[0]) <= {0, 2, 3}


def test_the_most_credible_candidate():
    score = lambda obs, action, final: -jnp.abs(final[..., 0])
    out, info = pick(models.best_scored(score, stop_below=-0.2))
    found = np.where(np.asarray(ELITE)[:, None], -np.abs(FINAL[..., 0]), -np.inf)
    np.testing.assert_array_equal(out.final, np.asarray(FINAL)[found.argmax(0), np.arange(7)])
    np.testing.assert_array_equal(info["stop"], found.max(0) < -0.2)
    # Drawn at a temperature: in proportion to exp(score / temperature).
    choice = models.best_scored(score, temperature=0.3)
    keys = jax.random.split(KEY, 4000)
    who = lambda k: (pick(choice, k)[0].final[None] == FINAL).all(-1).argmax(0)[0]
    share = np.bincount(np.asarray(jax.vmap(who)(keys)), minlength=5) / 4000
    odds = np.exp(found[:, 0] / 0.3)
    np.testing.assert_allclose(share, odds / odds.sum(), atol=0.03)


def test_one_candidate_is_left_as_it_is():
    one = jax.tree.map(lambda x: x[:1], CANDIDATES)
    only = jnp.array([True])
    choice = models.best_scored(lambda obs, action, final: final[..., 0], temperature=0.1)
    out, info = choice.pick((), WHERE, one, only, KEY)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[0]), out, one)
    assert not info["stop"].any()


def test_measures_of_uncertainty():
    mean = jax.random.normal(KEY, (5, 7, 3))
    std = jnp.abs(jax.random.normal(jax.random.key(1), (5, 7, 3)))
    found = uncertainty(Prediction(mean, std, jnp.ones((5, 7))), ELITE)
    kept, spread = (np.asarray(x)[np.asarray(ELITE)] for x in (mean, std))
    pairs = [np.linalg.norm(a - b, axis=-1) for a in kept for b in kept]
    np.testing.assert_allclose(found["disagreement"], np.max(pairs, 0), rtol=1e-5)
    np.testing.assert_allclose(found["deviation"], np.sqrt(kept.var(0).sum(-1)), rtol=1e-5)
    np.testing.assert_allclose(
        found["aleatoric"], np.linalg.norm(spread, axis=-1).max(0), rtol=1e-5
    )


def test_measures_of_uncertainty_have_finite_gradients_where_they_are_zero():
    """Members that are equal, one that is alone, and one outside of the elite that diverged."""
    same = jnp.zeros((5, 7, 3))
    lost = same.at[4].set(jnp.nan)

    def total(mean, std, elite):
        found = uncertainty(Prediction(mean, std, jnp.ones((5, 7))), elite)
        return sum(x.sum() for x in found.values())

    slopes_of = jax.jit(jax.value_and_grad(total, (0, 1)))
    for mean, elite in ((same, ELITE), (lost, ELITE), (same, jnp.arange(5) == 1)):
        value, slopes = slopes_of(mean, same, elite)
        assert value == 0
        for slope in slopes:
            np.testing.assert_array_equal(slope[:4], 0)


def test_members_that_diverged_are_left_out():
    """Of a mean over the elite, and of the choice by score, in which no score is the worst."""
    bad = jax.tree.map(lambda x: x.at[1].set(jnp.nan), CANDIDATES)
    for choice in (models.average(), models.median()):
        out, _ = choice.pick((), WHERE, bad, ELITE, KEY)
        assert jnp.isfinite(out.final).all()

    def score(obs, action, final):
        one = jnp.where(jnp.arange(5) == 2, -1.0, jnp.nan)[:, None]
        return jnp.broadcast_to(one, final.shape[:-1])

    out, _ = pick(models.best_scored(score))
    np.testing.assert_array_equal(out.final, FINAL[2])


def test_a_known_termination_keeps_the_stop_of_a_choice():
    dynamics = models.gaussian_mlp(SPEC, members=5, hidden=(8,))
    view = View(dynamics.init(KEY), empty_scales(SPEC), ELITE)
    never = lambda obs, action, final: jnp.zeros(final.shape[:-1])
    model = models.ensemble_model(dynamics, view, models.best_scored(never, stop_below=0.5))
    model = models.known_termination(model, lambda obs: jnp.zeros(obs.shape[0], bool))
    _, now = model.step(model.enter(jnp.zeros((7, 2)), KEY), jnp.zeros((7, 1)), KEY)
    assert now.last.all() and (now.discount == 1).all()


def test_candidates_have_the_distribution_that_is_expected():
    seen = Prediction(
        jnp.full((1, 1, 3), 2.0), jnp.array([[[0.5, 0.0, 1.0]]]), jnp.full((1, 1), 0.8)
    )
    draws = jax.vmap(lambda k: sampled(seen, k))(jax.random.split(KEY, 20_000))
    np.testing.assert_allclose(draws.final[:, 0, 0].mean(0), 2, atol=0.02)
    np.testing.assert_allclose(draws.final[:, 0, 0].std(0), [0.5, 0], atol=0.02)
    np.testing.assert_allclose(draws.reward.std(), 1, atol=0.03)
    np.testing.assert_allclose(draws.discount.mean(), 0.8, atol=0.01)  # not a logit's hard edge


def test_an_ensemble_is_a_model():
    dynamics = models.gaussian_mlp(SPEC, members=5, hidden=(8,))
    view = View(dynamics.init(KEY), empty_scales(SPEC), ELITE)
    model = models.ensemble_model(dynamics, view, models.random_member())
    obs = jax.random.normal(KEY, (7, 2))
    state, now = models.starting_from(model, obs).init(KEY)
    np.testing.assert_array_equal(now.obs, obs)
    state, now = model.step(state, jnp.zeros((7, 1)), KEY)
    assert now.obs.shape == (7, 2) and now.reward.shape == (7,)
    np.testing.assert_array_equal(now.last, now.discount == 0)
    still = models.ensemble_model(dynamics, view, models.average(), noise=False)
    first, second = (still.step((obs, ()), jnp.zeros((7, 1)), k)[1] for k in jax.random.split(KEY))
    np.testing.assert_array_equal(first.obs, second.obs)


def test_a_dispersed_ensemble_asks_each_lane_s_member_alone():
    """Every lane follows one elite member, each as often; 7 lanes do not divide by 3 members."""
    dynamics = models.deterministic_mlp(SPEC, 5, (8,))
    view = View(dynamics.init(KEY), empty_scales(SPEC), ELITE)
    obs, action = jax.random.normal(KEY, (7, 2)), jax.random.normal(KEY, (7, 1))
    each = models.predict(dynamics, view, obs, action).mean  # [5, 7, 3]
    model = models.dispersed(dynamics, view, 3, noise=False)

    def who(key):
        now = model.step(obs, action, key)[1]
        found = jnp.concatenate([now.final, now.reward[:, None]], -1)
        near = jnp.abs(found - each).max(-1) < 1e-5
        return jnp.where(near.sum(0) == 1, near.argmax(0), -1)

    members = np.asarray(jax.vmap(who)(jax.random.split(KEY, 900)))
    assert set(members.ravel()) == {0, 2, 3}
    for lane in members.T:
        np.testing.assert_allclose(np.bincount(lane)[[0, 2, 3]] / 900, 1 / 3, atol=0.06)
    # From one step to the next a lane's member is drawn anew.
    again = (members[:-1] == members[1:]).mean()
    assert again == np.clip(again, 0.28, 0.39)


def test_a_dispersed_ensemble_costs_what_one_network_costs():
    """Counted in operations: five members take no more than a third more than one."""

    def operations(members):
        dynamics = models.gaussian_mlp(SPEC, members, (64, 64))
        view = View(dynamics.init(KEY), empty_scales(SPEC), jnp.ones(members, bool))
        step = lambda view, obs, action: models.dispersed(dynamics, view, members).step(
            obs, action, KEY
        )
        lowered = jax.jit(step).lower(view, jnp.zeros((250, 2)), jnp.zeros((250, 1)))
        return lowered.compile().cost_analysis()["flops"]

    assert operations(5) < 1.33 * operations(1)


def test_a_dispersed_ensemble_has_the_noise_of_its_members():
    dynamics = models.gaussian_mlp(SPEC, 2, (8,))
    view = View(dynamics.init(KEY), empty_scales(SPEC), jnp.array([True, False]))
    obs, action = jnp.ones((20_000, 2)), jnp.ones((20_000, 1))
    seen = models.predict(dynamics, view, obs[:1], action[:1])
    _, now = models.dispersed(dynamics, view, 1).step(obs, action, KEY)
    np.testing.assert_allclose(now.final.mean(0), seen.mean[0, 0, :-1], atol=0.05)
    np.testing.assert_allclose(now.final.std(0), seen.std[0, 0, :-1], rtol=0.05)
    alive = float(seen.survival[0, 0])
    np.testing.assert_allclose(now.discount.mean(), alive, atol=0.02)
    np.testing.assert_array_equal(now.last, now.discount == 0)
