"""Learners on a short chain, whose regret is exact, over twenty seeds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl import optimism
from jaxrl.errors import InputError

S, A, H, EPISODES, SEEDS = 5, 2, 7, 300, 20
MDP = envs.tabular_mdp("chain", length=S, slip=0.1)
WIDTH = optimism.hoeffding(0.5)
EVEN = jnp.full((H, S, A), 1 / A)
RIGHT = jnp.broadcast_to(jnp.array([0.0, 1.0]), EVEN.shape)
BASELINE = 0.5 * (EVEN + RIGHT)


@jax.jit
def everything(keys):
    hopeful = partial(optimism.optimistic, bonus=WIDTH, horizon=H)
    play = optimism.tabular_play(MDP, H)
    floor = 0.9 * optimism.episode_return(MDP, BASELINE)

    def value(state, policy):
        counts = state.counts if isinstance(state, optimism.ActorCritic) else state
        bound = MDP.initial @ hopeful(counts)[0].max(-1)
        return optimism.episode_return(MDP, policy), bound

    def of_mixture(state, mixture):
        first, second = jax.vmap(partial(optimism.episode_return, MDP))(mixture.policies)
        return (1 - mixture.chance) * first + mixture.chance * second

    def seed(key):
        k_data, *keys = jax.random.split(key, 6)
        offline = jax.vmap(play, (None, 0))(0.5 * EVEN + 0.5 * RIGHT, jax.random.split(k_data, 40))
        start = optimism.counted(optimism.no_counts(S, A), offline)
        run = partial(optimism.learn, play=play, measure=value, episodes=EPISODES)
        cautious = lambda way, key: optimism.learn(
            optimism.conservative(BASELINE, MDP.initial, WIDTH, floor, candidates=way),
            optimism.mixture_play(play), of_mixture, EPISODES, key,
        )[1]  # fmt: skip
        rare = optimism.actor_critic(hopeful, S, A, step_size=1.0, radius=2 * S * A * 0.5**2)
        known = partial(optimism.certain, horizon=H)
        hybrid = optimism.actor_critic(known, S, A, step_size=1.0, radius=1.0, start=start)
        return {
            "ucbvi": run(optimism.planner(S, A, hopeful), key=keys[0])[1],
            "rare": run(rare, key=keys[1]),
            "hybrid": run(hybrid, key=keys[2]),
            "steps": cautious(optimism.step_mixtures, keys[3]),
            "episodes": cautious(optimism.whole_episodes, keys[4]),
        }

    even = optimism.episode_return(MDP, EVEN)
    return jax.vmap(seed)(keys), optimism.best_return(MDP, H), even, floor


@pytest.fixture(scope="module")
def found():
    return jax.tree.map(np.asarray, everything(jax.random.split(jax.random.key(0), SEEDS)))


def surely(values):
    """The mean of the last fifty episodes, less four standard errors over seeds."""
    late = values[:, -50:].mean(1)
    return late.mean() - 4 * late.std() / np.sqrt(SEEDS)


def test_optimistic_planning_is_optimistic_and_learns(found):
    every, best, even, _ = found
    values, bounds = every["ucbvi"]
    assert (bounds >= best - 1e-4).mean() > 0.99
    assert (values <= best + 1e-4).all()
    assert surely(values) > even + 0.9 * (best - even)


def test_critics_are_rarely_replaced_and_still_learn(found):
    every, best, even, _ = found
    state, (values, _) = every["rare"]
    assert (state.switches >= 1).all() and (state.switches < EPISODES / 10).all()
    assert surely(values) > even + 0.9 * (best - even)
    # Offline data that cover the best policy make optimism unnecessary.
    _, (values, _) = every["hybrid"]
    first = values[:, 20:40].mean(1)
    assert first.mean() - 4 * first.std() / np.sqrt(SEEDS) > even + 0.8 * (best - even)


def test_conservative_exploration_is_never_below_its_threshold(found):
    every, best, _, floor = found
    for name in ("steps", "episodes"):
        assert (every[name] >= floor - 1e-5).all(), name
        assert surely(every[name]) > floor + 0.5 * (best - floor), name
    # Optimism alone is far below it at first.
    assert every["ucbvi"][0][:, :5].min() < 0.5 * floor


def test_bad_settings_are_refused_before_anything_is_compiled():
    with pytest.raises(InputError, match="horizon must be above zero"):
        optimism.certain(optimism.no_counts(S, A), 0)
    with pytest.raises(InputError, match="scale must not be negative"):
        optimism.hoeffding(-1.0)
    with pytest.raises(InputError, match="episodes must be above zero"):
        optimism.learn(
            optimism.fixed(EVEN), optimism.tabular_play(MDP, H), max, 0, jax.random.key(0)
        )
