"""Agents that shape their features: what these are is known exactly on small processes."""

import jax
import jax.numpy as jnp
import numpy as np

import envs
from agents import beer, proto_value
from jaxrl import advance, assemble, buffers, values
from jaxrl.dp import projection_error, successor_basis
from jaxrl.networks import critic_ensemble, network
from jaxrl.settings import Layers
from jaxrl.types import Box, Spec
from tests.compiling import OPTIMISED

KEYS = jax.random.split(jax.random.key(0), 3)


def test_critics_are_linear_in_their_features():
    box = Box(-jnp.ones(2), jnp.ones(2))
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), box)
    critics = critic_ensemble(spec, 2, 3, Layers(hidden=(8, 8)))
    obs, action = np.ones((5, 3), np.float32), np.linspace(-1, 1, 10, dtype=np.float32)
    action = action.reshape(5, 2)

    @jax.jit
    def run(key):
        params = jax.tree.map(lambda x: x + 0.1, critics.init(key))  # biases that are not zero
        return *critics.linear(params, obs, action), critics.apply(params, obs, action)

    features, weights, found = run(KEYS[0])
    assert features.shape == (5, 3, 9) and weights.shape == (3, 9, 2)
    outputs = np.einsum("beh,ehk->bek", features, weights).reshape(5, 6)
    np.testing.assert_allclose(found, outputs, rtol=1e-5, atol=1e-5)


def test_the_penalty_is_the_cosine_in_excess_of_the_bound():
    """In numpy, on all that the buffer holds; nothing is asked where an episode terminated."""
    hp = beer.Hyperparameters(
        rank_penalty=0.5, num_envs=4, rollout_length=2, batch_size=8192, buffer_size=512,
        warmup=200, hidden=(16,), discount=0.9, ensemble=values.Ensemble(2),
    )  # fmt: skip
    env = envs.make("MountainCarContinuous-v0")

    def mortal(state, action, key):
        state, now = env.step(state, action, key)
        over = now.obs[0] > -0.5
        return state, now._replace(discount=1.0 - over, last=over, reward=now.reward - 2.0)

    experiment = assemble(beer.beer, env._replace(step=mortal), hp).experiment
    critics = critic_ensemble(env.spec, 1, 2, hp.network)
    policy = network(env.spec, (1,), (0.01,), hp.network.hidden, hp.network.activation)

    @jax.jit
    def first(key):
        before = experiment.init(key)
        return before, *experiment.step(before)

    before, after, metrics = first(KEYS[0])

    @jax.jit
    def linear(params, target, buffer, places):
        data = buffers.fetch(buffer, places)
        action = jnp.tanh(policy.step(target["actor"], (), data.final)[0][0])
        now, weight = critics.linear(params["critics"], data.obs, data.action)
        return data, now, weight, critics.linear(target["critics"], data.final, action)[0]

    buffer, inner = after.learner.buffer, before.learner.inner
    places = np.arange(int(buffer.added.value) * 4)
    data, *parts = jax.device_get(linear(inner.params, inner.target, buffer, places))
    now, weight, following = (np.asarray(x, np.float64) for x in parts)
    assert 0.1 < data.discount.mean() < 0.99
    total = 0.0
    for i in range(len(now)):
        for member in range(2):
            x, y, w = now[i, member], following[i, member], weight[member, :, 0]
            gamma = 0.9 * float(data.discount[i])
            if gamma:
                lengths = np.sqrt(x @ x) * np.sqrt(y @ y)
                bound = x @ x + gamma**2 * y @ y - float(data.reward[i]) ** 2 / (w @ w)
                total += max(0.0, x @ y / lengths - bound / (2 * gamma * lengths))
    assert total > 1
    np.testing.assert_allclose(metrics["penalty"], 0.5 * total / len(now), rtol=0.1)


def test_learnt_features_span_the_proto_values():
    """Better than those it began with, and better with more tasks; means of three seeds."""
    env = envs.make("gridworld", rows=6, columns=6, max_steps_in_episode=50)
    mdp = envs.tabular_mdp("gridworld", rows=6, columns=6)
    states, actions = mdp.transition.shape[:2]
    uniform, gamma = jnp.full((states, actions), 1 / actions), 0.9
    basis = jax.jit(successor_basis, static_argnums=3)(mdp, uniform, gamma, 8)

    def error(tasks):
        hp = proto_value.Hyperparameters(
            discount=gamma, tasks=tasks, share=0.1, hidden=(16,), learning_rate=3e-3,
            target_rate=0.02, num_envs=8, rollout_length=8, updates=8, buffer_size=8192,
        )  # fmt: skip
        setup = assemble(proto_value.proto_value, env, hp)
        features = proto_value.features(env.spec, hp)

        def run(key):
            first = setup.experiment.init(key)
            run, metrics = advance(setup.experiment, first, 250)
            spans = [features(r.learner.inner, jnp.eye(states)) for r in (first, run)]
            return [projection_error(x, basis) for x in spans], metrics["share"]

        return jax.jit(jax.vmap(run), compiler_options=OPTIMISED)(KEYS)

    (before, few), _ = error(2)
    (_, many), share = error(64)
    assert many.mean() < 0.75 * before.mean() and many.mean() < 0.8 * few.mean()
    np.testing.assert_allclose(share, 0.1, atol=0.03)
