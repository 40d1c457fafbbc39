"""CQL: its penalty as an integral, its fixed point in a table, and low values without data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS, sac
from agents.offline.cql import conservative, returns_to_go, unknown_returns
from jaxrl.errors import InputError
from jaxrl.policies import tanh_gaussian
from jaxrl.types import Transition
from tests.agents.offline.logs import compiled, learner, one_step, spec_of
from tests.jaxrl.test_cloning import batch_of

KEYS = jax.random.split(jax.random.key(0), 3)


def test_the_penalty_is_the_logarithm_of_an_integral():
    """Q = -4 a^2 w, for which log of the integral over [-1, 1] is -0.1255 where w is 1.

    It does not depend on the policy, whose parameters have no gradient.
    """
    data = jnp.linspace(-0.9, 0.9, 8)[:, None]
    each = lambda params, obs, action: -4 * action**2 * params["q"]  # [B, 1]
    policy = lambda params, obs: tanh_gaussian(
        jnp.broadcast_to(params["mean"], data.shape), jnp.zeros(data.shape)
    )
    judge = sac.Judgement(lambda *_: jnp.zeros(8), each, policy)

    def mean(params, key):
        return conservative(2.0, 4000, False, judge, params, batch_of(np.asarray(data)), key).mean()

    slope = jax.jit(jax.value_and_grad(mean))
    grid = (np.arange(20_000) + 0.5) / 10_000 - 1
    for centre in (0.0, 0.7):
        value, gradient = slope({"q": jnp.ones(()), "mean": jnp.float32(centre)}, KEYS[0])
        integral = np.log(2 * np.exp(-4 * grid**2).mean())
        wanted = 2 * (integral + 4 * (np.asarray(data) ** 2).mean())
        assert integral == pytest.approx(-0.1255, abs=1e-4)
        assert value == pytest.approx(wanted, abs=0.04)
        assert gradient["mean"] == 0
        # By the derivative of the integral in w.
        inside = np.exp(-4 * grid**2)
        wanted = 2 * (-4 * (grid**2 * inside).mean() / inside.mean() + 4 * (np.square(data)).mean())
        assert gradient["q"] == pytest.approx(wanted, abs=0.06)


def test_calibrated_values_are_pushed_down_to_the_datas_returns_only():
    """Without a bound it is CQL. Where returns are higher than all values, no gradient passes the
    policy's actions: with values that are equal outside of the data, only uniform ones have any."""
    data = jnp.full((4, 1), 0.5)
    each = lambda params, obs, action: params * jnp.ones((*action.shape[:-1], 1))
    policy = lambda params, obs: tanh_gaussian(jnp.zeros((4, 1)), jnp.zeros((4, 1)))
    judge = sac.Judgement(lambda *_: jnp.zeros(4), each, policy)

    def slope(calibrated, bound):
        batch = batch_of(data)._replace(extras=jnp.full(4, bound))
        term = lambda q: conservative(1.0, 50, calibrated, judge, q, batch, KEYS[0]).mean()
        return jax.grad(term)(jnp.float32(1.0))

    assert slope(False, 0.0) == pytest.approx(0.0, abs=1e-5)  # all are pushed, and the data back
    assert slope(True, -np.inf) == pytest.approx(0.0, abs=1e-5)
    assert slope(True, 0.5) == pytest.approx(0.0, abs=1e-5)
    assert slope(True, 30.0) == pytest.approx(-1.0, abs=1e-5)  # nothing is pushed but the data
    gap = slope(True, 1.0 + 1e-4)  # uniform actions have their share of the sum alone
    assert -0.9 < gap < -0.1


def test_returns_to_go_are_sums_to_the_end_of_each_episode():
    column = lambda *x: jnp.array(x, float)[:, None]
    reward, last = column(1, 2, 3, 4, 5), column(0, 1, 0, 1, 0) > 0
    discount = column(1, 0, 1, 1, 1)  # of an end, and of two that were cut off
    steps = Transition(reward, reward, reward, discount, last, reward, (), reward)
    found = returns_to_go(0.5, steps)
    np.testing.assert_allclose(found.extras[:, 0], [2, 2, 5, 4, 5])
    assert (unknown_returns(steps).extras == -np.inf).all()


def test_discrete_values_are_at_the_fixed_point():
    """Q = T + w (1 - pi / mu): on average those of the data, and lower for the policy.

    In a bandit, for three weights in one program; the fixed point is found by Newton's method.
    """
    chance, paid, weights = np.array([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 1.5]), [0.0, 0.1, 1.0]
    action = np.repeat(np.arange(3), [120, 60, 20])
    spec = spec_of(1, 3)
    data = one_step(0 * action, action, paid[action], spec)
    _, learn = learner(
        "discrete-cql", spec, data, critic=AGENTS["dqn"].defaults.critic, batch_size=200,
        learning_rate=0.02, schedule="cosine", decay_steps=1500.0, max_gradient_norm=0.0,
    )  # fmt: skip

    def train(key, weight):
        view, _ = learn(key, 1500, conservatism=weight)
        layer = view.params["params"]["Dense_0"]
        return layer["kernel"][0] + layer["bias"]

    found = np.asarray(compiled(train)(KEYS, jnp.array(weights)))
    for q, weight in zip(found, weights):
        exact = paid.copy()
        for _ in range(20_000):
            pi = np.exp(exact - exact.max())
            gap = exact - paid - weight * (1 - pi / pi.sum() / chance)
            exact = exact - 0.02 * gap
        assert (chance * exact).sum() == pytest.approx((chance * paid).sum(), abs=1e-6)
        np.testing.assert_allclose(q, exact, atol=0.15, err_msg=str(weight))
    assert found[2, 2] < found[0, 2] - 1  # the rare action that pays best


def test_values_without_data_are_low():
    """Rewards of 1 within [-0.3, 0.3], and no data beyond: the value there falls below 1.

    SAC, which is CQL without a penalty, does not know.
    """
    rng = np.random.default_rng(0)
    action = rng.uniform(-0.3, 0.3, (256, 1))
    spec = spec_of(1, -1)
    data = one_step(np.zeros(256, int), action, np.ones(256), spec)
    agent, learn = learner(
        "cql", spec, data, batch_size=64, hidden=(32,), learning_rate=3e-3, target_rate=0.05,
        actor_learning_rate=3e-3,
    )  # fmt: skip
    net = lambda hp: sac.networks(spec, hp, sac.values.critic(hp.critic))
    each = net(AGENTS["cql"].defaults.replace(hidden=(32,))).each

    def train(key, weight):
        view, _ = learn(key, 800, conservatism=weight)
        place = jnp.array([[0.0], [0.8], [-0.8]])
        mode = agent.exploit.step(view, (), jnp.ones((1, 1)), key)[0]
        return each(view.params, jnp.ones((3, 1)), place).mean(-1), mode

    value, mode = compiled(train)(jnp.tile(KEYS[:2], 2), jnp.array([0.0, 0.0, 1.0, 1.0]))
    value, mode = np.asarray(value), np.ravel(mode)
    assert (value[2:, 0] > value[2:, 1:].max(-1) + 0.5).all(), value
    assert (value[:2, 1:].min(-1) > value[2:, 1:].max(-1) + 0.3).all(), value
    assert (abs(mode[2:]) < 0.45).all(), mode


def test_bad_input_is_one_sentence():
    entry = AGENTS["discrete-cql"]
    with pytest.raises(InputError, match="discrete-cql needs a uniform replay"):
        entry.make(spec_of(2, 3), entry.defaults.replace(prioritised=True))
    with pytest.raises(InputError, match="conservatism must not be negative"):
        entry.make(spec_of(2, 3), entry.defaults.replace(conservatism=-1.0))
    with pytest.raises(InputError, match="actor_learning_rate must be above zero"):
        AGENTS["cql"].make(spec_of(2, -1), AGENTS["cql"].defaults.replace(actor_learning_rate=0.0))
