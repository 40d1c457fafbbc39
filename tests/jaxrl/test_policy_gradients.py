"""Estimators of policy gradients beside sums over all episodes, closed forms and linear algebra."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl import dp, networks, policy_gradients
from jaxrl.errors import InputError
from jaxrl.types import Discrete, Spec
from tests.jaxrl.dp.cases import evaluated, random_arrays

S, A, H, GAMMA = 2, 2, 3, 0.8


def episodes():
    """Every episode of a small process: states, actions, rewards, and the chance of its states."""
    p, r, d, initial = random_arrays(1, states=S, actions=A, end=0.3)
    rows = []
    for states in itertools.product(range(S), repeat=H + 1):
        for actions in itertools.product(range(A), repeat=H):
            steps = list(zip(states, actions, states[1:]))
            chance = initial[states[0]] * np.prod([p[x] for x in steps])
            rows.append(
                (states[:-1], actions, [r[x] for x in steps], [d[x] for x in steps], chance)
            )
    return [jnp.asarray(x) for x in zip(*rows)]


def test_derivatives_of_a_return_are_those_of_the_sum_over_all_episodes():
    states, actions, rewards, kept, chance = episodes()
    rewards, kept, chance = (x.astype(jnp.float32) for x in (rewards, kept, chance))
    theta = jnp.array([[0.3, -0.4], [1.0, 0.2]])
    step = jnp.array([[0.5, -0.2], [0.3, 0.1]])

    def log_prob(theta, s, a):
        return jax.nn.log_softmax(theta)[s, a]

    def exact(theta):
        """The sum over episodes of chance and return."""
        before = jnp.concatenate([jnp.ones_like(kept[:, :1]), jnp.cumprod(kept, 1)[:, :-1]], 1)
        returns = (before * GAMMA ** jnp.arange(H) * rewards).sum(1)
        return (chance * jnp.exp(log_prob(theta, states, actions).sum(1)) * returns).sum()

    def sampled(theta, s, a, r, d):
        return policy_gradients.differentiable_return(log_prob(theta, s, a), r, GAMMA * d)

    def naive(theta, s, a, r, d):
        """What has the right gradient, and a Hessian without the scores' products."""
        total = jnp.cumsum(log_prob(theta, s, a))
        before = jnp.concatenate([jnp.ones(1), jnp.cumprod(GAMMA * d)[:-1]])
        return (before * r * total).sum()

    @jax.jit
    def compared(theta):
        weight = chance * jnp.exp(log_prob(theta, states, actions).sum(1))
        over = lambda f: jax.tree.map(
            lambda x: jnp.tensordot(weight, x, 1),
            jax.vmap(f, (None, 0, 0, 0, 0))(theta, states, actions, rewards, kept),
        )
        product = lambda f: over(
            lambda theta, *rest: policy_gradients.hessian_vector(
                lambda at: f(at, *rest), theta, step
            )
        )
        along = lambda q: jax.jvp(jax.grad(exact), (theta + q * step,), (step,))[1]
        return {
            "value": (over(sampled), exact(theta)),
            "gradient": (over(jax.grad(sampled)), jax.grad(exact)(theta)),
            "hessian": (product(sampled), along(0.0)),
            "wrong": (product(naive), along(0.0)),
            # Hessians along the segment add up to the change of the gradient.
            "segment": (
                jax.vmap(along)((jnp.arange(200) + 0.5) / 200).mean(0),
                jax.grad(exact)(theta + step) - jax.grad(exact)(theta),
            ),
        }

    for name, (mine, oracle) in compared(theta).items():
        close = np.allclose(mine, oracle, atol=2e-5)
        assert close == (name != "wrong"), name


def test_momentum_without_lag_is_the_gradient_of_a_quadratic():
    rng = np.random.default_rng(0)
    matrix = np.diag([0.5, 1.0, 3.0]) + 0.1
    slope = lambda x: jnp.asarray(matrix, jnp.float32) @ x
    start = jnp.asarray(rng.normal(size=3), jnp.float32)

    def run(rule, at):
        def step(carry, _):
            params, state = carry
            extra = {"curvature": lambda here, direction: slope(direction)} if at is None else {}
            point = params if at is None else at(state, params)
            change, new = rule.update(slope(point), state, params, **extra)
            here = lambda node: hasattr(node, "momentum") or hasattr(node, "trace")
            inner = next(x for x in jax.tree.leaves(new, is_leaf=here) if here(x))
            momentum = inner.momentum if hasattr(inner, "momentum") else inner.trace
            return (optax.apply_updates(params, change), new), (params, momentum)

        return jax.lax.scan(step, (start, rule.init(start)), None, 60)[1]

    @jax.jit
    def every():
        falling = lambda step: (2 / (step + 2)) ** 0.8
        key = jax.random.key(0)
        return (
            run(policy_gradients.normalised_transport(0.02, falling),
                policy_gradients.sampling_params),
            run(policy_gradients.normalised_hessian_momentum(0.02, 0.1, key), None),
            run(optax.chain(optax.trace(0.9), optax.normalize_by_update_norm(),
                            optax.scale_by_learning_rate(0.02)), lambda state, params: params),
        )  # fmt: skip

    *ours, (params, plain) = every()
    for params_, momentum in ours:
        np.testing.assert_allclose(momentum, params_ @ matrix.T, atol=2e-5)
    assert np.abs(0.1 * plain - params @ matrix.T).max() > 0.05
    with pytest.raises(InputError, match="rate must be above 0"):
        policy_gradients.scale_by_transport(0.0)


def test_the_natural_gradient_of_a_table_is_the_advantage():
    arrays = random_arrays(2, states=3, actions=3)
    mdp = dp.from_arrays(*arrays)
    theta = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)

    @jax.jit
    def steps(theta):
        policy = jax.nn.softmax(theta)
        visits = dp.occupancy(mdp, policy, 0.9).sum(-1)
        q = dp.policy_evaluation(mdp, policy, 0.9, tolerance=1e-6).theta
        loss = lambda x: -(visits[:, None] * jax.nn.softmax(x) * q).sum()

        def divergence(x):
            gap = jnp.log(policy) - jax.nn.log_softmax(x)
            return (visits[:, None] * policy * gap).sum()

        step = policy_gradients.natural_gradient(divergence, theta, jax.grad(loss)(theta), 1e-6, 30)
        moved = policy_gradients.trust_region_step(divergence, loss, theta, 0.05)
        return step, divergence(moved), loss(moved) - loss(theta), q

    step, divergence, change, _ = (np.asarray(x, np.float64) for x in steps(theta))
    p, r, d, _ = arrays
    policy = np.asarray(jax.nn.softmax(theta), np.float64)
    exact = evaluated(p, r, d, 0.9, policy)
    # Up to what is the same for all actions of a state, which no softmax sees.
    centred = lambda x: x - x.mean(-1, keepdims=True)
    np.testing.assert_allclose(centred(-step), centred(exact), rtol=2e-2, atol=2e-2)
    assert change < 0 and 0.5 * 0.05 < divergence <= 0.05 * 1.01


def test_hessians_go_through_the_layers_of_networks():
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2))
    net = networks.network(spec, (1,), (1.0,), hidden=(4,), activation="tanh")
    params, x = net.init(jax.random.key(0)), jnp.array([0.3, -0.7])
    other = jax.tree.map(lambda w: 0.1 + 0.5 * w, params)
    of = lambda params: net.step(params, (), x)[0][0][0] ** 2

    @jax.jit
    def found(params):
        width = 1e-2
        up, down = (jax.tree.map(lambda w, v, s=s: w + s * width * v, params, other)
                    for s in (1, -1))  # fmt: skip
        by_differences = jax.tree.map(
            lambda x, y: (x - y) / (2 * width), jax.grad(of)(up), jax.grad(of)(down)
        )
        return policy_gradients.hessian_vector(of, params, other), by_differences

    mine, oracle = found(params)
    for x, y in zip(jax.tree.leaves(mine), jax.tree.leaves(oracle)):
        np.testing.assert_allclose(x, y, atol=5e-3)


def test_corrected_sampling_has_less_sampling_error_than_the_policy_itself():
    policy = jnp.array([0.5, 0.3, 0.2])
    theta, every = jnp.log(policy), jnp.arange(3)
    log_prob = lambda theta, obs, action: jax.nn.log_softmax(theta)[action]

    def run(behave, key):
        def step(counts, key):
            logits = jnp.asarray(behave(counts))
            action = jax.random.categorical(key, logits)
            return counts.at[action].add(1.0), None

        counts, _ = jax.lax.scan(step, jnp.zeros(3), jax.random.split(key, 100))
        return policy_gradients.sampling_error(counts[None], policy[None])

    # All three actions, as often as they were taken.
    step: dict[str, Any] = dict(log_prob=log_prob, params=theta, obs=every, action=every)
    ways = {
        "policy": lambda counts: theta,
        "one step": lambda counts: policy_gradients.least_sampled(
            **step, step=counts.sum() * 1.0, weight=counts
        ),
        "many": lambda counts: policy_gradients.proximal_sampling(
            **step, step=counts.sum() * 0.1, iterations=8, clip=0.9, weight=counts
        ),
    }
    keys = jax.random.split(jax.random.key(0), 400)
    seeds = jax.jit(lambda keys: {k: jax.vmap(partial(run, w))(keys) for k, w in ways.items()})
    found = {name: np.asarray(x) for name, x in seeds(keys).items()}
    error = found["policy"].std() / 20
    assert abs(found["policy"].mean() - 2 / 200) < 4 * error + 1e-3  # (A - 1) / 2 N
    for name in ("one step", "many"):
        gap = found["policy"] / 5 - found[name]
        assert gap.mean() > 4 * gap.std() / 20, name

    counts = jnp.array([6.0, 3.0, 1.0])
    moved = policy_gradients.least_sampled(**step, step=2.0, weight=counts)
    np.testing.assert_allclose(moved - theta, -2.0 * (counts / 10 - policy), atol=1e-5)
    # A step that would leave the policy too far behind is not taken.
    still = policy_gradients.proximal_sampling(**step, step=9.0, largest=1e-3, weight=counts)
    np.testing.assert_allclose(still, theta)


def test_a_critic_of_two_sources_weighs_returns_and_differences_of_each_pair():
    rng = np.random.default_rng(0)
    steps, size, share, ridge, pairs = 3, 40, 0.3, 0.01, 4
    own, other = rng.integers(pairs, size=(2, steps, size))
    following = rng.integers(2, size=(steps, size))
    to_go, reward = rng.normal(size=(2, steps, size))
    kept, policy = rng.integers(2, size=(steps, size)), rng.dirichlet(np.ones(2), (steps, size))
    eye = np.eye(pairs)
    every = eye.reshape(2, 2, pairs)[following]
    weights, after = np.zeros((steps, pairs)), np.zeros(pairs)
    for h in reversed(range(steps)):
        future = (policy[h] * after.reshape(2, 2)[following[h]]).sum(-1)
        target = reward[h] + kept[h] * future
        for x in range(pairs):
            mine, theirs = own[h] == x, other[h] == x
            total = (1 - share) * to_go[h][mine].sum() + share * target[theirs].sum()
            much = (1 - share) * mine.sum() + share * theirs.sum()
            weights[h, x] = total / size / (much / size + ridge)
        after = weights[h]
    batch = dp.LinearBatch(
        *(jnp.asarray(x, jnp.float32) for x in (eye[other], reward, kept, every))
    )
    online = policy_gradients.Returns(*(jnp.asarray(x, jnp.float32) for x in (eye[own], to_go)))
    solve = jax.jit(policy_gradients.two_source_critic)
    found = solve(online, batch, jnp.asarray(policy, jnp.float32), share, ridge)
    np.testing.assert_allclose(found, weights, atol=1e-4)
    with pytest.raises(InputError, match="share must lie between 0 and 1"):
        policy_gradients.two_source_critic(online, batch, jnp.asarray(policy), 2.0)
