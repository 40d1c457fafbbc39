"""Choices among candidates: numpy over the members is the oracle."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import models
from jaxrl.models.dynamics import Prediction, View, empty_scales
from jaxrl.models.ensemble import Candidates, sampled, uncertainty
from tests.jaxrl.models.test_dynamics import SPEC

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
FINAL = np.float32(RNG.normal(size=(5, 7, 2)))
CANDIDATES = Candidates(FINAL, FINAL.sum(-1), np.float32(FINAL[..., 0] > -0.5))
ELITE = np.array([True, False, True, True, False])
OBS, ACTION = np.float32(RNG.normal(size=(7, 2))), np.float32(RNG.normal(size=(7, 1)))
ZERO = np.zeros((7, 1), np.float32)
WHERE = np.zeros((7, 2), np.float32), ZERO


def pick(choice, key=KEY, memory=None, candidates=CANDIDATES):
    where, candidates, elite = jax.tree.map(jnp.asarray, (WHERE, candidates, ELITE))
    memory = choice.init(7, elite, key) if memory is None else memory
    return choice.pick(memory, where, candidates, elite, key)


def found(fn, *args):
    """What a function returns, compiled, as arrays of numpy."""
    return jax.tree.map(np.asarray, jax.jit(fn)(*args))


def of_keys(fn, number):
    """What a function returns for each of many keys."""
    return found(lambda key: jax.vmap(fn)(jax.random.split(key, number)), KEY)


def test_mean_and_median_of_the_elite():
    kept = FINAL[ELITE]
    alive = CANDIDATES.discount[ELITE].mean(0) >= 0.5
    for choice, fn in ((models.average(), np.mean), (models.median(), np.median)):
        out = found(lambda choice=choice: pick(choice)[0])
        np.testing.assert_allclose(out.final, fn(kept, 0), atol=1e-6)
        np.testing.assert_allclose(out.reward, fn(kept.sum(-1), 0), atol=1e-6)
        np.testing.assert_array_equal(out.discount, alive)


def test_members_are_drawn_among_the_elite():
    who = lambda out: (out.final[None] == FINAL).all(-1).argmax(0)
    step = of_keys(lambda key: who(pick(models.random_member(), key)[0]), 600)
    assert set(step.ravel()) == {0, 2, 3}
    np.testing.assert_allclose(np.bincount(step.ravel())[[0, 2, 3]] / step.size, 1 / 3, atol=0.03)
    choice = models.trajectory_member()
    held = of_keys(
        lambda key: who(pick(choice, key, choice.init(7, jnp.asarray(ELITE), KEY))[0]), 600
    )
    assert (held == held[0]).all() and set(held[0]) <= {0, 2, 3}


def test_the_most_credible_candidate():
    score = lambda obs, action, final: -jnp.abs(final[..., 0])
    out, info = found(lambda: pick(models.best_scored(score, stop_below=-0.2)))
    scores = np.where(ELITE[:, None], -np.abs(FINAL[..., 0]), -np.inf)
    np.testing.assert_array_equal(out.final, FINAL[scores.argmax(0), np.arange(7)])
    stop = scores.max(0) < -0.2
    assert stop.any() and not stop.all()
    np.testing.assert_array_equal(info["stop"], stop)
    # Drawn at a temperature: in proportion to exp(score / temperature).
    choice = models.best_scored(score, temperature=0.3)
    who = lambda key: (pick(choice, key)[0].final[None] == FINAL).all(-1).argmax(0)[0]
    share = np.bincount(of_keys(who, 4000), minlength=5) / 4000
    odds = np.exp(scores[:, 0] / 0.3)
    np.testing.assert_allclose(share, odds / odds.sum(), atol=0.03)


def test_one_candidate_is_left_as_it_is():
    one = jax.tree.map(lambda x: x[:1], CANDIDATES)
    only = np.array([True])
    choice = models.best_scored(lambda obs, action, final: final[..., 0], temperature=0.1)
    out, info = found(choice.pick, (), WHERE, one, only, KEY)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[0]), out, one)
    assert not info["stop"].any()


def test_measures_of_uncertainty():
    mean, std = np.float32(RNG.normal(size=(2, 5, 7, 3)))
    measures = found(uncertainty, Prediction(mean, abs(std), np.ones((5, 7), np.float32)), ELITE)
    kept, spread = mean[ELITE], std[ELITE]
    pairs = [np.linalg.norm(a - b, axis=-1) for a in kept for b in kept]
    np.testing.assert_allclose(measures["disagreement"], np.max(pairs, 0), rtol=1e-5)
    np.testing.assert_allclose(measures["deviation"], np.sqrt(kept.var(0).sum(-1)), rtol=1e-5)
    np.testing.assert_allclose(
        measures["aleatoric"], np.linalg.norm(spread, axis=-1).max(0), rtol=1e-5
    )


def test_measures_of_uncertainty_have_finite_gradients_where_they_are_zero():
    """Members that are equal, one that is alone, and one outside of the elite that diverged."""
    same = np.zeros((5, 7, 3), np.float32)
    lost = same.copy()
    lost[4] = np.nan

    def total(mean, std, elite):
        measures = uncertainty(Prediction(mean, std, jnp.ones((5, 7))), elite)
        return sum(x.sum() for x in measures.values())

    slopes_of = jax.jit(jax.value_and_grad(total, (0, 1)))
    for mean, elite in ((same, ELITE), (lost, ELITE), (same, np.arange(5) == 1)):
        value, slopes = jax.tree.map(np.asarray, slopes_of(mean, same, elite))
        assert value == 0
        for slope in slopes:
            np.testing.assert_array_equal(slope[:4], 0)


def test_members_that_diverged_are_left_out():
    """Of a mean over the elite, and of the choice by score, in which no score is the worst."""
    bad = jax.tree.map(np.copy, CANDIDATES)
    for x in bad:
        x[1] = np.nan
    for choice in (models.average(), models.median()):
        out = found(lambda choice=choice: pick(choice, candidates=bad)[0])
        assert np.isfinite(out.final).all()

    def score(obs, action, final):
        one = np.float32([np.nan, np.nan, -1, np.nan, np.nan])[:, None]
        return jnp.broadcast_to(one, final.shape[:-1])

    out = found(lambda: pick(models.best_scored(score))[0])
    np.testing.assert_array_equal(out.final, FINAL[2])


def test_a_known_termination_keeps_the_stop_of_a_choice():
    dynamics = models.gaussian_mlp(SPEC, members=5, hidden=(8,))
    never = lambda obs, action, final: jnp.zeros(final.shape[:-1])

    def run(key):
        view = View(dynamics.init(key), empty_scales(SPEC), jnp.asarray(ELITE))
        model = models.ensemble_model(dynamics, view, models.best_scored(never, stop_below=0.5))
        model = models.known_termination(model, lambda obs: jnp.zeros(obs.shape[0], bool))
        return model.step(model.enter(WHERE[0], key), ZERO, key)[1]

    now = found(run, KEY)
    assert now.last.all() and (now.discount == 1).all()


def test_candidates_have_the_distribution_that_is_expected():
    seen = Prediction(
        np.full((1, 1, 3), 2, np.float32), np.float32([[[0.5, 0, 1]]]), np.float32([[0.8]])
    )
    draws = of_keys(lambda key: sampled(seen, key), 20_000)
    np.testing.assert_allclose(draws.final[:, 0, 0].mean(0), 2, atol=0.02)
    np.testing.assert_allclose(draws.final[:, 0, 0].std(0), [0.5, 0], atol=0.02)
    np.testing.assert_allclose(draws.reward.std(), 1, atol=0.03)
    np.testing.assert_allclose(draws.discount.mean(), 0.8, atol=0.01)  # not a logit's hard edge


def test_an_ensemble_is_a_model():
    dynamics = models.gaussian_mlp(SPEC, members=5, hidden=(8,))

    def run(key):
        view = View(dynamics.init(key), empty_scales(SPEC), jnp.asarray(ELITE))
        model = models.ensemble_model(dynamics, view, models.random_member())
        still = models.ensemble_model(dynamics, view, models.average(), noise=False)
        state, first = models.starting_from(model, OBS).init(key)
        one, other = (still.step((OBS, ()), ZERO, k)[1].obs for k in jax.random.split(key))
        return first, model.step(state, ZERO, key)[1], one, other

    first, now, one, other = found(run, KEY)
    np.testing.assert_array_equal(first.obs, OBS)
    assert now.obs.shape == (7, 2) and now.reward.shape == (7,)
    np.testing.assert_array_equal(now.last, now.discount == 0)
    np.testing.assert_array_equal(one, other)


def test_a_dispersed_ensemble_asks_each_lane_s_member_alone():
    """Every lane follows one elite member, each as often; 7 lanes do not divide by 3 members."""
    dynamics = models.deterministic_mlp(SPEC, 5, (8,))

    def run(key):
        view = View(dynamics.init(key), empty_scales(SPEC), jnp.asarray(ELITE))
        each = models.predict(dynamics, view, OBS, ACTION).mean  # [5, 7, 3]
        model = models.dispersed(dynamics, view, 3, noise=False)

        def who(key):
            now = model.step(OBS, ACTION, key)[1]
            found = jnp.concatenate([now.final, now.reward[:, None]], -1)
            near = jnp.abs(found - each).max(-1) < 1e-5
            return jnp.where(near.sum(0) == 1, near.argmax(0), -1)

        return jax.vmap(who)(jax.random.split(key, 900))

    members = found(run, KEY)
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

        def step(params, obs, action):
            view = View(params, empty_scales(SPEC), jnp.ones(members, bool))
            return models.dispersed(dynamics, view, members).step(obs, action, KEY)

        shapes = (jax.ShapeDtypeStruct((250, n), jnp.float32) for n in (2, 1))
        lowered = jax.jit(step).lower(jax.eval_shape(dynamics.init, KEY), *shapes)
        return lowered.compile().cost_analysis()["flops"]

    assert operations(5) < 1.33 * operations(1)


def test_a_dispersed_ensemble_has_the_noise_of_its_members():
    dynamics = models.gaussian_mlp(SPEC, 2, (8,))

    def run(key):
        view = View(dynamics.init(key), empty_scales(SPEC), jnp.array([True, False]))
        obs, action = jnp.ones((20_000, 2)), jnp.ones((20_000, 1))
        seen = models.predict(dynamics, view, obs[:1], action[:1])
        return seen, models.dispersed(dynamics, view, 1).step(obs, action, key)[1]

    seen, now = found(run, KEY)
    np.testing.assert_allclose(now.final.mean(0), seen.mean[0, 0, :-1], atol=0.05)
    np.testing.assert_allclose(now.final.std(0), seen.std[0, 0, :-1], rtol=0.05)
    np.testing.assert_allclose(now.discount.mean(), seen.survival[0, 0], atol=0.02)
    np.testing.assert_array_equal(now.last, now.discount == 0)
