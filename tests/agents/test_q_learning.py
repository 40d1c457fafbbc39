"""The relatives of DQN on processes that dynamic programming solves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, dqn, stocked
from jaxrl import advance, assemble
from jaxrl.conditioned import Conditioned
from jaxrl.environments import time_limit
from jaxrl.stock import Stock
from jaxrl.values import Critic, Objective
from tests.agents.test_oracles import optimal_values
from tests.compiling import OPTIMISED

REPLAY = dict(
    epsilon=1.0, hidden=(), num_envs=8, rollout_length=4, batch_size=128, buffer_size=8192,
    warmup=512, updates=4, learning_rate=2e-2, target_period=20, discount=0.9,
)  # fmt: skip
OPTIONS = {
    name: REPLAY | dict(
        critic=AGENTS[name].defaults.critic.replace(low=-2.0, high=16.0, atoms=atoms)
    )
    for name, atoms in {
        "c51": 21, "two-hot-dqn": 21, "hl-gauss-dqn": 21, "qr-dqn": 11, "expectile-dqn": 11,
        "iqn": 4, "rainbow": 21, "munchausen-dqn": 1,
    }.items()
}  # fmt: skip
OPTIONS["pqn"] = dict(
    hidden=(16,), num_envs=16, rollout_length=8, epsilon=0.5, trace_decay=0.5, discount=0.9,
    learning_rate=5e-3,
)  # fmt: skip


def trained(make, env, hp, steps, key):
    """What actors see of an agent after training."""
    setup = assemble(make, env, hp)
    run, _ = advance(setup.experiment, setup.experiment.init(key), steps)
    return setup.agent.update.read(run.learner)


@pytest.mark.thorough
@pytest.mark.parametrize("name", OPTIONS)
def test_the_optimal_policy_is_found(name):
    """Of a random process, in episodes that are truncated; in nearly all states of six seeds.

    It is not the myopic policy in four states of five, and nowhere a matter of less than 0.48.
    One seed in twenty-five errs in one state, as counted over 48 of them; to err in the same state
    in all seeds is not allowed.
    """
    params = dict(states=5, actions=3, seed=11)
    env, mdp = (
        envs.make("garnet", **params, max_steps_in_episode=7),
        envs.tabular_mdp("garnet", **params),
    )
    hp = AGENTS[name].defaults.replace(**OPTIONS[name])
    exploit = AGENTS[name].make(env.spec, hp).exploit

    def policy(key):
        view = trained(AGENTS[name].make, env, hp, 300, key)
        return exploit.step(view, (), jnp.eye(5), key)[0]

    keys = jax.random.split(jax.random.key(0), 6)
    action = jax.jit(jax.vmap(policy), compiler_options=OPTIMISED)(keys)
    best = optimal_values(mdp, hp.discount).argmax(-1)
    assert (np.asarray(action) == best).mean() > 0.85


def gamble():
    """Action 0 pays 1, action 1 pays 0 or 3; then it is over."""
    p = np.zeros((3, 2, 3))
    r, d = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))
    p[0, 0, 1], p[0, 1, 1:], p[1:, :, 0] = 1.0, 0.5, 1.0
    r[0, 0, 1], r[0, 1, 2] = 1.0, 3.0
    return envs.from_mdp(envs.tabular.from_arrays(p, r, d, np.eye(3)[0]))


def test_risk_is_a_number_to_sweep():
    """Of CVaR at .25, .5, .9 and 1 the gamble is worth 0, 0, 4/3 and 3/2; what is sure, 1."""
    env = time_limit(gamble(), 1)
    hp = AGENTS["cvar-dqn"].defaults.replace(**REPLAY, critic=Critic("quantile", atoms=20))

    def policy(level, key):
        chosen = hp.replace(objective=Objective("cvar", level))
        view = trained(dqn.dqn, env, chosen, 100, key)
        return dqn.dqn(env.spec, chosen).exploit.step(view, (), jnp.eye(3)[:1], key)[0][0]

    levels, keys = jnp.array([0.25, 0.5, 0.9, 1.0]), jax.random.split(jax.random.key(0), 3)
    every = jax.vmap(jax.vmap(policy, (0, None)), (None, 0))
    found = jax.jit(every, compiler_options=OPTIMISED)(levels, keys)
    assert (np.asarray(found) == [0, 0, 1, 1]).mean() > 0.85, found


def two_steps():
    """First +1 or -1 comes by chance, then by choice."""
    p = np.zeros((2, 2, 2))
    p[0], p[1] = 0.5, [1.0, 0.0]
    r, d = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    successors = np.zeros((2, 2, 2), np.int32)
    successors[0] = 1
    r[0], d[0] = [1.0, -1.0], 1.0
    r[1, 0], r[1, 1] = -1.0, 1.0
    return envs.from_mdp(envs.tabular.from_arrays(p, r, d, np.eye(2)[0], successors))


def test_one_network_obeys_every_stock():
    """E |c + G| by the choice that undoes chance, where policies of the state alone are at 1."""
    hp = stocked.Hyperparameters(
        **REPLAY | dict(hidden=(32,), discount=1.0, learning_rate=3e-3),
        critic=Critic("quantile", atoms=5), lowest_stock=-4.0, highest_stock=4.0,
    )  # fmt: skip
    env = stocked.world(time_limit(two_steps(), 2), hp)
    stock = jnp.array([-3.0, -1.0, -0.5, 0.5, 1.0, 3.0])
    obs = Conditioned(jnp.tile(jnp.eye(2)[1], (6, 1)), Stock(stock))

    def policy(key):
        view = trained(stocked.stocked_dqn, env, hp, 300, key)
        return stocked.stocked_dqn(env.spec, hp).exploit.step(view, (), obs, key)[0]

    found = jax.jit(jax.vmap(policy), compiler_options=OPTIMISED)(
        jax.random.split(jax.random.key(0), 3)
    )
    assert (np.asarray(found) == np.asarray(stock < 0)).mean() > 0.85, found


def test_what_does_not_fit_is_refused():
    spec = gamble().spec
    with pytest.raises(ValueError, match="n_step must be 1"):
        AGENTS["munchausen-dqn"].make(spec, AGENTS["munchausen-dqn"].defaults.replace(n_step=2))
    with pytest.raises(ValueError, match="observations with a stock"):
        AGENTS["stocked-dqn"].make(spec, AGENTS["stocked-dqn"].defaults)
    with pytest.raises(ValueError, match="implicit"):
        AGENTS["ppo"].make(
            spec, AGENTS["ppo"].defaults.replace(critic=AGENTS["iqn"].defaults.critic)
        )
    with pytest.raises(ValueError, match="did you mean cvar"):
        AGENTS["dqn"].make(spec, AGENTS["dqn"].defaults.replace(objective=Objective("cva")))
