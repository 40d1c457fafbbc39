"""Environments by name."""

import subprocess
import sys

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import brax as brax_suite
from jaxrl.types import Box, Discrete


def test_names_list_all_of_gymnax_and_brax():
    import brax.envs

    names = envs.names()
    assert len(set(names)) == len(names)
    assert set(gymnax.registered_envs) <= set(names) and len(gymnax.registered_envs) >= 26
    assert {f"brax/{name}" for name in brax.envs._envs} == set(brax_suite.names()) <= set(names)
    assert {"chain", "gridworld", "garnet", "FrozenLake", "RiverSwim", "Cliff"} <= set(names)


def test_importing_envs_imports_neither_gymnax_nor_brax():
    program = (
        "import sys, envs; print([m for m in ('gymnax', 'brax', 'mujoco') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert output.stdout.strip() == "[]", output.stderr


@pytest.mark.parametrize("name", ["brax/halfcheetah"])
def test_brax_is_quiet_and_writes_no_log(name, tmp_path):
    program = f"import envs; envs.make({name!r}, backend='spring')"
    paths = {"PYTHONPATH": ":".join(sys.path), "JAX_PLATFORMS": "cpu"}
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=paths
    )
    assert (output.returncode, output.stdout, output.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("CartPole-v2", {}, "no environment called 'CartPole-v2': did you mean CartPole-v1"),
        ("cartpole-v1", {}, "no environment called 'cartpole-v1': did you mean CartPole-v1"),
        ("brax/ants", {}, "did you mean brax/ant"),
        ("CartPole-v1", {"lenght": 1.0}, "no parameter 'lenght': did you mean length"),
        ("CartPole-v1", {"zzz": 1.0}, "takes max_steps_in_episode, gravity"),
        ("MemoryChain-bsuite", {"bits": 1}, "num_bits, max_steps_in_episode, memory_length"),
        ("FrozenLake", {"slippery": True}, "did you mean is_slippery"),
        (
            "brax/fast",
            {"backend": "sprong"},
            "no brax backend called 'sprong': did you mean spring",
        ),
        ("brax/ant", {"ctrl_cost": 1.0}, "did you mean ctrl_cost_weight"),
        ("brax/swimmer", {"backend": "spring"}, "cannot make brax/swimmer with backend 'spring'"),
        ("brax/fast", {"max_steps_in_episode": 0}, "positive number of steps"),
    ],
)
def test_bad_input(name, params, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.make(name, **params)


def test_length_may_be_traced_and_mapped_over():
    """Domain randomisation: each pole of a batch falls as it does alone."""

    def fall(length):
        env = envs.make("CartPole-v1", length=length)
        state, _ = env.init(jax.random.key(0))
        keys = jax.random.split(jax.random.key(1), 8)
        step = lambda state, key: env.step(state, 1, key)
        return jax.lax.scan(step, state, keys)[1].obs

    lengths = [0.3, 0.5, 2.0]
    together = jax.jit(jax.vmap(fall))(jnp.array(lengths))
    for length, one in zip(lengths, together):
        np.testing.assert_allclose(one, fall(length), rtol=1e-5, atol=1e-6)
    assert np.abs(together[0] - together[2]).max() > 0.01


def test_bounds_may_follow_a_traced_parameter():
    def force(torque):
        env = envs.scale_actions(envs.make("Pendulum-v1", max_torque=torque))
        state, _ = env.init(jax.random.key(0))
        return env.step(state, jnp.ones(1), jax.random.key(0))[0].last_u

    np.testing.assert_allclose(jax.vmap(force)(jnp.array([1.0, 2.0])), [1.0, 2.0])


def test_specs():
    assert envs.make("CartPole-v1").spec.action == Discrete(2)
    box = envs.make("Pendulum-v1").spec.action  # declared with scalar bounds
    assert isinstance(box, Box)
    np.testing.assert_array_equal([box.low, box.high], [[-2.0], [2.0]])
    lake = envs.make("FrozenLake-misc")  # emits an integer
    assert lake.spec.observation == jax.ShapeDtypeStruct((16,), jnp.float32)
    _, ts = lake.init(jax.random.key(0))
    np.testing.assert_array_equal(ts.obs, np.eye(16)[0])
    rooms = envs.make("FourRooms-misc")  # emits integers, declares floats
    assert rooms.spec.observation.dtype == jnp.float32
    assert envs.make("MemoryChain-bsuite", num_bits=3).spec.observation.shape == (5,)
    assert envs.make("Breakout-MinAtar").spec.observation.shape == (10, 10, 4)
    ant = envs.make("brax/ant", backend="spring")
    assert ant.spec.action.shape == (8,) and ant.spec.observation.shape == (27,)


def test_mnist_is_made_from_its_files_or_says_what_it_lacks(monkeypatch):
    from gymnax.utils import load_mnist

    def offline():
        raise OSError("no network")

    monkeypatch.setattr(load_mnist, "load_mnist", offline)
    with pytest.raises(ValueError, match="downloads its data when first made"):
        envs.make("MNISTBandit-bsuite")
    images = np.random.default_rng(0).integers(0, 127, (20, 28, 28)).astype(np.int8)
    files = (images, np.arange(20, dtype=np.uint8) % 10), None
    monkeypatch.setattr(load_mnist, "load_mnist", lambda: files)
    env = envs.make("MNISTBandit-bsuite")
    envs.check(env, steps=10)


def test_brax_ends_by_termination_or_by_our_limit():
    limit = 30
    env = envs.make("brax/inverted_pendulum", backend="spring", max_steps_in_episode=limit)
    push = jnp.array([[1.0], [0.0]])  # one is pushed over, one is let be

    @jax.jit
    @jax.vmap
    def run(push):
        state, _ = env.init(jax.random.key(0))
        step = lambda state, key: env.step(state, push, key)
        return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), limit))[1]

    ts = run(push)
    fallen = np.asarray(jnp.abs(ts.final[..., 1])) > 0.2  # the end, by brax's docstring
    np.testing.assert_array_equal(ts.discount == 0, fallen)
    assert fallen[0].any() and not fallen[1].all()
    np.testing.assert_array_equal(ts.last, fallen | (np.arange(1, limit + 1) == limit))


def test_states_keep_their_types():
    """The state of `init` and of `step` agree in dtype and weakness: `while` loops need it."""
    for name in ("CartPole-v1", "Catch-bsuite", "BernoulliBandit-misc"):
        env = envs.make(name)
        state = jax.eval_shape(env.init, jax.random.key(0))[0]
        after = jax.eval_shape(env.step, state, jnp.int32(0), jax.random.key(0))[0]
        assert jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state) == jax.tree.map(
            lambda x: (x.shape, x.dtype, x.weak_type), after
        )
