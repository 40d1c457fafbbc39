"""State values whose weights come from another value: expectiles over actions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from envs import mdps
from jaxrl import values
from jaxrl.action_values import action_values
from jaxrl.errors import InputError
from jaxrl.state_values import expectile_weight, gumbel_weight, sparse_weight, state_values
from jaxrl.types import Discrete, Spec, Transition
from jaxrl.updates import descend, polyak
from tests.compiling import OPTIMISED

FAMILIES = {
    "scalar": values.scalar(),
    "categorical": values.categorical(values.uniform_support(-1.0, 6.0, 36)),
}
LEVELS = {0.5: 1.1, 0.7: 1.6429, 0.9: 2.8333, 0.99: 4.6387, 0.999: 4.9609}


def expectile(points, weights, level):
    """The expectile by bisection, in numpy."""
    low, high = points.min(), points.max()
    for _ in range(100):
        middle = (low + high) / 2
        slope = (weights * abs(level - (points < middle)) * (points - middle)).sum()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return middle


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weighted_loss_is_least_at_the_expectile(family):
    """For actions worth 0, 1, 2 and 5; the weights are of the value itself."""
    q, policy = np.float32([0, 1, 2, 5]), np.float32([0.5, 0.2, 0.2, 0.1])
    for level, known in LEVELS.items():
        np.testing.assert_allclose(expectile(q, policy, level), known, atol=1e-3)
    family = FAMILIES[family]

    def slope(theta, level):
        """The gradient of the loss at theta, whose weights are constants."""
        weight = expectile_weight(q - values.mean(family.decode(theta)), level)
        each = lambda theta: jax.vmap(lambda x: family.loss(theta, values.dirac(x)))(q)
        return jax.grad(lambda theta: (policy * weight * each(theta)).sum())(theta)

    levels = np.float32(list(LEVELS))
    # At the mixture of the targets under the weights, projected, the gradient vanishes.
    share = policy * abs(levels[:, None] - (q < np.float32(list(LEVELS.values()))[:, None]))
    mixture = values.ReturnDistribution(
        jnp.tile(q, (len(levels), 1)), share / share.sum(-1, keepdims=True)
    )
    theta = family.project(mixture)
    theta = jnp.where(jnp.isinf(theta), -40.0, theta)
    found = values.mean(family.decode(theta))
    np.testing.assert_allclose(found, list(LEVELS.values()), atol=2e-3)
    np.testing.assert_allclose(jax.vmap(slope)(theta, levels), 0, atol=2e-3)


def test_other_weights_have_the_values_of_xql_and_sql():
    """In closed form b log E exp(Q / b); and E max(0, 1 + (Q - V) / 2a) = 1, by bisection."""
    q, policy = np.array([0.0, 1, 2, 5]), np.array([0.5, 0.2, 0.2, 0.1])
    slope = lambda weight, v, t: (policy * weight(jnp.asarray(q - v), t) * (q - v)).sum()
    for temperature, known in ((0.5, 3.8516), (1.0, 2.8543), (5.0, 1.3672)):
        v = temperature * np.log((policy * np.exp(q / temperature)).sum())
        assert v == pytest.approx(known, abs=1e-3)
        assert slope(gumbel_weight, v, temperature) == pytest.approx(0, abs=1e-3)
    for temperature in (0.1, 0.5, 3.0, 100.0):
        low, high = -10.0, 10.0
        for _ in range(60):
            v = (low + high) / 2
            up = (policy * np.maximum(0, 1 + (q - v) / (2 * temperature))).sum() > 1
            low, high = (v, high) if up else (low, v)
        assert slope(sparse_weight, v, temperature) == pytest.approx(0, abs=1e-3)
    assert v == pytest.approx((policy * q).sum(), abs=1e-3)
    far = gumbel_weight(jnp.array([1000.0, -1000.0]), 0.5)  # bounded, and not zero
    assert np.isfinite(far).all() and far[0] * 1000 > 50


SIZE, GAMMA = 3, 0.9
STATES = SIZE * SIZE


def logged(size=4_000):
    """Steps of a behaviour in a gridworld, with their frequencies: it seldom takes the best action,
    and in the first row never goes down."""
    rng = np.random.default_rng(0)
    mdp = mdps.gridworld(SIZE, SIZE, slip=0.0)
    policy = np.tile([0.4, 0.1, 0.1, 0.4], (STATES, 1))  # up, right, down, left
    policy[:SIZE] = [0.5, 0.1, 0.0, 0.4]
    policy[0, 2] = 0.05
    policy /= policy.sum(-1, keepdims=True)
    state = rng.integers(0, STATES - 1, size)  # the last one is the end
    action = (policy[state].cumsum(-1) < rng.random((size, 1))).sum(-1)
    counts = np.zeros((STATES, 4))
    np.add.at(counts, (state, action), 1)
    successor = np.asarray(mdp.transition).argmax(-1)
    alive = np.take_along_axis(np.asarray(mdp.discount), successor[..., None], -1)[..., 0]
    state, action = np.nonzero(counts)
    eye, one = np.eye(STATES, dtype=np.float32), np.ones(len(state), np.float32)
    batch = Transition(
        eye[state], action.astype(np.int32), -one, alive[state, action],
        alive[state, action] == 0, eye[successor[state, action]], (),
        np.float32(counts[state, action] / counts.mean()),
    )  # fmt: skip
    return batch, counts, successor, alive


def iterated(counts, successor, alive, choose):
    """The values of states under a rule for which logged actions count, by iteration in numpy."""
    v = np.zeros(STATES)
    for _ in range(300):
        q = -1.0 + GAMMA * alive * v[successor]
        v = np.where(counts.sum(-1) > 0, choose(q, counts), 0.0)
    return v


def test_from_the_behaviours_value_to_the_best_in_the_data():
    """Level 0.5 is the behaviour's value; level 1 the optimum over actions that were taken."""
    batch, counts, successor, alive = logged()
    share = lambda counts: counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    behaviour = iterated(counts, successor, alive, lambda q, n: (share(n) * q).sum(-1))
    taken = lambda q, n: np.where(n > 0, q, -np.inf).max(-1)
    best = iterated(counts, successor, alive, taken)
    free = iterated(counts, successor, alive, lambda q, n: q.max(-1))
    assert best[1] < free[1] - 0.9  # the best action of all was not in the data
    of = values.scalar()
    spec = Spec(jax.ShapeDtypeStruct((STATES,), jnp.float32), Discrete(4))
    q, v = action_values(spec, of, hidden=()), state_values(spec, of, hidden=())

    def learn(level):
        def init(key):
            keys = jax.random.split(key)
            return {"q": q.init(keys[0]), "v": v.init(keys[1])}

        def loss(params, target, batch, key):
            fixed = of.decode(values.take(q.outputs(target["q"], batch.obs), batch.action))
            theta = v.outputs(params["v"], batch.obs)
            advantage = values.mean(fixed) - values.mean(of.decode(theta))
            weight = expectile_weight(jax.lax.stop_gradient(advantage), level)
            future = v.distribution(target["v"], batch.final)
            aim = values.push(future, batch.reward, GAMMA * batch.discount)
            now = values.take(q.outputs(params["q"], batch.obs), batch.action)
            total = weight * of.loss(theta, fixed) + of.loss(now, aim)
            return (batch.weight * total).mean(), {}

        steps = 3_000
        rate = optax.cosine_decay_schedule(0.1, steps)
        # Errors below the value weigh a thousandth: a long memory of large ones would stop these.
        update = descend(init, loss, optax.adam(rate, b2=0.99), polyak(1.0))
        state = update.init(jax.random.key(0), batch)
        one = lambda state, _: (update.apply(state, batch, jax.random.key(0))[0], None)
        state, _ = jax.lax.scan(one, state, None, steps)
        return v.value(state.params["v"], np.eye(STATES, dtype=np.float32))

    levels = jnp.array([0.5, 0.9, 0.999])
    found = jax.jit(jax.vmap(learn), compiler_options=OPTIMISED)(levels)
    low, middle, high = np.asarray(found)[:, : STATES - 1]
    np.testing.assert_allclose(low, behaviour[:-1], atol=0.15)
    np.testing.assert_allclose(high, best[:-1], atol=0.1)
    assert (middle > low + 0.3).all() and (middle < high - 0.05).any()


def test_an_implicit_representation_is_refused():
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2))
    with pytest.raises(InputError, match="A state value cannot have an implicit-quantile critic"):
        state_values(spec, values.implicit_quantile(4))
