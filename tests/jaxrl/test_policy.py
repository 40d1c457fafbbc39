"""Policies as files, against the same rule in numpy, here and in a process that has only jax."""

import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl.errors import InputError
from jaxrl.policy import serialise
from jaxrl.types import Actor, Box, Discrete, Spec, memoryless

pytest.importorskip("flatbuffers")

WEIGHTS = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
LOW, HIGH = np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32)
SPEC = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Box(-jnp.ones(2), jnp.ones(2)))
OBS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
ACTIONS = LOW + (np.clip(OBS @ WEIGHTS, -1, 1) + 1) / 2 * (HIGH - LOW)

ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jaxrl", "agents", "envs", "experiments", "flax", "optax"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import jax, numpy as np
policy = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
obs = np.load(sys.argv[2])
action, memory = policy.call(obs, (), np.zeros(2, np.uint32))
assert memory == ()
np.save(sys.argv[3], action)
"""


def linear(view, obs, key):
    return obs @ view, ()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "linear.jaxexport"
    box = Box(jnp.asarray(LOW), jnp.asarray(HIGH))
    path.write_bytes(serialise(memoryless(linear), WEIGHTS, SPEC, box))
    return path


def test_one_and_many_observations_in_the_units_of_the_environment(file):
    policy = jaxrl.load(file)
    np.testing.assert_allclose(policy(OBS), ACTIONS, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(policy(OBS[0].astype(np.float64)), ACTIONS[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.jit(policy)(OBS[:2]), ACTIONS[:2], rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match=r"of shape \(3,\), .*given \(4,\)"):
        policy(np.zeros(4))


def test_read_in_a_process_that_has_only_jax(file, tmp_path):
    np.save(tmp_path / "obs.npy", OBS)
    words = [sys.executable, "-c", ALONE, file, tmp_path / "obs.npy", tmp_path / "action.npy"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "action.npy"), ACTIONS, rtol=1e-5, atol=1e-5)


class Seen(NamedTuple):
    """An observation of two arrays, one of them of bytes."""

    screen: jax.Array
    price: jax.Array


def test_memories_begin_as_the_actor_says_and_observations_may_be_records(tmp_path):
    """The action is the parity of a count that begins at 7, of a sum that begins at 0.5."""

    def step(view, memory, obs, key):
        count, total = memory
        total = total + obs.screen.sum(-1) * obs.price
        after = (count + 1, total)
        return (count + (total > view)).astype(jnp.int32) % 2, after, ()

    actor = Actor(lambda size: (jnp.full(size, 7), jnp.full(size, 0.5)), step)
    spec = Spec(
        Seen(jax.ShapeDtypeStruct((2,), jnp.uint8), jax.ShapeDtypeStruct((), jnp.float32)),
        Discrete(2),
    )
    (tmp_path / "policy").mkdir()
    path = tmp_path / "policy" / "best.jaxexport"
    path.write_bytes(serialise(actor, jnp.float32(3.0), spec, spec.action))
    policy = jaxrl.load(tmp_path)
    memory, total = policy.init(2), np.full(2, 0.5)
    for time in range(4):
        screen = np.array([[time, 1], [0, 1]], np.uint8)
        price = np.array([0.5, -1.0], np.float32)
        action, memory = policy.act(Seen(screen, price), memory, jax.random.key(0))
        total = total + screen.sum(-1) * price
        np.testing.assert_array_equal(action, (7 + time + (total > 3)) % 2)
    with pytest.raises(InputError, match="has a memory"):
        policy(Seen(screen[0], price[0]))


@pytest.mark.parametrize(
    ("make", "seed", "sentence"),
    [
        (lambda path: None, None, "does not exist"),
        (lambda path: path.mkdir(), None, "has no exported policy: run jaxrl export"),
        (lambda path: path.mkdir(), 3, r"run jaxrl export .* --seed 3"),
        (lambda path: path.write_bytes(b"nonsense"), None, "cannot be read as a policy"),
    ],
)
def test_what_is_no_policy_is_refused(make, seed, sentence, tmp_path):
    make(tmp_path / "x")
    with pytest.raises(InputError, match=sentence):
        jaxrl.load(tmp_path / "x", seed)
