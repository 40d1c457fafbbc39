"""Latent world models: closed forms, and a process whose future is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl.layers import MLP, Tower
from jaxrl.models import latent
from jaxrl.models.backbones import backbone
from jaxrl.types import Discrete, Spec, Transition
from jaxrl.updates import descend
from tests.compiling import OPTIMISED

KEY = jax.random.key(0)
LOGITS = jax.random.normal(KEY, (4, 3, 5))


def test_draws_are_one_hot_and_their_gradient_that_of_probabilities():
    log_probs = jax.nn.log_softmax(LOGITS)
    weight = jax.random.normal(jax.random.key(1), LOGITS.shape)
    found = latent.straight_through(log_probs, KEY)
    np.testing.assert_allclose(np.sort(found, -1)[..., -1], 1, atol=1e-6)
    np.testing.assert_allclose(np.sort(found, -1)[..., :-1], 0, atol=1e-6)
    slope = jax.grad(lambda x: (weight * latent.straight_through(x, KEY)).sum())(log_probs)
    np.testing.assert_allclose(slope, weight * jnp.exp(log_probs), rtol=1e-5)
    draws = jax.vmap(lambda k: latent.straight_through(log_probs, k))(jax.random.split(KEY, 8000))
    np.testing.assert_allclose(draws.mean(0), jnp.exp(log_probs), atol=0.03)


def test_no_class_is_impossible():
    p = jnp.exp(latent.mixed_logits(jnp.array([100.0, 0.0, -100.0])))
    np.testing.assert_allclose(p, [0.99 + 0.01 / 3, 0.01 / 3, 0.01 / 3], rtol=1e-4)


def test_the_divergence_is_balanced_and_free_below_a_nat():
    p, q = jax.nn.log_softmax(LOGITS), jax.nn.log_softmax(3 * LOGITS[::-1])
    oracle = (np.exp(p) * (np.asarray(p) - np.asarray(q))).sum((-1, -2))
    np.testing.assert_allclose(latent.divergence(p, q), oracle, rtol=1e-5)
    assert (oracle > 0.3).all()
    total = lambda p, q, free: latent.balanced_divergence(p, q, 0.8, free).sum()
    np.testing.assert_allclose(total(p, q, 0.1), oracle.sum(), rtol=1e-5)
    plain = jax.grad(lambda p, q: latent.divergence(p, q).sum(), (0, 1))(p, q)
    found = jax.grad(total, (0, 1))(p, q, 0.1)
    np.testing.assert_allclose(found[0], 0.2 * plain[0], atol=1e-5)  # the posterior
    np.testing.assert_allclose(found[1], 0.8 * plain[1], atol=1e-5)  # the prior
    np.testing.assert_array_equal(jax.grad(total, 1)(p, q, 100.0), 0)
    np.testing.assert_allclose(total(p, q, 100.0), 400, rtol=1e-6)


def test_symlog():
    x = np.array([-100.0, -1.0, 0.0, 0.5, 1000.0])
    np.testing.assert_allclose(latent.symlog(x), np.sign(x) * np.log(1 + np.abs(x)), rtol=1e-5)


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
    data = Transition(obs, action, reward.astype(np.float32), discount.astype(np.float32), last,
                      final, (), one)  # fmt: skip
    return jax.tree.map(jnp.asarray, data)


@pytest.mark.parametrize(
    ("name", "posterior"),
    [("gru", "history"), ("state-space", "observation"), ("transformer", "observation")],
)
def test_a_dream_is_the_process(name, posterior):
    """Open loop, from the start of an episode: observations, rewards and ends, in each step.

    Of three seeds at least two must be right in nine lanes of ten.
    """
    carry = partial(backbone, name, size=32, layers=1, window=24)
    world = latent.world(
        SPEC, carry, groups=4, classes=4, hidden=(32,), free=0.1, posterior=posterior
    )
    data = clock(24, 256, np.random.default_rng(0))

    def loss(params, target, batch, key):
        parts = world.parts(params, batch, key)
        return sum(x.mean() for x in parts.values()), {}

    update = descend(world.init, loss, optax.adam(3e-3))

    def train(key):
        def step(state, key):
            k_pick, k_learn = jax.random.split(key)
            lanes = jax.random.randint(k_pick, (32,), 0, 256)
            return update.apply(state, jax.tree.map(lambda x: x[:, lanes], data), k_learn)[0], None

        return jax.lax.scan(step, update.init(key, None), jax.random.split(key, 700))[0].params

    # Back twice, then on as far as it goes: 2, 1, 0, 1, 2, 3, 4, 5.
    actions = [0, 0, 1, 1, 1, 1, 1]
    hours = [1, 0, 1, 2, 3, 4, 5]

    @partial(jax.jit, compiler_options=OPTIMISED)
    @jax.vmap
    def dream(key):
        k_train, key = jax.random.split(key)
        params = train(k_train)
        state = world.see(params, world.blank(64), jnp.tile(jnp.asarray(show(2)), (64, 1)), key)
        model = latent.latent_model(world, params, state)
        found, keys = [], jax.random.split(key, len(actions))
        for action, k in zip(actions, keys):
            state, now = model.step(state, jnp.full(64, action), k)
            bits = world.predict(params, now.obs)["decoder"] > 0
            found.append((bits, now.reward, now.discount))
        return found

    share = lambda right: np.median(np.asarray(right).mean(-1))
    for hour, (bits, reward, discount) in zip(hours, dream(jax.random.split(KEY, 3))):
        assert share((np.asarray(bits) == show(np.array(hour))).all(-1)) > 0.9, hour
        assert share(np.abs(np.asarray(reward) - (hour == 0)) < 0.2) > 0.9, hour
        assert share(np.abs(np.asarray(discount) - (hour != 5)) < 0.2) > 0.9, hour


def test_classes_of_history_are_those_of_all_paths():
    """The mean losses, against sums over all classes that could have been drawn on the way."""
    carry = partial(backbone, "gru", size=4)
    world = latent.world(
        SPEC, carry, groups=1, classes=2, hidden=(4,), free=0.0, posterior="history"
    )
    # Greater weights than at first, so that it matters what is drawn.
    params = jax.tree.map(lambda x: 3 * x, world.init(KEY))
    data = clock(3, 2, np.random.default_rng(3))
    data = data._replace(last=jnp.array([[False, True], [False, False], [False, False]]))
    encoder, prior = (Tower(MLP((4,), "swish"), 2) for _ in range(2))

    def posterior(past, obs):
        x = jnp.concatenate([past, latent.symlog(obs.astype(float))])
        return np.asarray(latent.mixed_logits(encoder.apply(params["encoder"], x)))

    def paths(lane, row, past, chance):
        """What can have happened before `row`: [(chance, past)]."""
        if row == 3:
            return {}
        found, q = {row: []}, np.exp(posterior(past, data.obs[row, lane]))
        for z in range(2):
            state = latent.State(past[None], past[None], jax.nn.one_hot(jnp.array([z]), 2))
            after = world.move(params, state, data.action[row, lane][None]).past[0]
            found[row].append((chance * q[z], after))
            start = jnp.zeros(4) if data.last[row, lane] else after
            for later, those in paths(lane, row + 1, start, chance * q[z]).items():
                found.setdefault(later, []).extend(those)
        return found

    oracle = np.zeros((3, 2))
    for lane in range(2):
        for row, those in paths(lane, 0, jnp.zeros(4), 1.0).items():
            np.testing.assert_allclose(sum(chance for chance, _ in those), 1, rtol=1e-5)
            for chance, past in those:
                q = posterior(past, data.final[row, lane])
                p = np.asarray(latent.mixed_logits(prior.apply(params["prior"], past)))
                oracle[row, lane] += chance * (np.exp(q) * (q - p)).sum()
    keys = jax.random.split(KEY, 20_000)
    draws = jax.jit(jax.vmap(lambda key: world.parts(params, data, key)["divergence"]))(keys)
    error = draws.std(0) / np.sqrt(len(keys))
    assert (draws[:, 1:].std(0) > 0.05).any()
    assert (np.abs(draws.mean(0) - oracle) < 4.5 * error + 1e-5).all()


def test_an_unknown_posterior_is_refused():
    with pytest.raises(ValueError, match=r"There is no posterior called 'past'.*history"):
        latent.world(SPEC, partial(backbone, "gru", size=4), posterior="past")


@pytest.mark.parametrize("posterior", latent.POSTERIORS)
def test_replayed_states_are_those_of_acting(posterior):
    """The state at each step of a sequence is what an actor would have had, also after an end."""
    carry = partial(backbone, "gru", size=8)
    world = latent.world(SPEC, carry, groups=2, classes=2, hidden=(8,), posterior=posterior)
    params = world.init(KEY)
    data = clock(10, 3, np.random.default_rng(1))
    states = latent.replayed(world, params, data, KEY)
    past = states.past.reshape(10, 3, 8)
    classes = states.classes.reshape(10, 3, 4)
    begun = np.concatenate([np.ones((1, 3), bool), data.last[:-1]])
    np.testing.assert_array_equal(np.asarray(past)[begun], 0)
    for t in range(9):
        state = latent.State(past[t], past[t], classes[t])
        moved = world.move(params, state, data.action[t])
        goal = np.where(np.asarray(data.last)[t][:, None], 0, moved.past)
        np.testing.assert_allclose(past[t + 1], goal, atol=1e-6)
