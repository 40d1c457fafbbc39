"""TD3+BC and ReBRAC: where actors stop between the data and the best, and penalties of targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline.td3_bc import normalised
from jaxrl.errors import InputError
from jaxrl.offline import from_arrays
from jaxrl.types import Transition, Update
from jaxrl.updates import with_next_actions
from tests.agents.offline.logs import compiled, learner, one_step, spec_of
from tests.jaxrl.test_cloning import batch_of

KEYS = jax.random.split(jax.random.key(0), 2)
SLOPE = np.array([0.5, -0.3])
SMALL = dict(
    batch_size=128, learning_rate=3e-3, target_rate=0.05, normalise_observations=False,
    discount=0.9, target_noise=0.0,
)  # fmt: skip


def stops(centre, ratio):
    """Where ratio Q / |Q| - |a - centre|^2 is largest, for Q = 2 + SLOPE . a and a fixed |Q|."""
    action = centre
    for _ in range(100):
        action = centre + ratio * SLOPE / (2 * abs(2 + SLOPE @ action))
    return action


@pytest.mark.parametrize("name", ["td3-bc", "rebrac"])
def test_the_actor_stops_between_the_data_and_the_best(name):
    """TD3+BC has the mean over dimensions of squares, and ReBRAC the sum, with other weights.

    The value is normalised by its size at the actor's own actions.
    """
    action = np.random.default_rng(0).uniform(-0.8, 0.6, (512, 2))
    spec = spec_of(1, -2)
    data = one_step(np.zeros(512, int), action, 2 + action @ SLOPE, spec)
    # Values near zero at first make large gradients, which Adam would remember for long.
    rule = dict(optimiser="rmsprop", schedule="cosine", decay_steps=2000.0, learning_rate=0.01)
    agent, learn = learner(name, spec, data, **SMALL | rule)
    weights, option = (
        (np.array([0.1, 2.0]), "value_weight") if name == "td3-bc" else
        (np.array([2.0, 0.25]), "actor_penalty")
    )  # fmt: skip

    def train(key, weight):
        view, _ = learn(key, 2000, **{option: weight})
        return agent.exploit.step(view, (), jnp.ones((1, 1)), key)[0][0]

    found = compiled(train)(KEYS, jnp.asarray(weights))
    ratios = 2 * weights if name == "td3-bc" else 1 / weights
    wanted = [stops(action.mean(0), ratio) for ratio in ratios]
    assert np.abs(wanted[0] - wanted[1]).min() > 0.2
    np.testing.assert_allclose(found, wanted, atol=0.08)


def test_the_next_action_is_that_of_the_same_episode():
    """Where an episode was cut off the step does not count; where it terminated nothing follows."""
    told = []

    def apply(state, batch, key):
        told.append(batch)
        return state, {}

    update = with_next_actions(Update(lambda key, example: (), apply, lambda state: state))
    action = jnp.arange(8.0).reshape(2, 4)
    last = jnp.array([[False, True, True, False]] * 2)
    discount = jnp.array([[1.0, 1.0, 0.0, 1.0]] * 2)
    pair = Transition(action, action, action, discount, last, action, (), jnp.full((2, 4), 2.0))
    update.apply((), pair, jax.random.key(0))
    (batch,) = told
    np.testing.assert_array_equal(batch.extras, [4, 5, 6, 7])
    np.testing.assert_array_equal(batch.action, [0, 1, 2, 3])
    np.testing.assert_array_equal(batch.weight, [2, 0, 2, 2])


def test_values_of_nothing_are_not_divided_by():
    batch = batch_of(np.zeros((4, 1)))
    value, slope = jax.value_and_grad(lambda v: normalised(v, batch).sum())(jnp.zeros(4))
    assert value == 0 and np.isfinite(slope).all()
    weighted = batch._replace(weight=jnp.array([1.0, 0.0, 0.0, 1.0]))
    found = normalised(jnp.array([-1.0, 9.0, 9.0, 3.0]), weighted)
    np.testing.assert_allclose(found, np.array([-1, 9, 9, 3]) / 2, rtol=1e-5)


def test_a_distance_to_the_next_action_of_the_data_lowers_values():
    """Of an actor at the mean of the data, the next action costs their variance.

    Three steps pay 1 each and then terminate, which no next action follows:
    Q = Q_pi - c (gamma variance_1 + gamma^2 variance_2) in the first, and so on.
    """
    action = np.random.default_rng(1).uniform(-1, 1, (100, 3))
    step = np.tile(np.arange(3), 100)
    see, ends = np.eye(4, dtype=np.float32), step == 2
    spec = spec_of(4, -1)
    data = from_arrays(
        see[step], action.reshape(-1, 1), np.ones(300), ends, 0 * ends, spec,
        next_observations=see[step + 1],
    )  # fmt: skip
    _, learn = learner("rebrac", spec, data, **SMALL | dict(actor_penalty=100.0))

    def train(key, weight):
        view, _ = learn(key, 2500, critic_penalty=weight)
        head = view.params["critics"]["params"]["head"]  # of critics [2] that are linear
        return (head["kernel"][:, :3, 0] + head["bias"]).mean(0)

    weights, variance = np.array([0.0, 1.5]), action.var(0)
    found = compiled(train)(KEYS, jnp.asarray(weights))
    paid = np.array([0.9 * variance[1] + 0.81 * variance[2], 0.9 * variance[2], 0.0])
    plain = np.array([2.71, 1.9, 1.0])
    np.testing.assert_allclose(found, plain - weights[:, None] * paid, atol=0.12)


def test_the_critics_alone_have_normalised_layers():
    entry = AGENTS["rebrac"]
    agent = entry.make(spec_of(2, -1), entry.defaults)
    none = one_step(np.zeros(1, int), np.zeros((1, 1)), np.zeros(1), spec_of(2, -1))
    made = jax.eval_shape(agent.update.init, KEYS[0], none)
    names = {k: str(jax.tree.structure(v)) for k, v in agent.update.read(made).params.items()}
    assert "LayerNorm" in names["critics"] and "LayerNorm" not in names["actor"]


def test_bad_input_is_one_sentence():
    entry, spec = AGENTS["rebrac"], spec_of(2, -1)
    with pytest.raises(InputError, match="rebrac learns from one-step returns"):
        entry.make(spec, entry.defaults.replace(n_step=3))
    with pytest.raises(InputError, match="actor_penalty must not be negative"):
        entry.make(spec, entry.defaults.replace(actor_penalty=-1.0))
    with pytest.raises(InputError, match="value_weight must not be negative"):
        AGENTS["td3-bc"].make(spec, AGENTS["td3-bc"].defaults.replace(value_weight=-1.0))
