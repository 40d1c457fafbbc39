"""Environments that run outside of compiled functions, against the compiled loop and Gymnasium."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from experiments import checkpoints, configuration, continuing, host, lanes
from experiments.cli import main
from experiments.configuration import Configuration
from experiments.lanes import Lanes, Source
from experiments.population import gather
from jaxrl import assemble
from jaxrl.environments import time_limit
from jaxrl.errors import InputError
from jaxrl.offline import without_data
from jaxrl.types import Box, Discrete, Env, Spec, TimeStep, population_axes
from tests.experiments.runs import table

LIMIT, END = 6, 3
OBSERVED = jax.ShapeDtypeStruct((2,), jnp.float32)


def walk(action) -> Env:
    """A walk on a line that terminates beyond END, and is truncated after LIMIT steps."""

    def emit(x, reward, done):
        obs = jnp.stack([x, jnp.abs(x)]).astype(jnp.float32) / 4
        return TimeStep(obs, reward, 1.0 - done, done > 0, obs, {})

    def step(x, action, key):
        x = x + jnp.where(jnp.ravel(action)[0] > 0, 1, -1)
        return x, emit(x, x / 4, (x > END).astype(jnp.float32))

    init = lambda key: (jnp.int32(0), emit(jnp.int32(0), jnp.float32(0), jnp.float32(0)))
    return time_limit(Env(init, step, Spec(OBSERVED, action)), LIMIT)


def walking(action) -> Source:
    """The same walk on the host, in numpy."""

    def opened(name, number):
        x, clock = np.zeros(number, int), np.zeros(number, int)
        see = lambda: np.stack([x, np.abs(x)], -1).astype(np.float32) / 4

        def restart(ended):
            x[ended], clock[ended] = 0, 0
            return see()

        def step(action):
            nonlocal x, clock
            x, clock = x + np.where(action.reshape(number) > 0, 1, -1), clock + 1
            return see(), (x / 4).astype(np.float32), x > END, clock >= LIMIT

        begin = lambda seeds: restart(np.ones(number, bool))
        return Lanes(Spec(OBSERVED, action), begin, restart, step, lambda: None)

    return Source("numpy", opened)


ACTIONS = {"ppo": Discrete(2), "dqn": Discrete(2), "sac": Box(-np.ones(1), np.ones(1))}
SETTINGS = {
    "ppo": dict(rollout_length=8, minibatches=2, memory="gru", sequence_length=4),
    "dqn": dict(rollout_length=4, warmup=16, buffer_size=64, batch_size=8),
    "sac": dict(rollout_length=4, warmup=16, buffer_size=64, batch_size=8),
}


def config_of(agent, env, **changes) -> Configuration:
    defaults = AGENTS[agent].defaults.replace(num_envs=2, hidden=(8,), **SETTINGS[agent])
    from experiments import records

    own = dict(env_params={}, sweep={}, seeds=2, seed=0, steps=64, evaluations=1, episodes=2,
               max_episode_steps=20)  # fmt: skip
    return Configuration(agent, env, hyperparameters=records.flat(defaults), **(own | changes))


@pytest.mark.thorough
@pytest.mark.parametrize("agent", ACTIONS)
def test_learning_is_that_of_the_compiled_loop(agent, monkeypatch):
    """Nothing is random in this environment, so both see the same steps and learn the same."""
    monkeypatch.setitem(lanes.SOURCES, "walk", walking(ACTIONS[agent]))
    config = config_of(agent, f"walk/{agent}")  # specs are remembered by name
    p = gather(config)
    program = host.programmed(p, [])
    runs, sums = program.advance(program.start(p, None), program.zeros, p.hp, [], 3)

    hp = configuration.hyperparameters(config)
    setup = assemble(AGENTS[agent].make, walk(ACTIONS[agent]), hp, config.steps)

    def compiled(key):
        run = setup.experiment.init(key)
        metrics = []
        for _ in range(3):
            run, found = setup.experiment.step(run)
            metrics.append(found)
        return run, jax.tree.map(lambda *x: sum(x), *metrics)

    found, metrics = jax.vmap(jax.jit(compiled))(p.keys[:, 0])
    for x, y in zip(jax.tree.leaves(runs.learner), jax.tree.leaves(found.learner), strict=True):
        y = y[0] if np.ndim(y) > np.ndim(x) else y  # a counter
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)
    for name in ("episodes", "episode_return", "episode_length"):
        np.testing.assert_allclose(sums[name], metrics[name], rtol=1e-5)
    assert (sums["episodes"] > 0).all()
    np.testing.assert_array_equal(runs.world[1].obs, found.world[1].obs)


def test_going_on_is_that_of_the_compiled_loop(monkeypatch):
    """The base's policy takes the warm-up, from the same keys, and its parameters stay."""
    monkeypatch.setitem(lanes.SOURCES, "walk", walking(ACTIONS["sac"]))
    config = config_of("sac", "walk/sac")
    p, hp = gather(config), configuration.hyperparameters(config)
    make = lambda base: assemble(AGENTS["sac"].make, walk(ACTIONS["sac"]), hp, 64, base=base)
    axes = population_axes(p.single.learner)

    def init(key, base):
        run = make(base).experiment.init(key)
        return run.learner, run.world[1].obs

    begun = jax.jit(jax.vmap(lambda key: init(key, None), out_axes=(axes, 0)))
    base = jax.device_get(without_data(begun(p.keys[:, 1])[0]))
    monkeypatch.setattr(continuing, "begun", lambda config, seeds: base)
    runs = host.programmed(p, []).start(p, None)
    shared = (0, population_axes(base))
    learner, obs = jax.jit(jax.vmap(init, shared, (axes, 0)))(p.keys[:, 0], base)
    for x, y in zip(jax.tree.leaves(runs.learner), jax.tree.leaves(learner), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    for x, y in zip(jax.tree.leaves(runs.learner.inner.params), jax.tree.leaves(base.inner.params)):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(runs.world[1].obs, obs)


def test_evaluation_plays_each_episode_once_and_counts_it(monkeypatch):
    monkeypatch.setitem(lanes.SOURCES, "walk", walking(Discrete(2)))
    config = config_of("dqn", "walk/dqn", episodes=3)
    p = gather(config)
    program = host.programmed(p, [])
    score = program.evaluate(program.start(p, None), p.hp, p.keys)
    assert score.returns.shape == (2, 3) and score.completed.all()
    # Greedy and without chance: all episodes are the same.
    assert (score.lengths <= LIMIT).all() and (score.lengths == score.lengths[:, :1]).all()
    short = host.player(dataclasses.replace(config, max_episode_steps=2), p.axes, p.hp_axes, 2, 3)
    cut = short(program.start(p, None), p.hp, p.keys[:, 1])
    assert (cut.lengths == 2).all() and not cut.completed.any()


def test_lanes_are_those_of_gymnasium():
    """The same seeds and actions as environments stepped by hand, whatever ends when."""
    number, seeds = 3, np.array([5, 6, 7])
    made = lanes.opened("gymnasium/CartPole-v1", {"max_steps_in_episode": 15}, number)
    own = [gymnasium.make("CartPole-v1", max_episode_steps=15) for _ in seeds]
    obs = made.begin(seeds)
    np.testing.assert_array_equal(obs, [e.reset(seed=int(s))[0] for e, s in zip(own, seeds)])
    rng, ended = np.random.default_rng(0), [0, 0]
    for _ in range(80):
        action = rng.integers(0, 2, number)
        obs, reward, terminated, truncated = made.step(action)
        alone = [e.step(int(a)) for e, a in zip(own, action)]
        np.testing.assert_array_equal(obs, [x[0] for x in alone])
        assert reward.tolist() == [x[1] for x in alone]
        assert terminated.tolist() == [x[2] for x in alone]
        assert truncated.tolist() == [x[3] for x in alone]
        last = terminated | truncated
        ended[0], ended[1] = ended[0] + terminated.sum(), ended[1] + truncated.sum()
        if last.any():
            fresh = made.restart(last)
            for i in np.flatnonzero(last):
                np.testing.assert_array_equal(fresh[i], own[i].reset()[0])
            np.testing.assert_array_equal(fresh[~last], obs[~last])
    assert min(ended) > 0


@pytest.mark.parametrize(
    ("name", "package"), [("gymnasium/ALE/Pong-v5", "ale_py"), ("envpool/Pong-v5", "envpool")]
)
def test_atari_has_stacked_frames_and_tells_the_last_of_an_episode(name, package):
    pytest.importorskip(package)
    made = lanes.opened(name, {"max_steps_in_episode": 20}, 2)
    assert made.spec.observation == jax.ShapeDtypeStruct((84, 84, 4), jnp.uint8)
    before = made.begin(np.array([1, 2]))
    for t in range(20):
        obs, _, terminated, truncated = made.step(np.full(2, t % 3, np.int32))
        # Stacked frames move on by one.
        np.testing.assert_array_equal(obs[..., :-1], before[..., 1:])
        before = obs
    assert truncated.all() and not terminated.any()
    fresh = made.restart(truncated)
    assert (fresh != obs).any((1, 2, 3)).all()
    np.testing.assert_array_equal(made.step(np.zeros(2, np.int32))[0][..., :-1], fresh[..., 1:])


def test_lanes_of_envpool_that_end_begin_anew_at_once():
    """After a restart the cart moves on by its speed, so EnvPool does not reset it once more."""
    pytest.importorskip("envpool")
    made, ended = lanes.opened("envpool/CartPole-v1", {}, 2), 0
    obs = made.begin(np.array([1, 2]))
    for t in range(100):
        before = obs
        obs, _, terminated, truncated = made.step(np.array([t % 3 > 0, 0], np.int32))
        np.testing.assert_allclose(obs[:, 0], before[:, 0] + 0.02 * before[:, 1], atol=1e-5)
        if (last := terminated | truncated).any():
            obs, ended = made.restart(last), ended + 1
    assert ended > 5


SPACES = {
    "FrozenLake-v1": (jax.ShapeDtypeStruct((16,), jnp.float32), Discrete(4)),
    "Blackjack-v1": (tuple(jax.ShapeDtypeStruct((n,), jnp.float32) for n in (32, 11, 2)),
                     Discrete(2)),
    "Pendulum-v1": (jax.ShapeDtypeStruct((3,), jnp.float32), Box),
}  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_spaces_become_specs_and_observations_fit_them(name):
    made = lanes.opened(f"gymnasium/{name}", {}, 2)
    observation, action = SPACES[name]
    assert made.spec.observation == observation
    assert made.spec.action == action or isinstance(made.spec.action, Box)
    obs = made.begin(np.arange(2))
    shapes = jax.tree.map(lambda x: (x.shape[1:], x.dtype), obs)
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), observation)


TRAIN = "--num-envs 4 --rollout-length 16 --hidden 8 --seeds 2 --episodes 2 --evaluations 2"


def test_the_command_trains_resumes_evaluates_and_shows_it(tmp_path, capsys):
    out = tmp_path / "run"
    words = f"train ppo --env gymnasium/CartPole-v1 {TRAIN} --minibatches 2 --epochs 1".split()
    assert main([*words, "--steps", "128", "--out", str(out), "--no-animation"]) == 0
    assert [row["env_steps"] for row in table(out)] == ["0", "0", "64", "64", "128", "128"]
    before = checkpoints.restore(out, gather(configuration.load(out)).like)[1]
    assert main(["train", "--resume", str(out), "--steps", "192"]) == 0
    assert "its episodes begin anew" in capsys.readouterr().err
    after = checkpoints.restore(out, gather(configuration.load(out)).like)[1]
    assert int(before.step.value) == 2 and int(after.step.value) == 3
    assert (out / "best_agent.gif").exists() and (out / "policy").is_dir()
    assert main(["evaluate", str(out), "--episodes", "2"]) == 0
    assert "over 2 members, 2 episodes each" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train ppo --env gymnasium/CartPole-v99", "gymnasium/CartPole-v99 cannot be made"),
        ("train ppo --env gymnasium/NoSuch-v0", "gymnasium/NoSuch-v0 cannot be made"),
        ("train dqn --env gymnasium/Pendulum-v1", "dqn needs discrete actions"),
        ("train alphazero --env gymnasium/CartPole-v1", "plans in it"),
        ("train stocked-dqn --env gymnasium/CartPole-v1", "transforms its environment"),
        ("train dqn --env gymnasium/CartPole-v1 --dataset nowhere", "leave --dataset out"),
        ("train ppo --env gymnasium/CartPole-v1 --env-params workers=many", "sync or async"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(words, sentence, tmp_path, capsys):
    assert main([*words.split(), "--out", str(tmp_path / "run-v0")]) == 2
    told = capsys.readouterr().err
    assert sentence in told and len(told.strip().splitlines()) == 1


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(lanes.SOURCES, "envpool", Source("no_such_package", lanes.envpool))
    with pytest.raises(InputError, match=r"pip install 'jaxrl\[envpool\]'"):
        lanes.opened("envpool/Pong-v5", {}, 1)
