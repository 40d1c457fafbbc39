"""AWAC and CRR in a bandit, whose policies have closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.agents.offline.logs import compiled, learner, one_step, spec_of

KEYS = jax.random.split(jax.random.key(0), 2)
CHANCE, PAID = np.array([0.6, 0.3, 0.1]), np.array([0.0, 1.0, 1.5])
SIZE = 200
ACTION = np.repeat(np.arange(3), (CHANCE * SIZE).round().astype(int))
SMALL = dict(batch_size=200, learning_rate=0.02, target_rate=0.1, target_period=1)


def policies(name, temperatures, steps=600, **options):
    """The probabilities [T, 3] of actions after learning at temperatures [T], and the values."""
    spec = spec_of(1, 3)
    data = one_step(0 * ACTION, ACTION, PAID[ACTION], spec)
    agent, learn = learner(name, spec, data, **SMALL | options)

    def train(key, temperature):
        view, metrics = learn(key, steps, temperature=temperature)
        many = jax.random.split(jax.random.key(9), 4000)
        act = lambda k: agent.explore.step(view, (), jnp.ones((1, 1)), k)[0][0]
        return jax.nn.one_hot(jax.vmap(act)(many), 3).mean(0), metrics["critic_loss"]

    found, error = compiled(train)(KEYS, jnp.asarray(temperatures))
    assert np.isfinite(error).all()
    return np.asarray(found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("awac", {}),
        ("crr", dict(weights="exponential", largest_weight=1e3)),
    ],
)
def test_the_policy_is_the_behaviour_times_the_exponential_of_values(name, options):
    """Whatever the baseline, which is the same for all actions: pi ~ mu exp(Q / t)."""
    temperatures = [0.5, 100.0]
    found = policies(name, temperatures, **options)
    for policy, temperature in zip(found, temperatures):
        wanted = CHANCE * np.exp(PAID / temperature)
        np.testing.assert_allclose(policy, wanted / wanted.sum(), atol=0.06)


def test_a_binary_weight_keeps_the_better_actions_only():
    """Over the mean of its own actions the policy climbs to the best; over the max, where ties
    have no weight at all, nothing breaks, and the worst action is left."""
    found = policies("crr", [1.0, 1.0], steps=1500)
    assert (found[:, 2] > 0.9).all(), found
    found = policies("crr", [1.0, 1.0], baseline="max")
    assert np.isfinite(found).all() and (found[:, 0] < 0.2).all(), found


def test_a_mode_that_pays_is_cloned_though_it_is_rare():
    """Continuous actions near -1/2 and 1/2, of which the rarer pays: cloning takes the other."""
    rng = np.random.default_rng(0)
    side = np.where(np.arange(200) % 5 == 0, 1.0, -1.0)
    action = (0.5 * side + 0.05 * rng.normal(size=200))[:, None]
    spec = spec_of(1, -1)
    data = one_step(np.zeros(200, int), action, side, spec)
    small = SMALL | dict(hidden=(32,), learning_rate=1e-2)
    modes = {}
    for name in ("bc", "crr"):
        options = {k: v for k, v in small.items() if name == "crr" or not k.startswith("target")}
        agent, learn = learner(name, spec, data, **options)
        act = lambda view, agent=agent: agent.exploit.step(view, (), jnp.ones((1, 1)), KEYS[0])[0]
        modes[name] = compiled(lambda key, learn=learn, act=act: act(learn(key, 500)[0]))(KEYS)
    np.testing.assert_allclose(np.ravel(modes["bc"]), action.mean(), atol=0.1)
    assert (np.ravel(modes["crr"]) > 0.3).all()
