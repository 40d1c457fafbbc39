"""Encoders that learn beside an agent or within it, by hand; probes and exact features."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from agents import ppo
from jaxrl import representations as reps
from jaxrl.errors import InputError
from jaxrl.representations.learning import seen_through
from jaxrl.representations.probes import predicted
from jaxrl.settings import Collection, Layers, Replay
from jaxrl.types import Agent, Discrete, Spec, Transition, Update, memoryless
from jaxrl.updates import descend

SPEC = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(2))


def sequences(steps, lanes, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *size: jnp.asarray(rng.normal(size=(steps, lanes, *size)), jnp.float32)
    ones, action = jnp.ones((steps, lanes)), rng.integers(0, 2, (steps, lanes))
    return Transition(
        draw(3), jnp.asarray(action, jnp.int32), draw(), ones, ones < 0, draw(3), (), ones
    )


def test_a_second_objective_moves_the_layers_that_it_shares_and_nothing_else():
    """Two steps by hand: that of the learner, and that of the objective at what it left."""
    encoder = reps.torso_encoder(SPEC, Layers((4,)))
    pretext = reps.forward_dynamics(encoder, SPEC, 2, Layers(()))
    batch = sequences(2, 6)

    def init(key):
        return {"params": {"MLP_0": encoder.init(key), "rest": jnp.ones(4)}}

    def loss(params, target, batch, key):
        own = params["params"]
        values = encoder.apply(own["MLP_0"], batch.obs) @ own["rest"]
        return jnp.square(values - batch.reward).mean(), {}

    update = descend(init, loss, optax.sgd(0.1))
    both = reps.auxiliary(update, encoder, pretext, optax.sgd(0.2))

    @jax.jit
    def stepped(key):
        state = both.init(key, batch)
        return state, *both.apply(state, batch, key)

    @jax.jit
    def by_hand(state, key):
        head = jax.tree.map(lambda x: x[0], batch)
        plain = jax.grad(lambda p: loss(p, (), head, key)[0])(state.inner.params)
        moved = jax.tree.map(lambda x, g: x - 0.1 * g, state.inner.params, plain)["params"]
        k_loss = jax.random.split(key)[1]
        objective = lambda own, heads: pretext.loss(own, state.target, heads, batch, k_loss)
        shared = moved["MLP_0"], state.heads
        error, slopes = jax.value_and_grad(objective, (0, 1))(*shared)
        layers, heads = jax.tree.map(lambda x, g: x - 0.2 * g, shared, slopes)
        return error, {"MLP_0": layers, "rest": moved["rest"]}, heads

    key = jax.random.key(0)
    state, after, metrics = stepped(key)
    error, wanted, heads = by_hand(state, key)
    found = after.inner.params["params"]
    same = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6))
    same(found, wanted)
    same(after.heads, heads)
    same(after.target, found["MLP_0"])
    assert metrics["representation_loss"] == pytest.approx(float(error), rel=1e-4)
    assert both.read(after).params is after.inner.params
    with pytest.raises(InputError, match="There is no CNN_0 in these parameters, but MLP_0, rest"):
        wrong = reps.auxiliary(update, encoder, pretext, optax.sgd(0.2), ("params", "CNN_0"))
        jax.eval_shape(wrong.init, key, batch)


def test_an_agent_sees_the_features_of_the_encoder_that_has_just_learnt():
    """The inner learner adds up what it sees of the first of each sequence; actors see the same."""
    encoder = reps.encoder(SPEC, 2, Layers(()))
    pretext = reps.self_prediction(encoder, SPEC, 3, Layers(()))
    hp = SimpleNamespace(
        collection=Collection(num_envs=2, rollout_length=4, warmup=8),
        replay=Replay(buffer_size=8, batch_size=5, updates=1),
    )

    def make(spec, hp, schedule):
        seen = lambda batch: jnp.concatenate([batch.obs.sum(0), batch.final.sum(0)])
        apply = lambda state, batch, key: (seen(batch), {"reward": batch.reward.sum()})
        update = Update(lambda key, example: jnp.zeros(4), apply, lambda state: state)
        act = memoryless(lambda view, obs, key: (obs.sum(-1), ()))
        assert spec.observation.shape == (2,)
        return Agent(act, act, schedule(update, hp))

    agent = reps.represented(make, encoder, pretext, optax.sgd(0.1))(SPEC, hp)
    data = sequences(4, 2)

    @jax.jit
    def learnt(key):
        state = agent.update.init(key, data)
        after, metrics = agent.update.apply(state, data, key)
        view = agent.update.read(after)
        return state, after, metrics, view, agent.exploit.step(view, (), data.obs[0], key)[0]

    state, after, metrics, view, action = learnt(jax.random.key(0))
    params = after.inner.model.params["encoder"]
    kernel = np.asarray(params["params"]["Dense_0"]["kernel"])
    before = state.inner.model.params["encoder"]["params"]["Dense_0"]["kernel"]
    assert np.abs(kernel - before).max() > 1e-3
    # Which sequences were drawn is told by the sum of their rewards: the first steps of each are
    # those of the data at which three steps follow, by brute force over all draws of five.
    obs, final, reward = (np.asarray(x)[:2].reshape(4, -1) for x in (data.obs, data.final,
                                                                     data.reward))  # fmt: skip
    numbers = np.array(np.meshgrid(*[range(6)] * 4)).reshape(4, -1)
    numbers = numbers[:, numbers.sum(0) == 5].T
    paid = numbers @ reward[:, 0]
    drawn = numbers[np.abs(paid - metrics["reward"].item()).argmin()]
    bias = np.asarray(params["params"]["Dense_0"]["bias"])
    wanted = np.concatenate([drawn @ (x @ kernel + bias) for x in (obs, final)])
    np.testing.assert_allclose(after.inner.inner, wanted, rtol=1e-4, atol=1e-5)
    told = np.asarray(data.obs[0]) @ kernel + bias
    np.testing.assert_allclose(action, told.sum(-1), rtol=1e-4, atol=1e-5)
    assert view[0].params["encoder"] is not None
    with pytest.raises(InputError, match="beside agents that replay"):
        reps.represented(ppo.ppo, encoder, pretext, optax.sgd(0.1))
    actor = seen_through(encoder, agent.explore)
    assert actor.init(3) == ()


def test_a_probe_is_ridge_regression():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3)) * [1.0, 5.0, 0.0] + [0.0, 2.0, 1.0]
    y = x[:, :1] * [[2.0, -1.0]] + rng.normal(size=(40, 2))
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0)
    fitted = jax.jit(lambda x, y, penalty: predicted(reps.ridge(x, y, penalty), x))
    for penalty in (0.0, 0.3):
        gram = z.T @ z / 40 + np.diag([penalty, penalty, 1.0])
        w = np.linalg.solve(gram, z.T @ (y - y.mean(0)) / 40)
        np.testing.assert_allclose(fitted(x, y, penalty), z @ w + y.mean(0), atol=1e-3)
    assert jax.jit(reps.decoded_share)(np.zeros((40, 2)), y) == 0
    with pytest.raises(InputError, match="A probe needs samples"):
        reps.decoded_share(jnp.asarray(x), jnp.asarray(y[:5]))


def test_a_contrast_tells_the_noise_that_lasts_in_place_of_the_state():
    """Five features of a ring of 6, whose walk has the singular values 0.6 (three of them) and 0.2
    (two), beside noise of 6 values with five of its persistence: the largest are taken."""
    ring = 0.2 * np.eye(6) + 0.4 * (np.roll(np.eye(6), 1, 1) + np.roll(np.eye(6), -1, 1))
    states = np.kron(np.eye(6), np.ones((6, 1)))

    @jax.jit
    def told(joint):
        features = reps.contrastive_features(joint, 5)
        return reps.weighted_share(features, states, jnp.ones(36) / 36)

    for persistence, share in ((0.0, 1.0), (0.5, 0.6), (0.8, 0.0), (0.95, 0.0)):
        noise = persistence * np.eye(6) + (1 - persistence) / 6
        assert told(np.kron(ring, noise) / 36) == pytest.approx(share, abs=1e-3)
