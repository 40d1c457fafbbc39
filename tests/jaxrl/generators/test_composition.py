"""Sums of predictions, predictions that are led, and plans that go on from the last one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import generators
from jaxrl.errors import InputError
from jaxrl.generators.policy import GeneratedPolicy

KEY = jax.random.key(0)
STRAIGHT, COSINE = generators.straight(), generators.cosine()


def normal(deviation):
    """The exact network of normal data whose mean is the condition."""

    def apply(params, x, time, condition):
        place = STRAIGHT(time[..., None])
        a, b = place.signal, place.noise
        share = a * deviation**2 / (a**2 * deviation**2 + b**2)
        return condition + share * (x - a * condition)

    return generators.Denoiser(lambda key: (), apply)


def test_sums_of_normal_distributions_are_best_weighted_by_precision():
    """Each part sees its own unbiased estimate of a target; deviations of samples stay."""
    rng = np.random.default_rng(0)
    target, precision = rng.normal(size=(4000, 1)), np.array([1.0, 4.0])
    seen = target + rng.normal(size=(2, 4000, 1)) / np.sqrt(precision)[:, None, None]
    flow = generators.generator(generators.composed([normal(0.3)] * 2), (1,), STRAIGHT, "data")
    share = np.linspace(0, 1, 21)
    sample = jax.jit(
        jax.vmap(
            lambda w, noise: flow.sample(
                {"weights": jnp.stack([w, 1 - w]), "parts": ((), ())}, noise, tuple(seen), None
            ),
            (0, None),
        )
    )
    middle = np.asarray(sample(jnp.asarray(share), jnp.zeros((4000, 1))))
    by_hand = share[:, None, None] * seen[0] + (1 - share)[:, None, None] * seen[1]
    np.testing.assert_allclose(middle, by_hand, atol=1e-4)
    error = np.square(middle - target).mean((1, 2))
    assert abs(share[error.argmin()] - precision[0] / precision.sum()) < 0.051
    assert error.min() < 0.9 * min(error[0], error[-1])
    # One deviation of noise is as far from the middle as with either part alone.
    apart = np.asarray(sample(jnp.asarray(share), jnp.ones((4000, 1)))) - middle
    np.testing.assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), atol=1e-4)
    assert generators.composed([normal(0.3)] * 2).init(KEY)["weights"].tolist() == [0.5, 0.5]


def test_the_search_finds_the_weights_of_least_error():
    """Of three estimates, near precisions; the grid is that of a loop, and so is its best point."""
    rng, steps = np.random.default_rng(1), 8
    precision = np.array([1.0, 2.0, 5.0])
    grid = np.asarray(generators.simplex(3, steps))
    loops = [(a / 8, b / 8, (8 - a - b) / 8) for a in range(9) for b in range(9 - a)]
    np.testing.assert_allclose(grid, loops, atol=1e-6)
    target = rng.normal(size=(3000, 1))
    seen = target + rng.normal(size=(3, 3000, 1)) / np.sqrt(precision)[:, None, None]
    flow = generators.generator(generators.composed([normal(0.3)] * 3), (1,), STRAIGHT, "data", 2)

    def score(weights, key):
        params = {"weights": weights, "parts": ((), (), ())}
        found = flow.sample(params, jnp.zeros((3000, 1)), tuple(map(jnp.asarray, seen)), None)
        return -jnp.square(found - target).mean()

    best, scores = jax.jit(lambda key: generators.searched(score, jnp.asarray(grid), key))(KEY)
    wrong = np.einsum("nk,kmi->nmi", grid, seen) - target
    np.testing.assert_allclose(scores, -np.square(wrong).mean((1, 2)), rtol=1e-3)
    np.testing.assert_array_equal(best, grid[np.asarray(scores).argmax()])
    assert np.abs(best - precision / precision.sum()).max() < 1 / steps
    with pytest.raises(InputError, match="steps must be above zero"):
        generators.simplex(2, 0)


@pytest.mark.parametrize("kind", ["data", "noise", "velocity"])
def test_a_lead_moves_samples_as_by_hand(kind):
    """Of standard normal data, towards 2 with a weight: what DDIM makes of the noise 0.3."""

    def exact(params, x, time, condition):
        place = COSINE(time[..., None])
        a, b = place.signal, place.noise
        data, noise = a * x, b * x  # for a^2 + b^2 = 1
        slope = place.signal_slope * data + place.noise_slope * noise
        return {"data": data, "noise": noise, "velocity": slope}[kind]

    network = generators.Denoiser(lambda key: (), exact)
    led = generators.led(network, COSINE, kind, lambda weight, data, given: weight * (2 - data))
    make = lambda network: generators.generator(network, (1,), COSINE, kind, steps=8)
    noise = jnp.array([[0.3]])
    free = make(network).sample((), noise, (), None)
    found = [float(make(led).sample(((), w), noise, (), None)[0, 0]) for w in (0.0, 0.5, 2.0)]
    np.testing.assert_allclose(found[0], free[0, 0], atol=1e-5)
    for weight, value in zip((0.5, 2.0), found[1:]):
        x = 0.3
        for step in range(8):
            here, there = COSINE(jnp.array(step / 8)), COSINE(jnp.array((step + 1) / 8))
            a, b = float(here.signal), float(here.noise)
            data = a * x + b**2 * weight * (2 - a * x)
            x = float(there.signal) * data + float(there.noise) * (x - a * data) / b
        np.testing.assert_allclose(value, x, atol=2e-3)
    assert found[0] < found[1] < found[2]


def test_all_passes_forget_the_guess_and_few_keep_it():
    flow = generators.generator(normal(0.3), (2,), STRAIGHT, "data", steps=5)
    guess, noise, mean = jnp.array([[9.0, -9.0]]), jnp.array([[1.0, 0.5]]), jnp.array([[1.0, 2.0]])
    whole = generators.refined(flow, (), guess, noise, mean, KEY, 5)
    np.testing.assert_allclose(whole, flow.sample((), noise, mean, None), atol=1e-5)
    constant = generators.generator(normal(0.0), (2,), STRAIGHT, "data", steps=5)
    np.testing.assert_allclose(
        generators.refined(constant, (), guess, noise, mean, KEY, 1), mean, atol=1e-5
    )


def test_a_plan_goes_on_from_the_last_one():
    """A network that expects what it sees keeps plans as they are, but shifted."""
    keep = lambda params, x, time, given: x / jnp.maximum(time[..., None, None], 0.1)
    network = generators.Denoiser(lambda key: (), keep)
    flow = generators.generator(network, (4, 1), STRAIGHT, "data", steps=10_000)
    policy = GeneratedPolicy(flow, flow.init, jax.ShapeDtypeStruct((1,), jnp.float32))
    actor = generators.receding(policy, passes=1)
    plan, taken = (jnp.array([[[0.1], [0.2], [0.3], [0.4]]]), jnp.zeros(1, bool)), []
    for key in jax.random.split(KEY, 4):
        action, plan, _ = actor.step((), plan, jnp.zeros((1, 1)), key)
        taken.append(float(action[0, 0]))
    np.testing.assert_allclose(taken, [0.2, 0.3, 0.4, 0.4], atol=2e-3)


def test_episodes_begin_with_plans_of_all_passes():
    """They are samples; one pass from a plan of zeros hardly leaves it."""
    flow = generators.generator(normal(0.3), (2,), STRAIGHT, "data", steps=50)
    policy = GeneratedPolicy(flow, flow.init, jax.ShapeDtypeStruct((2,), jnp.float32))
    actor = generators.receding(policy, passes=1)
    obs, (plan, begins) = jnp.tile(jnp.array([[0.5, -0.5]]), (200, 1)), actor.init(200)
    assert begins.all()
    _, (made, after), _ = actor.step((), (plan, begins.at[100:].set(False)), obs, KEY)
    assert not after.any() and abs(made[100:]).max() < 0.15
    np.testing.assert_allclose(made[:100].mean(0), [0.5, -0.5], atol=5 * 0.3 / 10)
    np.testing.assert_allclose(made[:100].std(0), 0.3, atol=0.12)


def test_bad_input_is_one_sentence():
    flow = generators.generator(normal(0.3), (2,), STRAIGHT, "data", steps=5)
    with pytest.raises(InputError, match="passes must lie between 1 and 5, but they are 6"):
        generators.refined(flow, (), jnp.zeros(2), jnp.zeros(2), jnp.zeros(2), KEY, 6)
    with pytest.raises(InputError, match="composed needs at least one network"):
        generators.composed([])
    noisy = generators.generator(normal(0.3), (2,), COSINE, "data", eta=1.0)
    policy = GeneratedPolicy(noisy, noisy.init, jax.ShapeDtypeStruct((1,), jnp.float32))
    with pytest.raises(InputError, match="Only a policy without noise in its steps"):
        generators.steered(policy, ())
