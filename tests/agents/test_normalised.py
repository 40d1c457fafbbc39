"""Off-policy agents that see standardised observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, dqn, stocked
from jaxrl import advance, assemble, evaluate
from jaxrl.buffers import fetch
from jaxrl.errors import InputError
from jaxrl.fields import takes
from jaxrl.normalise import Standardised
from jaxrl.offline import stored_data
from tests.agents.cases import SMALL_REPLAY
from tests.compiling import OPTIMISED


def badly_scaled(env):
    """Observations that hardly differ: 1 and a thousandth of what they were."""
    show = lambda ts: ts._replace(obs=1 + 1e-3 * ts.obs, final=1 + 1e-3 * ts.final)
    shown = lambda state, ts: (state, show(ts))
    return env._replace(
        init=lambda key: shown(*env.init(key)),
        step=lambda state, action, key: shown(*env.step(state, action, key)),
    )


@pytest.mark.thorough
@pytest.mark.parametrize("normalise", [False, True])
def test_badly_scaled_observations_are_learnt_from_only_if_standardised(normalise):
    """Catch, by DQN, over three seeds."""
    hp = dqn.Hyperparameters(
        normalise_observations=normalise, hidden=(32,), encoder="mlp", num_envs=16, updates=4,
        buffer_size=16_384, warmup=1_024, epsilon_updates=500.0, target_period=50,
        learning_rate=2e-3,
    )  # fmt: skip
    setup = assemble(dqn.dqn, badly_scaled(envs.make("Catch-bsuite")), hp)

    def run(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), 450)
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, setup.agent.exploit, view, key, 64).returns.mean()

    keys = jax.random.split(jax.random.key(0), 3)
    scores = jax.jit(jax.vmap(run), compiler_options=OPTIMISED)(keys)
    assert (scores > 0.9).all() if normalise else (scores < 0).all()


@pytest.mark.parametrize(
    "name", ["dqn", "rainbow", "sac", "td3", "mbpo", "sequence-sac", "discrete-sac"]
)
def test_statistics_are_those_of_everything_collected(name):
    """Warm-up and rollouts, each step once; what is stored is raw."""
    entry = AGENTS[name]
    options = SMALL_REPLAY | dict(
        hidden=(8,), model_hidden=(8,), members=2, elites=1, dreams=1, horizon=2, length=2, held=2,
        updates=2, n_step=1, normalise_observations=True,
    )  # fmt: skip
    known = {k: v for k, v in options.items() if takes(entry.defaults, k)}
    env = envs.make("CartPole-v1" if name in ("dqn", "rainbow", "discrete-sac") else "Pendulum-v1")
    setup = assemble(entry.make, badly_scaled(env), entry.defaults.replace(**known))
    exp = setup.experiment
    run = jax.jit(lambda key: advance(exp, exp.init(key), 3)[0])(jax.random.key(0))
    assert isinstance(run.learner, Standardised)
    (buffer,) = stored_data(run.learner)
    stored = np.asarray(fetch(buffer, jnp.arange(16 + 3 * 4)).obs, np.float64)
    assert np.abs(stored - 1).max() < 0.02
    moments = run.learner.moments
    assert float(moments.count) == len(stored)
    np.testing.assert_allclose(moments.mean, stored.mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.variance, stored.var(0), rtol=1e-2)


def test_a_stock_is_not_hidden():
    hp = stocked.Hyperparameters(normalise_observations=True)
    env = stocked.world(envs.make("chain"), hp)
    with pytest.raises(InputError, match="normalise_observations hides the stock"):
        assemble(stocked.stocked_dqn, env, hp)
