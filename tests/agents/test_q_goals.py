"""What each relative of DQN regresses on, against loops and formulas in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from agents import dqn, munchausen, pqn
from jaxrl import values
from jaxrl.action_values import action_values
from jaxrl.conditioned import Conditioned
from jaxrl.stock import Stock
from jaxrl.types import Discrete, Spec, Transition

SPEC = Spec(jax.ShapeDtypeStruct((4,), jnp.float32), Discrete(3))
GAMMA, N, ATOMS = 0.9, 5, 7
KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
SMALL = dict(low=-2.0, high=4.0, atoms=ATOMS)  # narrow: some goals are outside


def batch_of(*shape):
    """Random transitions, some of which terminate or are truncated."""
    draw = lambda *more: np.float32(RNG.normal(size=(*shape, *more)))
    discount = np.float32(RNG.random(shape) > 0.3)
    truncated = RNG.random(shape) > 0.7
    action = np.int32(RNG.integers(0, 3, shape))
    return Transition(draw(4), action, draw() * 2, discount, (discount == 0) | truncated,
                      draw(4), (), np.float32(RNG.random(shape) + 0.5))  # fmt: skip


def measured(make, hp, batch, **options):
    """The reported loss of one update, and the outputs of its networks on the batch."""
    agent = make(SPEC, hp, schedule=lambda update, _: update, **options)
    noise = np.random.default_rng(1)
    noisy = lambda x: x + np.float32(0.1 * noise.normal(size=x.shape))
    start = jax.jit(agent.update.init)(KEY, batch)
    params, target = (jax.tree.map(noisy, start.params) for _ in range(2))
    q = action_values(SPEC, values.critic(hp.critic), hidden=hp.network.hidden, dueling=hp.dueling)

    @jax.jit
    def run(state, params, target, batch):
        state = state._replace(params=params, target=target)
        loss = agent.update.apply(state, batch, KEY)[1]["loss"]
        return loss, [q.outputs(x, obs) for obs in (batch.obs, batch.final)
                      for x in (params, target)]  # fmt: skip

    loss, outputs = run(start, params, target, batch)
    return float(loss), [np.asarray(x, np.float64) for x in outputs]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("options", [{}, {"dueling": True}, {"double": False}])
def test_dqn(options):
    batch = batch_of(N)
    hp = dqn.Hyperparameters(discount=GAMMA, hidden=(8,), **options)
    loss, (now, _, judge, future) = measured(dqn.dqn, hp, batch)
    judge = judge if hp.double else future
    wanted = 0.0
    for i in range(N):
        best = judge[i, :, 0].argmax()
        goal = batch.reward[i] + GAMMA * batch.discount[i] * future[i, best, 0]
        wanted += (now[i, batch.action[i], 0] - goal) ** 2 / 2 / N
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)


def test_c51():
    batch, z = batch_of(N), np.linspace(-2, 4, ATOMS)
    hp = dqn.Hyperparameters(discount=GAMMA, critic=values.Critic("categorical", **SMALL))
    loss, (now, _, judge, future) = measured(dqn.dqn, hp, batch)
    wanted = 0.0
    for i in range(N):
        p = softmax(future[i, (softmax(judge[i]) @ z).argmax()])
        m = np.zeros(ATOMS)
        for j in range(ATOMS):
            goal = np.clip(batch.reward[i] + GAMMA * batch.discount[i] * z[j], -2, 4)
            b = (goal + 2) / (z[1] - z[0])
            low = min(int(np.floor(b)), ATOMS - 2)
            m[low] += p[j] * (low + 1 - b)
            m[low + 1] += p[j] * (b - low)
        wanted -= m @ np.log(softmax(now[i, batch.action[i]])) / N
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)


@pytest.mark.parametrize("family", ["two-hot", "hl-gauss"])
def test_two_hot_and_hl_gauss(family):
    batch, z = batch_of(N), np.linspace(-2, 4, ATOMS)
    hp = dqn.Hyperparameters(discount=GAMMA, critic=values.Critic(family, **SMALL))
    loss, (now, _, judge, future) = measured(dqn.dqn, hp, batch)
    wanted = 0.0
    for i in range(N):
        value = softmax(future[i, (softmax(judge[i]) @ z).argmax()]) @ z
        goal = np.clip(batch.reward[i] + GAMMA * batch.discount[i] * value, -2, 4)
        if family == "two-hot":
            m = np.maximum(1 - np.abs(z - goal), 0)  # atoms are 1 apart
        else:
            m = np.diff(norm.cdf(np.linspace(-2.5, 4.5, ATOMS + 1), goal, 0.75))
        wanted -= (m / m.sum()) @ np.log(softmax(now[i, batch.action[i]])) / N
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)


@pytest.mark.parametrize("statistic", ["mean", "cvar"])
def test_qr_dqn_and_its_risk(statistic):
    batch, tau = batch_of(20), (np.arange(ATOMS) + 0.5) / ATOMS
    critic = values.Critic("quantile", atoms=ATOMS, kappa=0.5)
    hp = dqn.Hyperparameters(
        discount=GAMMA, critic=critic, objective=values.Objective(statistic, 2 / ATOMS)
    )
    loss, (now, _, judge, future) = measured(dqn.dqn, hp, batch)
    kept = ATOMS if statistic == "mean" else 2
    wanted, changed = 0.0, 0
    for i in range(20):
        best = np.sort(judge[i], -1)[:, :kept].mean(-1).argmax()
        changed += best != judge[i].mean(-1).argmax()
        theta = now[i, batch.action[i]]
        for goal in batch.reward[i] + GAMMA * batch.discount[i] * future[i, best]:
            u = float(goal) - theta
            huber = np.where(abs(u) <= 0.5, u**2 / 2, 0.5 * (abs(u) - 0.25)) / 0.5
            wanted += (abs(tau - (u < 0)) * huber).sum() / ATOMS / 20
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)
    assert (changed > 0) == (statistic == "cvar")


@pytest.mark.parametrize("family", ["scalar", "quantile"])
def test_munchausen(family):
    batch, tau, scale, floor = batch_of(20), 0.7, 0.8, -0.77
    hp = munchausen.Hyperparameters(
        discount=GAMMA, temperature=tau, munchausen_scale=scale, munchausen_floor=floor,
        critic=values.Critic(family, atoms=1, kappa=100.0),
    )  # fmt: skip
    make = lambda spec, hp, schedule: dqn.dqn(
        spec, hp, targets=munchausen.bootstrap, schedule=schedule
    )
    loss, (now, before, _, future) = measured(make, hp, batch)
    wanted, clipped = 0.0, 0
    for i in range(20):
        log = tau * np.log(softmax(before[i, :, 0] / tau))[batch.action[i]]
        clipped += log < floor
        policy = softmax(future[i, :, 0] / tau)
        goals = future[i, :, 0] - tau * np.log(policy)
        goals = batch.reward[i] + scale * max(log, floor) + GAMMA * batch.discount[i] * goals
        errors = np.asarray(goals) - now[i, batch.action[i], 0]
        # One quantile is the median, half of whose quadratic loss is half of a scalar's.
        if family == "scalar":
            wanted += (policy @ errors) ** 2 / 2 / 20
        else:
            wanted += policy @ errors**2 / 2 / 100 / 2 / 20
    np.testing.assert_allclose(loss, wanted, rtol=1e-4)
    assert 0 < clipped < 20


def test_munchausen_of_scale_zero_is_soft():
    """And with a temperature near zero it is DQN without the double part."""
    batch = batch_of(N)
    hp = munchausen.Hyperparameters(discount=GAMMA, temperature=1e-4, munchausen_scale=0.0)
    make = lambda spec, hp, schedule: dqn.dqn(
        spec, hp, targets=munchausen.bootstrap, schedule=schedule
    )
    single = dqn.Hyperparameters(discount=GAMMA, double=False)
    np.testing.assert_allclose(
        measured(make, hp, batch)[0], measured(dqn.dqn, single, batch)[0], rtol=1e-3
    )


def test_the_stock_of_the_successor_counts():
    """The next action has the best E -|c' + Z|, for the stock c' that it is taken with."""
    spec = SPEC._replace(
        observation=Conditioned(SPEC.observation, Stock(jax.ShapeDtypeStruct((), jnp.float32)))
    )
    family, statistic = values.quantile(ATOMS), values.homeostatic(0.0)
    q = action_values(spec, family, statistic, (8,))
    params, target = map(jax.jit(q.init), jax.random.split(KEY))
    batch = batch_of(20)
    stock = np.float32(RNG.normal(size=20) * 2)
    batch = batch._replace(
        obs=Conditioned(batch.obs, Stock(9 * stock)), final=Conditioned(batch.final, Stock(stock))
    )
    hp = dqn.Hyperparameters(discount=GAMMA)

    @jax.jit
    def run(params, target, batch):
        atoms = dqn.bootstrap(q, params, target, batch, hp, KEY).atoms
        return atoms, q.outputs(params, batch.final), q.outputs(target, batch.final)

    atoms, judge, future = map(np.asarray, run(params, target, batch))
    for i in range(20):
        best = -abs(float(stock[i]) + judge[i]).mean(-1)
        wanted = batch.reward[i] + GAMMA * batch.discount[i] * future[i, best.argmax()]
        np.testing.assert_allclose(atoms[i], wanted, rtol=1e-4)


def allow(obs):
    """A mask of three actions; where it allows nothing, all are allowed."""
    return obs[..., :3] > 0


def allowed(obs):
    """What `allow` means, in numpy."""
    mask = np.asarray(obs)[..., :3] > 0
    return mask | ~mask.any(-1, keepdims=True)


def test_forbidden_actions_are_no_part_of_targets():
    """Neither of double nor of single DQN, nor of the soft values of Munchausen-DQN."""
    batch, spec = batch_of(40), SPEC._replace(mask=allow)
    q = action_values(spec, values.scalar(), hidden=(8,))
    params, target = map(jax.jit(q.init), jax.random.split(KEY))
    outputs = jax.jit(q.outputs)
    read = lambda params, obs: np.asarray(outputs(params, obs), np.float64)[..., 0]
    mean = lambda aim, hp: jax.jit(lambda *rest: values.mean(aim(q, *rest, hp, KEY)))(
        params, target, batch
    )
    judge, future, now = (
        read(params, batch.final),
        read(target, batch.final),
        read(target, batch.obs),
    )
    mask, before = allowed(batch.final), allowed(batch.obs)
    batch = batch._replace(action=before.argmax(-1))  # one that may be taken
    discount = GAMMA * np.asarray(batch.discount)
    for double in (True, False):
        best = np.where(mask, judge if double else future, -np.inf).argmax(-1)
        wanted = batch.reward + discount * np.take_along_axis(future, best[:, None], 1)[:, 0]
        hp = dqn.Hyperparameters(discount=GAMMA, double=double)
        np.testing.assert_allclose(mean(dqn.bootstrap, hp), wanted, rtol=1e-4, atol=1e-5)
    tau, only = 0.5, lambda x, mask: np.where(mask, x, -np.inf)
    soft = tau * np.log(np.exp(only(future, mask) / tau).sum(-1))
    log = only(now, before) / tau - np.log(np.exp(only(now, before) / tau).sum(-1))[:, None]
    bonus = 0.9 * np.clip(tau * log[np.arange(40), batch.action], -1, 0)
    hp = munchausen.Hyperparameters(discount=GAMMA, temperature=tau)
    wanted = batch.reward + bonus + discount * soft
    np.testing.assert_allclose(mean(munchausen.bootstrap, hp), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "mask"), [("scalar", None), ("scalar", allow), ("categorical", None)]
)
def test_pqn(family, mask):
    steps, lanes, trace = 6, 3, 0.7
    batch, z = batch_of(steps, lanes), np.linspace(-80, 80, ATOMS)
    critic = values.Critic(family, low=-80.0, high=80.0, atoms=ATOMS)
    hp = pqn.Hyperparameters(
        discount=GAMMA, trace_decay=trace, epochs=1, minibatches=1, hidden=(8,), critic=critic
    )
    agent = pqn.pqn(SPEC._replace(mask=mask), hp)
    q = action_values(SPEC, values.critic(critic), hidden=(8,), layer_norm=True)
    squeeze = values.on_support(values.uniform_support(-80.0, 80.0, ATOMS))

    @jax.jit
    def run(batch):
        state = agent.update.init(KEY, batch)
        _, metrics = agent.update.apply(state, batch, KEY)
        now, future = (q.outputs(state.params, x) for x in (batch.obs, batch.final))
        goals = values.lambda_distributions(
            batch.reward, GAMMA * batch.discount, batch.last,
            values.greedy(q.representation, future), trace, compress=squeeze,
        )  # fmt: skip
        error = q.representation.loss(values.take(now, batch.action), goals)
        return metrics["loss"], now, future, values.mean(goals), (batch.weight * error).mean()

    loss, now, future, projected, of_projected = (np.asarray(x, np.float64) for x in run(batch))
    value = lambda theta: theta[..., 0] if family == "scalar" else softmax(theta) @ z
    goal, wanted = np.zeros((steps, lanes)), 0.0
    for lane in range(lanes):
        for t in reversed(range(steps)):
            every = np.ones(3, bool) if mask is None else allowed(batch.final[t, lane])
            after = value(future[t, lane])[every].max()
            if t + 1 < steps and not batch.last[t, lane]:
                after = (1 - trace) * after + trace * goal[t + 1, lane]
            goal[t, lane] = batch.reward[t, lane] + GAMMA * batch.discount[t, lane] * after
            theta = now[t, lane, batch.action[t, lane]]
            wanted += batch.weight[t, lane] * (value(theta) - goal[t, lane]) ** 2 / 2
    if family == "scalar":
        np.testing.assert_allclose(loss, wanted / steps / lanes, rtol=1e-4)
    else:  # the linear projection keeps the means of what is inside the support
        np.testing.assert_allclose(projected, goal, atol=1e-4)
        np.testing.assert_allclose(loss, of_projected, rtol=1e-4)


@pytest.mark.parametrize("dueling", [False, True])
def test_implicit_action_values(dueling):
    """Fractions are fresh with a key, each sample's own, shared by actions, and midpoints else."""
    family = values.implicit_quantile(6)
    q = action_values(SPEC, family, hidden=(8,), dueling=dueling)
    params, obs = jax.jit(q.init)(KEY), np.float32(RNG.normal(size=(50, 4)))
    outputs = jax.jit(q.outputs)
    theta = np.asarray(outputs(params, obs, KEY))
    fractions = theta[..., 6:]
    assert theta.shape == (50, 3, 12)
    assert (fractions[:, :1] == fractions).all() and len(np.unique(fractions)) == 300
    assert (
        abs(fractions.mean() - 0.5) < 0.1
        and (fractions != np.asarray(outputs(params, obs, jax.random.key(9)))[..., 6:]).all()
    )
    np.testing.assert_allclose(
        np.asarray(outputs(params, obs))[..., 6:], np.tile(values.midpoints(6), (50, 3, 1))
    )
    # The quantile at a fraction does not depend on the observations beside it.
    alone = np.asarray(outputs(params, obs[:1], KEY))
    again = np.asarray(jax.jit(q.outputs)(params, obs[0], KEY))
    np.testing.assert_allclose(alone[0], again, rtol=1e-4)
