"""Latent world models: closed forms, and a process whose future is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl.models import latent
from jaxrl.networks.backbones import backbone
from jaxrl.networks.layers import MLP, Tower
from jaxrl.types import Discrete, Spec, Transition
from jaxrl.updates import descend
from tests.compiling import OPTIMISED

KEY = jax.random.key(0)
LOGITS = np.float32(np.random.default_rng(0).normal(size=(4, 3, 5)))


def log_softmax(x):
    return np.float32(x - np.log(np.exp(x).sum(-1, keepdims=True)))


def test_draws_are_one_hot_and_their_gradient_that_of_probabilities():
    log_probs = log_softmax(LOGITS)
    weight = np.float32(np.random.default_rng(1).normal(size=LOGITS.shape))

    @jax.jit
    def run(log_probs):
        draw = lambda key: latent.straight_through(log_probs, key)
        slope = jax.grad(lambda x: (weight * latent.straight_through(x, KEY)).sum())(log_probs)
        return draw(KEY), slope, jax.vmap(draw)(jax.random.split(KEY, 8000)).mean(0)

    found, slope, share = map(np.asarray, run(log_probs))
    np.testing.assert_allclose(np.sort(found, -1)[..., -1], 1, atol=1e-6)
    np.testing.assert_allclose(np.sort(found, -1)[..., :-1], 0, atol=1e-6)
    np.testing.assert_allclose(slope, weight * np.exp(log_probs), rtol=1e-5)
    np.testing.assert_allclose(share, np.exp(log_probs), atol=0.03)


def test_no_class_is_impossible():
    p = np.exp(jax.jit(latent.mixed_logits)(np.float32([100, 0, -100])))
    np.testing.assert_allclose(p, [0.99 + 0.01 / 3, 0.01 / 3, 0.01 / 3], rtol=1e-4)


def test_the_divergence_is_balanced_and_free_below_a_nat():
    p, q = log_softmax(LOGITS), log_softmax(3 * LOGITS[::-1])
    oracle = (np.exp(p) * (p - q)).sum((-1, -2))
    assert (oracle > 0.3).all()
    total = lambda p, q, free: latent.balanced_divergence(p, q, 0.8, free).sum()

    @jax.jit
    def run(p, q):
        plain = jax.grad(lambda p, q: latent.divergence(p, q).sum(), (0, 1))(p, q)
        slopes = jax.value_and_grad(total, (0, 1))
        return latent.divergence(p, q), plain, slopes(p, q, 0.1), slopes(p, q, 100.0)

    divergence, plain, tight, loose = jax.tree.map(np.asarray, run(p, q))
    np.testing.assert_allclose(divergence, oracle, rtol=1e-5)
    np.testing.assert_allclose(tight[0], oracle.sum(), rtol=1e-5)
    np.testing.assert_allclose(tight[1][0], 0.2 * plain[0], atol=1e-5)  # the posterior
    np.testing.assert_allclose(tight[1][1], 0.8 * plain[1], atol=1e-5)  # the prior
    np.testing.assert_array_equal(loose[1][1], 0)
    np.testing.assert_allclose(loose[0], 400, rtol=1e-6)


def test_symlog():
    x = np.array([-100.0, -1.0, 0.0, 0.5, 1000.0])
    found = jax.jit(latent.symlog)(x)
    np.testing.assert_allclose(found, np.sign(x) * np.log(1 + np.abs(x)), rtol=1e-5)


# A clock with six hours: action 1 goes on, action 0 goes back. Hour 0 pays 1; at hour 5 the day
# may end, and the next begins at hour 2. Only the parity of the hour is seen, and a bell at 2.
SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.bool_), Discrete(2))


def show(hour):
    return np.stack([hour % 2 == 1, hour == 2], -1)


def clock(steps, lanes, rng):
    """Transitions [steps, lanes], in numpy."""
    hour, rows = np.full(lanes, 2), []
    for _ in range(steps):
        action = (rng.random(lanes) < 0.7).astype(np.int32)
        after = (hour + 2 * action - 1) % 6
        last = (after == 5) & (rng.random(lanes) < 0.999)
        discount = 1.0 - last
        rows.append((show(hour), action, (after == 0) * 1.0, discount, last, show(after)))
        hour = np.where(last, 2, after)
    obs, action, reward, discount, last, final = (np.stack(x) for x in zip(*rows))
    one = np.ones((steps, lanes), np.float32)
    return Transition(obs, action, reward.astype(np.float32), discount.astype(np.float32), last,
                      final, (), one)  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "posterior", "updates"),
    [
        ("gru", "history", 250),
        ("state-space", "observation", 250),
        ("transformer", "observation", 700),
    ],
)
def test_a_dream_is_the_process(name, posterior, updates):
    """Open loop, from the start of an episode: observations, rewards and ends, in each step.

    Of three seeds at least two must be right in nine lanes of ten.
    """
    carry = partial(backbone, name, size=32, layers=1, window=24)
    world = latent.world(
        SPEC, carry, groups=4, classes=4, hidden=(32,), free=0.1, posterior=posterior
    )
    data = clock(12, 256, np.random.default_rng(0))

    def loss(params, target, batch, key):
        parts = world.parts(params, batch, key)
        return sum(x.mean() for x in parts.values()), {}

    update = descend(world.init, loss, optax.adam(8e-3))

    @partial(jax.jit, compiler_options=OPTIMISED)
    def train(start, data, key):
        def step(state, key):
            k_pick, k_learn = jax.random.split(key)
            lanes = jax.random.randint(k_pick, (32,), 0, 256)
            return update.apply(state, jax.tree.map(lambda x: x[:, lanes], data), k_learn)[0], None

        return jax.lax.scan(step, start, jax.random.split(key, updates))[0].params

    # Back twice, then on as far as it goes: 2, 1, 0, 1, 2, 3, 4, 5.
    actions = np.array([0, 0, 1, 1, 1, 1, 1])
    hours = np.array([1, 0, 1, 2, 3, 4, 5])

    @jax.jit
    def dream(params, key):
        state = world.see(params, world.blank(64), jnp.tile(jnp.asarray(show(2)), (64, 1)), key)
        model = latent.latent_model(world, params, state)

        def step(state, inputs):
            action, key = inputs
            state, now = model.step(state, jnp.full(64, action), key)
            bits = world.predict(params, now.obs)["decoder"] > 0
            return state, (bits, now.reward, now.discount)

        return jax.lax.scan(step, state, (actions, jax.random.split(key, len(actions))))[1]

    def right(key):
        """The share of lanes that are right, of observations, rewards and ends, at each hour."""
        params = train(begin(key), data, key)
        bits, reward, discount = map(np.asarray, dream(params, key))
        paid, alive = (hours == 0)[:, None], (hours != 5)[:, None]
        return [
            (bits == show(hours)[:, None]).all(-1).mean(-1),
            (np.abs(reward - paid) < 0.2).mean(-1),
            (np.abs(discount - alive) < 0.2).mean(-1),
        ]

    begin = jax.jit(lambda key: update.init(key, None))
    shares = np.median([right(jax.random.key(seed)) for seed in range(3)], 0)
    assert (shares > 0.9).all(), shares


def test_classes_of_history_are_those_of_all_paths():
    """The mean losses, against sums over all classes that could have been drawn on the way."""
    carry = partial(backbone, "gru", size=4)
    world = latent.world(
        SPEC, carry, groups=1, classes=2, hidden=(4,), free=0.0, posterior="history"
    )
    # Greater weights than at first, so that it matters what is drawn.
    params = jax.tree.map(lambda x: 3 * np.asarray(x), jax.jit(world.init)(KEY))
    data = clock(3, 2, np.random.default_rng(3))
    data = data._replace(last=np.array([[False, True], [False, False], [False, False]]))
    tower = Tower(MLP((4,), "swish"), 2)

    logits = lambda name: jax.jit(lambda x: latent.mixed_logits(tower.apply(params[name], x)))
    encoded, prior = logits("encoder"), logits("prior")

    @jax.jit
    def moved(past, classes, action):
        state = latent.State(past[None], past[None], classes[None])
        return world.move(params, state, action[None]).past[0]

    def posterior(past, obs):
        return np.asarray(encoded(np.concatenate([past, np.log1p(np.float32(obs))])))

    def paths(lane, row, past, chance):
        """What can have happened before `row`: [(chance, past)]."""
        if row == 3:
            return {}
        found, q = {row: []}, np.exp(posterior(past, data.obs[row, lane]))
        for z in range(2):
            after = np.asarray(moved(past, np.eye(2, dtype=np.float32)[z], data.action[row, lane]))
            found[row].append((chance * q[z], after))
            start = 0 * after if data.last[row, lane] else after
            for later, those in paths(lane, row + 1, start, chance * q[z]).items():
                found.setdefault(later, []).extend(those)
        return found

    oracle = np.zeros((3, 2))
    for lane in range(2):
        for row, those in paths(lane, 0, np.zeros(4, np.float32), 1.0).items():
            np.testing.assert_allclose(sum(chance for chance, _ in those), 1, rtol=1e-5)
            for chance, past in those:
                q = posterior(past, data.final[row, lane])
                p = np.asarray(prior(past))
                oracle[row, lane] += chance * (np.exp(q) * (q - p)).sum()
    parts = jax.vmap(lambda key: world.parts(params, data, key)["divergence"])
    draws = np.asarray(jax.jit(lambda key: parts(jax.random.split(key, 20_000)))(KEY))
    error = draws.std(0) / np.sqrt(len(draws))
    assert (draws[:, 1:].std(0) > 0.005).any()
    # What happens less often than once in all draws does not show in their deviation.
    assert (np.abs(draws.mean(0) - oracle) < 4.5 * error + 3e-4).all()


def test_an_unknown_posterior_is_refused():
    with pytest.raises(ValueError, match=r"There is no posterior called 'past'.*history"):
        latent.world(SPEC, partial(backbone, "gru", size=4), posterior="past")


@pytest.mark.parametrize("posterior", latent.POSTERIORS)
def test_replayed_states_are_those_of_acting(posterior):
    """The state at each step of a sequence is what an actor would have had, also after an end."""
    carry = partial(backbone, "gru", size=8)
    world = latent.world(SPEC, carry, groups=2, classes=2, hidden=(8,), posterior=posterior)
    data = clock(10, 3, np.random.default_rng(1))

    @jax.jit
    def run(data):
        """The states, and where they lead to."""
        params = world.init(KEY)
        states = latent.replayed(world, params, data, KEY)
        state = latent.State(states.past, states.past, states.classes)
        return states.past, world.move(params, state, data.action.reshape(30)).past

    past, moved = (np.asarray(x).reshape(10, 3, 8) for x in run(data))
    begun = np.concatenate([np.ones((1, 3), bool), data.last[:-1]])
    np.testing.assert_array_equal(past[begun], 0)
    np.testing.assert_allclose(past[1:], np.where(begun[1:, :, None], 0, moved[:-1]), atol=1e-6)
