"""The classic-control environments against Gymnasium's, one step at a time from equal states."""

import gymnasium
import gymnax
import jax
import numpy as np
import pytest

import envs

# Gymnasium computes in float64 and gymnax in float32: one step may differ by rounding only.
# The coarse integration of Acrobot enlarges it at high speeds.
TOLERANCE = {"Acrobot-v1": 1e-4}
STEPS = 1500

# The fields of the state, and bounds that reach beyond walls, limits of speed and thresholds.
STATE = {
    "CartPole-v1": {
        "x": (-2.4, 2.4), "x_dot": (-3, 3), "theta": (-0.209, 0.209), "theta_dot": (-3, 3),
    },
    "Acrobot-v1": {
        "joint_angle1": (-3.14, 3.14),
        "joint_angle2": (-3.14, 3.14),
        "velocity_1": (-12.5, 12.5),
        "velocity_2": (-28, 28),
    },
    "Pendulum-v1": {"theta": (-9, 9), "theta_dot": (-8, 8)},
    "MountainCar-v0": {"position": (-1.2, 0.49), "velocity": (-0.07, 0.07)},
    "MountainCarContinuous-v0": {"position": (-1.2, 0.44), "velocity": (-0.07, 0.07)},
}  # fmt: skip


def states_and_actions(env, name):
    """States [STEPS, fields] over the whole space, and actions within and beyond the bounds."""
    rng = np.random.default_rng(0)
    low, high = np.array(list(STATE[name].values())).T
    # A tenth of the coordinates are at a bound exactly: walls are where implementations differ.
    states = rng.uniform(low, high, (STEPS, len(low)))
    edge = np.where(rng.random(states.shape) < 0.5, low, high)
    states = np.where(rng.random(states.shape) < 0.1, edge, states).astype(np.float32)
    if hasattr(env.spec.action, "num"):
        return states, rng.integers(env.spec.action.num, size=STEPS).astype(np.int32)
    box = env.spec.action
    return states, rng.uniform(1.5 * box.low, 1.5 * box.high, (STEPS, 1)).astype(np.float32)


def ours(env, name, states, actions):
    example, _ = env.init(jax.random.key(0))

    def step(fields, action):
        state = example.replace(**dict(zip(STATE[name], fields)))
        return env.step(state, action, jax.random.key(0))[1]

    return jax.jit(jax.vmap(step))(states, actions)


def theirs(reference, states, actions):
    reference.reset(seed=0)
    result = []
    for state, action in zip(states, actions):
        reference.unwrapped.state = state.astype(np.float64)
        reference.unwrapped.steps_beyond_terminated = None  # of CartPole
        action = action.astype(np.float64) if action.ndim else int(action)
        result.append(reference.unwrapped.step(action)[:3])
    obs, reward, terminated = map(np.array, zip(*result))
    return obs, reward, terminated


def compare(env, reference, name):
    states, actions = states_and_actions(env, name)
    ts = ours(env, name, states, actions)
    obs, reward, terminated = theirs(reference, states, actions)
    # Where a coordinate is within rounding of a threshold, the two may see different sides.
    agree = np.asarray(ts.discount == 0.0) == terminated
    assert agree.mean() > 0.998
    scale = np.abs(obs).max(0)  # of each feature: Acrobot's speeds are sums of large terms
    np.testing.assert_array_less(np.abs(ts.final - obs)[agree] / scale, TOLERANCE.get(name, 2e-5))
    np.testing.assert_allclose(np.asarray(ts.reward)[agree], reward[agree], atol=1e-4, rtol=1e-5)
    return terminated


@pytest.mark.parametrize("name", STATE)
def test_one_step_agrees_with_gymnasium(name):
    terminated = compare(envs.make(name), gymnasium.make(name), name)
    assert name == "Pendulum-v1" or terminated.sum() > 10  # ends were compared, too


def test_a_changed_length_changes_all_that_follows_from_it():
    reference = gymnasium.make("CartPole-v1")
    physics = reference.unwrapped
    physics.length, physics.masscart = 0.8, 2.0
    physics.total_mass = physics.masspole + physics.masscart
    physics.polemass_length = physics.masspole * physics.length
    env = envs.make("CartPole-v1", length=0.8, masscart=2.0)
    compare(env, reference, "CartPole-v1")


def test_the_comparison_fails_without_our_correction_of_the_wall():
    name = "MountainCarContinuous-v0"
    uncorrected = envs.from_gymnax(*gymnax.make(name))
    with pytest.raises(AssertionError):
        compare(uncorrected, gymnasium.make(name), name)


@pytest.mark.parametrize("name", STATE)
def test_first_states_have_gymnasiums_law(name):
    """Means and standard deviations of first observations, over many resets."""
    env, reference = envs.make(name), gymnasium.make(name)
    mine = np.asarray(
        jax.vmap(lambda k: env.init(k)[1].obs)(jax.random.split(jax.random.key(0), 4000))
    )
    other = np.array([reference.reset(seed=i)[0] for i in range(1000)])
    spread = other.std(0) + 1e-6
    assert (np.abs(mine.mean(0) - other.mean(0)) < 5 * spread * np.sqrt(1 / 1000 + 1 / 4000)).all()
    np.testing.assert_allclose(mine.std(0), other.std(0), rtol=0.12, atol=1e-6)


@pytest.mark.parametrize("name", STATE)
def test_episodes_are_truncated_when_gymnasium_truncates_them(name):
    steps = gymnasium.spec(name).max_episode_steps
    env = envs.make(name, max_steps_in_episode=7)
    state, _ = env.init(jax.random.key(0))
    action = 1 if hasattr(env.spec.action, "num") else np.zeros(1, np.float32)
    step = jax.jit(env.step)
    for _ in range(6):
        state, ts = step(state, action, jax.random.key(0))
        assert not ts.last
    state, ts = step(state, action, jax.random.key(0))
    assert ts.last and ts.discount == 1.0
    assert gymnax.make(name)[1].max_steps_in_episode == steps
