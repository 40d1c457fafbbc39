"""The conformance check passes every bundled environment, and names each fault."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import brax as brax_suite
from jaxrl.types import Box, Discrete, Env, Spec, TimeStep

OFFLINE = "MNISTBandit-bsuite"  # downloads its data: see test_catalogue
NAMES = [name for name in envs.names() if "/" not in name and name != OFFLINE]  # suites: suites/
QUICK = ("brax/fast", "brax/inverted_pendulum")


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_bundled_environments_pass(name):
    envs.check(envs.make(name), steps=60)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name in brax_suite.names()
    ],
)
def test_brax_environments_pass(name):
    backend = "generalized" if name == "brax/swimmer" else "spring"
    envs.check(envs.make(name, backend=backend, max_steps_in_episode=5), steps=12)


def walk(
    dtype=jnp.float32,
    start=lambda key: jax.random.uniform(key, minval=-1.0, maxval=1.0),
    move=lambda x, action, key: x + 0.3 * (2 * action - 1),
    emit=lambda ts: ts,
    emit_first=lambda ts: ts,
    keep=lambda x: x,
    spec=None,
):
    """A walk on a line that ends beyond 2, right in every respect that is not replaced."""

    def time_step(x, reward, done):
        obs = jnp.stack([x, x * x]).astype(dtype)
        return TimeStep(obs, reward, 1.0 - done, done > 0, obs, {})

    def init(key):
        x = start(key)
        return x, emit_first(time_step(x, jnp.float32(0), jnp.float32(0)))

    def step(x, action, key):
        x = move(x, action, key)
        return keep(x), emit(time_step(x, x, (jnp.abs(x) > 2).astype(jnp.float32)))

    right = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2))
    return Env(init, step, right if spec is None else spec)


def spec_of(**change):
    return walk().spec._replace(**change)


def host_clock():
    ticks = iter(range(1000))
    return lambda x, action, key: x + 0.01 * next(ticks)


def numpy_noise():
    rng = np.random.default_rng(0)
    return lambda x, action, key: x + rng.standard_normal(1, np.float32)[0]


def writes_into_its_state():
    env = walk()

    def init(key):
        x, ts = env.init(key)
        return {"x": x}, ts

    def step(state, action, key):
        state["x"], ts = env.step(state["x"], action, key)
        return state, ts

    return env._replace(init=init, step=step)


def resets_itself(show, start=None):
    """Auto-reset built in: `show(true, fresh)` is what its `obs` and `final` are."""
    env = walk() if start is None else walk(start=start)

    def step(state, action, key):
        state, ts = env.step(state, action, key)
        fresh, first = env.init(jax.random.fold_in(key, 1))
        obs, final = show(ts.obs, jnp.where(ts.last, first.obs, ts.obs))
        return jnp.where(ts.last, fresh, state), ts._replace(obs=obs, final=final)

    return env._replace(step=step)


def forgets_the_limit():
    return walk(emit=lambda ts: ts._replace(last=jnp.zeros((), bool)))


FAULTS = {
    "spec must be a jaxrl.types.Spec": lambda: walk(spec=(2, 2)),
    "one jax.ShapeDtypeStruct per array": lambda: walk(spec=spec_of(observation=(2,))),
    "spec.action must be a jaxrl.types.Discrete, Box": lambda: walk(spec=spec_of(action=2)),
    "spec.action.num must be an int of at least 1": lambda: walk(spec=spec_of(action=Discrete(0))),
    "low and high of one shape, and low <= high": lambda: walk(
        spec=spec_of(action=Box(jnp.ones(1), -jnp.ones(1)))
    ),
    "init must return obs as in spec.observation": lambda: walk(
        spec=spec_of(observation=jax.ShapeDtypeStruct((3,), jnp.float32))
    ),
    r"float32\[2\], not int32\[2\]": lambda: walk(dtype=jnp.int32),
    r"step must return reward of shape \(\) and dtype float32, not \(1,\)": lambda: walk(
        emit=lambda ts: ts._replace(reward=ts.reward[None])
    ),
    "step must return last of shape .* dtype bool, not .* float32": lambda: walk(
        emit=lambda ts: ts._replace(last=ts.last.astype(jnp.float32))
    ),
    r"init must return discount of shape \(\) and dtype float32, not \(\) and int32": lambda: walk(
        emit_first=lambda ts: ts._replace(discount=ts.discount.astype(jnp.int32))
    ),
    "step must return final as in spec.observation": lambda: walk(
        emit=lambda ts: ts._replace(final=ts.final[:1])
    ),
    r"step must return \(state, jaxrl.types.TimeStep\)": lambda: walk(emit=tuple),
    "step must return info as a dict": lambda: walk(emit=lambda ts: ts._replace(info=())),
    "step must return a state of the structure": lambda: walk(keep=lambda x: (x, x)),
    "step must return a time step of the structure": lambda: walk(
        emit=lambda ts: ts._replace(info={"more": ts.reward})
    ),
    "does not work under jit": lambda: walk(move=lambda x, a, k: x + 1 if x > 0 else x - 1),
    "keep it in the state or the key": lambda: walk(move=host_clock()),
    "must be pure: traced twice": lambda: walk(move=numpy_noise()),
    "copy dictionaries before writing": writes_into_its_state,
    "init must return last=False": lambda: walk(
        emit_first=lambda ts: ts._replace(last=jnp.ones((), bool))
    ),
    "init must return reward 0": lambda: walk(
        emit_first=lambda ts: ts._replace(reward=jnp.float32(1))
    ),
    "init must return discount 1": lambda: walk(
        emit_first=lambda ts: ts._replace(discount=jnp.float32(0))
    ),
    "init must return final = obs": lambda: walk(
        emit_first=lambda ts: ts._replace(final=0 * ts.final)
    ),
    "reward must be finite": lambda: walk(emit=lambda ts: ts._replace(reward=jnp.sqrt(ts.reward))),
    "obs must be finite": lambda: walk(emit=lambda ts: ts._replace(obs=ts.obs / ts.obs[0].round())),
    r"discount must lie in \[0, 1\]": lambda: walk(
        emit=lambda ts: ts._replace(discount=1.5 * ts.discount)
    ),
    "a termination must set last as well": forgets_the_limit,
    "final must equal obs in an environment of one lane": lambda: resets_itself(
        lambda true, fresh: (fresh, true)
    ),
    "final depends on the key only where an episode ends": lambda: resets_itself(
        lambda true, fresh: (fresh, fresh)
    ),
    "final is the observation that init gives wherever": lambda: resets_itself(
        lambda true, fresh: (fresh, fresh), start=lambda key: jnp.float32(0.1)
    ),
}


def test_the_right_version_of_the_wrong_ones_passes():
    envs.check(walk())
    envs.check(walk(move=lambda x, a, k: x + 0.3 * (2 * a - 1) + 0.1 * jax.random.normal(k)))
    model = walk(emit=lambda ts: ts._replace(discount=0.9 * ts.discount))
    envs.check(model)  # a model may be unsure of an end


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_wrong_environment_is_told_what_to_fix(sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.check(FAULTS[sentence]())
