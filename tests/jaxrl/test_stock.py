"""The stock as an environment shows it and as an update relabels it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import from_mdp, mdps
from jaxrl.conditioned import Conditioned
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.stock import Stock, next_stock, restocked, stocked, with_stock
from jaxrl.types import Transition, Update
from jaxrl.updates import n_step
from jaxrl.values import ReturnDistribution, greedy, mean, scalar

GAMMA = 0.8


def shown(obs):
    """The stocks that observations show."""
    return obs.context.value


def walk(env, steps, seed=0):
    """States, stocks and time steps of a random walk."""
    state, first = env.init(jax.random.key(seed))

    def step(state, key):
        act, go = jax.random.split(key)
        state, ts = env.step(state, jax.random.randint(act, first.reward.shape, 0, 4), go)
        return state, ts

    keys = jax.random.split(jax.random.key(seed + 1), steps)
    return first, jax.lax.scan(step, state, keys)[1]


def test_the_stock_and_what_is_to_come_are_constant_along_a_trajectory():
    env = stocked(from_mdp(mdps.garnet()), GAMMA, 2.0)
    first, ts = walk(env, 12)
    assert shown(first.obs) == 2.0
    rewards = np.asarray(ts.reward, np.float64)
    stocks = np.concatenate([[2.0], shown(ts.obs)])
    to_come = [sum(GAMMA**k * r for k, r in enumerate(rewards[t:])) for t in range(13)]
    total = GAMMA ** np.arange(13) * (stocks + to_come)
    np.testing.assert_allclose(total, total[0], rtol=1e-4)


def test_episodes_start_at_a_stock_of_their_own():
    draw = lambda key: jax.random.uniform(key, minval=-5.0, maxval=5.0)
    env = time_limit(stocked(from_mdp(mdps.gridworld(2, 2)), GAMMA, draw), 3)
    first, ts = walk(auto_reset(vectorize(env, 64)), 8)
    # The true successor has the stock that led there; what is acted on next has a new one.
    before = np.concatenate([shown(first.obs)[None], shown(ts.obs)[:-1]])
    ended = np.asarray(ts.last)
    dead = np.asarray(ts.discount) == 0
    scale = np.where(dead, 1.0, GAMMA)
    np.testing.assert_allclose(shown(ts.final), (before + ts.reward) / scale, rtol=1e-5)
    assert (shown(ts.obs) == shown(ts.final))[~ended].all()
    fresh = np.asarray(shown(ts.obs))[ended]
    assert (abs(fresh) <= 5).all() and len(np.unique(fresh)) == ended.sum()
    assert ended.sum() > 100 and (ended & ~dead).any()


def test_bounds_and_spec():
    env = stocked(from_mdp(mdps.garnet()), GAMMA, 2.0, (-3.0, 3.0))
    _, ts = walk(env, 20)
    assert np.abs(shown(ts.obs)).max() == 3
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), env.init(
        jax.random.key(0))[1].obs)  # fmt: skip
    assert shapes == env.spec.observation
    with pytest.raises(ValueError, match="gamma must be above zero"):
        stocked(env, 0.0)
    with pytest.raises(ValueError, match=r"lowest stock -3\.0 and the highest 3\.0"):
        stocked(env, GAMMA, 4.0, (-3.0, 3.0))
    with pytest.raises(ValueError, match="lowest stock must be below the highest"):
        stocked(env, GAMMA, 0.0, (3.0, -3.0))
    with pytest.raises(ValueError, match="gamma must be above zero"):
        restocked(Update(*[lambda *_: ()] * 3), 0.0, lambda key, stock: stock)
    stocks = jax.vmap(
        lambda g: walk(stocked(from_mdp(mdps.garnet()), g, 1.0), 2)[1].obs.context.value
    )
    assert stocks(jnp.array([0.5, 1.0])).shape == (2, 2)


def test_a_statistic_with_a_stock():
    d = ReturnDistribution(jnp.array([[[1.0, -1.0], [2.0, 2.0]]]), jnp.full((1, 2, 2), 0.5))
    u = lambda d: (d.probabilities * jnp.minimum(0, d.atoms)).sum(-1)
    np.testing.assert_allclose(with_stock(u, jnp.array([-2.0]))(d), [[-2, 0]])
    np.testing.assert_allclose(with_stock(u, jnp.array([-2.0]))(chosen(d)), [0])
    theta = jnp.array([[[1.0], [3.0]]])
    near = with_stock(lambda d: -jnp.abs(mean(d)), jnp.array([-1.0]))
    np.testing.assert_allclose(greedy(scalar(), theta, near).atoms, [[1.0]])


def chosen(d):
    return jax.tree.map(lambda x: x[:, 1], d)


def transitions(steps=3, lanes=500):
    rng = np.random.default_rng(0)
    stock = jnp.asarray(rng.normal(size=(steps, lanes)), jnp.float32)
    reward = jnp.asarray(rng.normal(size=(steps, lanes)), jnp.float32)
    discount = jnp.asarray(rng.random((steps, lanes)) > 0.2, jnp.float32)
    obs = jnp.asarray(rng.normal(size=(steps, lanes, 2)), jnp.float32)
    later = next_stock(stock, reward, GAMMA * discount)
    return Transition(
        Conditioned(obs, Stock(stock)),
        jnp.zeros((steps, lanes), jnp.int32),
        reward,
        discount,
        discount == 0,
        Conditioned(obs + 1, Stock(later)),
        (),
        jnp.ones((steps, lanes)),
    )


SEE = Update(
    lambda key, example: (), lambda state, batch, key: (state, {"seen": batch}), lambda s: s
)


def test_relabelling_changes_the_stocks_and_nothing_else():
    batch = jax.tree.map(lambda x: x[0], transitions())
    draw = lambda key, stock: jax.random.uniform(key, stock.shape, minval=-1.0, maxval=1.0)
    update = restocked(SEE, GAMMA, draw)
    seen = update.apply((), batch, jax.random.key(0))[1]["seen"]
    again = update.apply((), batch, jax.random.key(1))[1]["seen"]
    assert (shown(seen.obs) != shown(again.obs)).all()
    assert abs(float(shown(seen.obs).mean())) < 0.1 and len(np.unique(shown(seen.obs))) > 490
    scale = np.where(batch.discount == 0, 1, GAMMA)
    np.testing.assert_allclose(
        shown(seen.final),
        (shown(seen.obs) + batch.reward) / scale,
        rtol=1e-4,
        atol=1e-6,
    )
    same = lambda x: x._replace(obs=x.obs.obs, final=x.final.obs)
    jax.tree.map(np.testing.assert_array_equal, same(seen), same(batch))
    # To relabel with the stocks there were is to change nothing.
    kept = restocked(SEE, GAMMA, lambda key, stock: stock)
    seen = kept.apply((), batch, jax.random.key(0))[1]["seen"]
    jax.tree.map(np.testing.assert_array_equal, seen, batch)


def test_relabelling_over_several_steps_divides_by_as_many_gammas():
    batch = transitions()
    keep = restocked(SEE, GAMMA, lambda key, stock: stock)
    seen = n_step(keep, GAMMA).apply((), batch, jax.random.key(0))[1]["seen"]
    last, r = np.asarray(batch.last), np.asarray(batch.reward)
    for lane in range(50):
        stock = shown(batch.obs)[0, lane]
        for t in range(3):
            stock = stock + r[t, lane] if last[t, lane] else (stock + r[t, lane]) / GAMMA
            if last[t, lane]:
                break
        if not last[:, lane].any():  # after an end no stock matters
            np.testing.assert_allclose(shown(seen.final)[lane], stock, rtol=1e-4, atol=1e-5)


def test_one_transition_trains_every_stock():
    """Learnt from one stock alone, relabelled: E min(0, c + r) for every c, of a coin's reward."""
    centres = jnp.linspace(-2.0, 2.0, 9)

    def apply(table, batch, key):
        cell = jnp.abs(shown(batch.obs)[:, None] - centres).argmin(-1)
        target = jnp.minimum(0, shown(batch.obs) + batch.reward)
        sums = jax.ops.segment_sum(jnp.stack([target, jnp.ones_like(target)], -1), cell, 9)
        return table + sums, {}

    draw = lambda key, stock: jax.random.choice(key, centres, stock.shape)
    update = restocked(Update(lambda *_: jnp.zeros((9, 2)), apply, lambda s: s), GAMMA, draw)
    batch = jax.tree.map(lambda x: x[0], transitions())
    reward = jnp.where(jnp.arange(500) % 2 == 0, 1.0, -1.0)
    batch = batch._replace(obs=batch.obs._replace(context=Stock(jnp.zeros(500))), reward=reward)
    table = jnp.zeros((9, 2))
    for seed in range(20):
        table, _ = update.apply(table, batch, jax.random.key(seed))
    exact = (np.minimum(0, centres + 1) + np.minimum(0, centres - 1)) / 2
    np.testing.assert_allclose(table[:, 0] / table[:, 1], exact, atol=0.12)
