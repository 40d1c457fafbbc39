"""Agents of continuous actions, on processes whose values are known in closed form."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble, values
from jaxrl.fields import takes
from jaxrl.networks import critic_ensemble
from jaxrl.types import Box, Env, Spec, TimeStep
from tests.compiling import OPTIMISED

NAMES = ("sac", "redq", "droq", "tqc", "td3", "d4pg")
SMALL = dict(
    num_envs=8, rollout_length=2, batch_size=32, buffer_size=4096, warmup=256, updates=4,
    hidden=(16,), learning_rate=5e-3, discount=0.5, target_rate=0.1, actor_period=2,
)  # fmt: skip
CALM = dict(initial_temperature=1e-9, target_entropy=-20.0)  # SAC without its entropy bonus


def process(reward, length, terminates=True) -> Env:
    """Episodes of `length` steps that pay reward(time, action), and then end or are truncated.

    Those that are truncated do not show the time.
    """

    def emit(time, reward):
        over = time >= length
        obs = jax.nn.one_hot(time * terminates, length + 1)
        discount = 1.0 - (over & terminates)
        return TimeStep(obs, reward, discount, over & terminates, obs, {})

    def init(key):
        return jnp.int32(0), emit(jnp.int32(0), jnp.float32(0))

    def step(time, action, key):
        return time + 1, emit(jnp.minimum(time + 1, length), reward(time, action[0]))

    spec = Spec(jax.ShapeDtypeStruct((length + 1,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
    env = Env(init, step, spec)
    return env if terminates else envs.time_limit(env, length)


def learnt(name, env, rounds, family=None, target_noise=None, **options):
    """The greedy actions [T + 1] and their values [T + 1], means over ten seeds.

    With N values of `target_noise` they are [N, T + 1]. Over 24 seeds, actions deviate by 0.03 to
    0.08 and values by 0.01 to 0.05.
    """
    hp = AGENTS[name].defaults
    known = {k: v for k, v in (SMALL | CALM | options).items() if takes(hp, k)}
    critic = replace(hp.critic, low=-4.0, high=4.0, atoms=min(hp.critic.atoms, 11))
    critic = replace(critic, family=family or critic.family)
    hp = replace(hp, **known | {"critic": critic})
    rep = values.critic(hp.critic)

    def train(key, noise):
        chosen = hp if noise is None else replace(hp, target_noise=noise)
        setup = assemble(AGENTS[name].make, env, chosen)
        run, _ = advance(setup.experiment, setup.experiment.init(key), rounds)
        view = setup.agent.update.read(run.learner)
        obs = jnp.eye(env.spec.observation.shape[0])
        action = setup.agent.exploit.step(view, (), obs, key)[0]
        critics = critic_ensemble(env.spec, rep.size, hp.ensemble.members, hp.network)
        theta = critics.apply(view.params["critics"], obs, action)
        every = values.ensemble(rep, hp.ensemble.members, values.average)
        return action[:, 0], values.mean(every.decode(theta))

    every = train if target_noise is None else jax.vmap(train, (None, 0))
    every = jax.jit(jax.vmap(every, (0, None)), compiler_options=OPTIMISED)
    found = every(jax.random.split(jax.random.key(0), 10), target_noise)
    return jax.tree.map(lambda x: np.asarray(x).mean(0), found)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "family"), [*((name, None) for name in NAMES), ("sac", "hl-gauss")]
)
def test_the_best_action_is_found_and_valued(name, family):
    """Payment falls with the distance from an action that differs from state to state."""
    best = np.array([0.4, -0.3])
    env = process(lambda t, a: 1 - 2 * (a - jnp.asarray(best)[t]) ** 2, 2)
    action, value = learnt(name, env, 200, family)
    np.testing.assert_allclose(action[:2], best, atol=0.15)
    np.testing.assert_allclose(value[:2], [1.5, 1.0], atol=0.2)


@pytest.mark.parametrize("name", ["sac", "d4pg"])
def test_a_truncated_future_counts(name):
    """A reward of 1 for ever is worth 2 at discount 1/2, though episodes are cut at two steps."""
    env = process(lambda t, a: jnp.float32(1), 2, terminates=False)
    _, value = learnt(name, env, 150)
    np.testing.assert_allclose(value[0], 2.0, atol=0.1)


def test_td3_values_the_noise_in_its_targets():
    """The last action pays -6 a^2: optimal is 0, and noise around it costs 6 E clip(noise)^2."""
    env = process(lambda t, a: jnp.where(t == 1, -6 * a**2, 0.0), 2)
    options = dict(exploration_noise=0.4, hidden=(32,), batch_size=64)
    deviations = np.array([0.0, 0.3], np.float32)
    _, value = learnt("td3", env, 400, target_noise=deviations, **options)
    noise = deviations[:, None] * np.random.default_rng(0).normal(size=100_000)
    cost = (np.clip(noise, -0.5, 0.5) ** 2).mean(-1)
    np.testing.assert_allclose(value[:, 0], 0.5 * -6 * cost, atol=0.1)


def test_actions_of_discrete_environments_are_refused():
    for name in ("td3", "d4pg", "tqc"):
        with pytest.raises(ValueError, match="needs continuous actions"):
            assemble(AGENTS[name].make, envs.make("CartPole-v1"), AGENTS[name].defaults)


def test_ensembles_that_do_not_exist_are_refused():
    env, hp = envs.make("Pendulum-v1"), AGENTS["redq"].defaults
    for other, words in (
        (replace(hp, ensemble=replace(hp.ensemble, reduction="mininum")), "minimum"),
        (replace(hp, ensemble=replace(hp.ensemble, subset=11)), "between 0 and 10"),
        (replace(hp, actor_reduction="mean"), "average"),
    ):
        with pytest.raises(ValueError, match=words):
            assemble(AGENTS["redq"].make, env, other)
