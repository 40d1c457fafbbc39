"""PRDC and A2PR, whose actors stay near one mode of the data, and PRDC's limit, TD3+BC."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.errors import InputError
from jaxrl.offline import from_arrays
from jaxrl.types import Box, Spec
from tests.agents.offline.logs import learner, one_step, spec_of
from tests.compiling import OPTIMISED

KEYS = jax.random.split(jax.random.key(0), 2)


def test_with_a_large_weight_of_states_it_is_td3_bc():
    """All states differ, so that the nearest pair is the step itself: parameters agree."""
    rng = np.random.default_rng(0)
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Box(-jnp.ones(2), jnp.ones(2)))
    obs, action = rng.normal(size=(61, 3)).astype(np.float32), rng.uniform(-1, 1, (60, 2))
    none = np.zeros(60, bool)
    data = from_arrays(5 * obs + 2, action, rng.normal(size=60), none, none, spec)
    end = {}
    for name, own in (("td3-bc", {}), ("prdc", dict(state_weight=1e3))):
        _, learn = learner(name, spec, data, batch_size=16, hidden=(8,), **own)
        view = jax.jit(lambda key, learn=learn: learn(key, 20)[0])(KEYS[0])
        end[name] = view.inner.params
    for one, other in zip(*(jax.tree.leaves(x) for x in end.values()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


ALPHA = 0.1
SMALL = dict(
    batch_size=64, target_rate=0.05, normalise_observations=False, optimiser="rmsprop",
    schedule="cosine", decay_steps=1200.0, learning_rate=0.01, value_weight=ALPHA,
    target_noise=0.0,
)  # fmt: skip


@pytest.mark.parametrize("name", ["prdc", "a2pr"])
def test_the_actor_stays_near_one_mode_of_the_data(name):
    """Four actions of five are near -0.6 and the fifth near 0.4; the value is 1 + a.

    TD3+BC would stop near the mean, which the data never do. PRDC stops near the mode that is
    nearest to where it begins, and A2PR near the one whose advantage is positive: both at
    ALPHA / (2 |Q|) from it. A generator of all actions would remake whatever the actor does.
    """
    rng = np.random.default_rng(1)
    mode = np.where(np.arange(500) % 5 == 0, 0.4, -0.6)
    action = (mode + 0.01 * rng.normal(size=500))[:, None]
    spec = spec_of(1, -1)
    data = one_step(np.zeros(500, int), action, 1 + action[:, 0], spec)
    agent, learn = learner(name, spec, data, **SMALL)

    def train(key):
        view, _ = learn(key, 1200)
        return agent.exploit.step(view, (), jnp.ones((1, 1)), key)[0][0, 0]

    found = np.asarray(jax.jit(jax.vmap(train), compiler_options=OPTIMISED)(KEYS))
    wanted = 0.4
    for _ in range(50):
        wanted = 0.4 + ALPHA / (2 * abs(1 + wanted))
    np.testing.assert_allclose(found, wanted, atol=0.06)


@pytest.mark.parametrize("name", ["prdc", "a2pr"])
def test_bad_input_is_one_sentence(name):
    entry, spec = AGENTS[name], spec_of(2, -1)
    with pytest.raises(InputError, match=f"{name} learns from one-step returns"):
        entry.make(spec, entry.defaults.replace(n_step=3))
    wrong = dict(state_weight=-1.0) if name == "prdc" else dict(divergence=-1.0)
    with pytest.raises(InputError, match="must not be negative"):
        entry.make(spec, entry.defaults.replace(**wrong))
