"""Policies that are generators, of actions near -1/2 and 1/2 in a bandit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.errors import InputError
from tests.agents.offline.logs import compiled, learner, one_step, spec_of

KEYS = jax.random.split(jax.random.key(0), 6)
SMALL = dict(batch_size=128, learning_rate=1e-2, hidden=(32, 32), target_rate=0.05)
SIZE, SAMPLES, ONE = 400, 1000, jnp.ones((1, 1))
UPPER, DEVIATION = 0.3, 0.1  # the share of actions near 1/2, and the deviation within a mode
STEPS = 10  # of sampling


def bandit():
    """Actions of the two modes, of which the rarer pays 1 and the other -1."""
    rng = np.random.default_rng(0)
    side = np.where(np.arange(SIZE) < UPPER * SIZE, 1.0, -1.0)
    action = (0.5 * side + DEVIATION * rng.normal(size=SIZE))[:, None]
    return action, one_step(np.zeros(SIZE, int), action, side, spec_of(1, -1))


def flow_exactly(size=100_000):
    """What Euler's method makes of noise if the velocity is that of the two normal modes."""
    x = np.random.default_rng(1).normal(size=size)
    for step in range(STEPS):
        t = step / STEPS
        spread = (t * DEVIATION) ** 2 + (1 - t) ** 2  # the variance of x_t in either mode
        odds = UPPER / (1 - UPPER) * np.exp(2 * 0.5 * t * x / spread)
        side = (odds - 1) / (odds + 1)  # the expected side of the mode
        data = 0.5 * side + t * DEVIATION**2 / spread * (x - 0.5 * t * side)
        x = x + (data - x) / (1 - t) / STEPS
    return x


def drawn(actor, view, key):
    """Many actions [SAMPLES] of an actor."""
    obs = jnp.ones((SAMPLES, 1))
    return actor.step(view, (), obs, key)[0][:, 0]


def share_and_error(x):
    """The mean [] over seeds [S] of the shares of x [S, N], and its standard error."""
    share = x.mean(-1)
    return share.mean(), share.std(ddof=1) / np.sqrt(len(share))


def between(x):
    """Which actions are of neither mode."""
    return np.abs(x) < 2 * DEVIATION


def better(x):
    """Which actions are of the mode that pays 1."""
    return x > 2 * DEVIATION


@pytest.mark.parametrize("name", ["diffusion-bc", "flow-bc"])
def test_both_modes_are_cloned_with_their_shares(name):
    """As the exact velocity would; few actions are between them."""
    _, data = bandit()
    agent, learn = learner(name, spec_of(1, -1), data, denoising_steps=STEPS, **SMALL)

    def train(key):
        k_learn, k_act = jax.random.split(key)
        return drawn(agent.explore, learn(k_learn, 600)[0], k_act)

    x, exact = np.asarray(compiled(train)(KEYS)), flow_exactly()
    assert between(exact).mean() < 0.02
    share, error = share_and_error(x > 0)
    assert abs(share - (exact > 0).mean()) < 4 * error + 0.04, share
    share, error = share_and_error(between(x))
    assert share + 4 * error < 0.2, share
    np.testing.assert_allclose(np.median(np.abs(x)), 0.5, atol=0.05)


def test_a_gaussian_is_between_the_modes():
    """Its mean is that of the data, at -0.2, and its actions are as often between as elsewhere."""
    action, data = bandit()
    small = {k: v for k, v in SMALL.items() if k != "target_rate"}
    agent, learn = learner("bc", spec_of(1, -1), data, **small)

    def train(key):
        k_learn, k_act = jax.random.split(key)
        view, _ = learn(k_learn, 600)
        return agent.exploit.step(view, (), ONE, key)[0][0], drawn(agent.explore, view, k_act)

    mode, x = map(np.asarray, compiled(train)(KEYS))
    mean, error = share_and_error(mode)
    assert abs(mean - action.mean()) < 4 * error + 0.05
    share, error = share_and_error(between(x))
    assert share - 4 * error > 0.25, share


def test_idql_takes_the_better_mode():
    """The best of its candidates; drawn by weights, the share of the implicit policy's.

    Of N candidates, k of which are above the expectile t, that is k t / (k t + (N - k) (1 - t)).
    """
    _, data = bandit()
    level, number = 0.9, 32
    options = SMALL | dict(expectile=level, candidates=number, denoising_steps=STEPS)
    agent, learn = learner("idql", spec_of(1, -1), data, **options)
    weighted, _ = learner("idql", spec_of(1, -1), data, choice="weighted", **options)
    single, _ = learner("idql", spec_of(1, -1), data, **options | dict(candidates=1))

    def train(key):
        k_learn, *keys = jax.random.split(key, 4)
        view, _ = learn(k_learn, 600)
        actors = (agent.exploit, weighted.exploit, single.exploit)
        return [drawn(actor, view, k) for actor, k in zip(actors, keys)]

    best, drawn_by_weight, cloned = map(np.asarray, compiled(train)(KEYS))
    share, error = share_and_error(better(best))
    assert share - 4 * error > 0.95, share
    share, error = share_and_error(better(cloned))
    assert share + 4 * error < 0.4, share
    above = np.random.default_rng(2).binomial(number, share, 100_000)
    wanted = (above * level / (above * level + (number - above) * (1 - level))).mean()
    share, error = share_and_error(better(drawn_by_weight))
    assert abs(share - wanted) < 4 * error + 0.06, (share, wanted)


def test_fql_goes_to_the_better_mode_unless_it_is_held():
    """With much distillation it makes of noise what its flow makes of the same noise."""
    _, data = bandit()
    agent, learn = learner("fql", spec_of(1, -1), data, denoising_steps=5, **SMALL)

    def train(key, weight):
        k_learn, k_act = jax.random.split(key)
        return drawn(agent.exploit, learn(k_learn, 400, distillation=weight)[0], k_act)

    keys, weights = KEYS[:4], jnp.repeat(jnp.array([0.3, 100.0]), 4)
    x = np.asarray(compiled(train)(jnp.concatenate([keys, keys]), weights))
    free, held = x[:4], x[4:]
    share, error = share_and_error(better(free))
    assert share - 4 * error > 0.8, share
    share, error = share_and_error(held > 0)
    assert abs(share - UPPER) < 4 * error + 0.1, share


@pytest.mark.parametrize("name", ["diffusion-bc", "flow-bc", "idql", "fql"])
def test_bad_input_is_one_sentence(name):
    entry, spec = AGENTS[name], spec_of(2, -1)
    with pytest.raises(InputError, match="needs continuous actions"):
        entry.make(spec_of(2, 2), entry.defaults)
    with pytest.raises(InputError, match="There is no process called 'flows': did you mean flow"):
        entry.make(spec, entry.defaults.replace(process="flows"))
    with pytest.raises(InputError, match="denoising_steps must be above zero"):
        entry.make(spec, entry.defaults.replace(denoising_steps=0))
    with pytest.raises(InputError, match="There is no noise schedule called 'sine'"):
        entry.make(spec, entry.defaults.replace(process="diffusion", noise_schedule="sine"))
    if name == "idql":
        with pytest.raises(InputError, match="There is no choice called 'worst'"):
            entry.make(spec, entry.defaults.replace(choice="worst"))
        with pytest.raises(InputError, match="set value to expectile, or choice to best"):
            entry.make(spec, entry.defaults.replace(choice="weighted", value="gumbel"))
