"""Optimisers and schedules by name."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from agents import dqn, ppo, sindy
from jaxrl.errors import InputError
from jaxrl.fields import record
from jaxrl.optimisers import DECAYING, FEW, OPTIMISERS, SCHEDULES, optimiser, scheduled
from jaxrl.settings import Collection, Layers, Optimisation, Passes
from jaxrl.types import Discrete, Spec
from jaxrl.updates import decay_updates, prolonged

SPEC = Spec(jax.ShapeDtypeStruct((4,), jnp.float32), Discrete(2))
PARAMS = {"kernel": np.float32([[3.0, -2.0], [0.5, 1.0]]), "bias": np.float32([1.0, -1.0])}


def slope(params):
    """The gradient of half the sum of squares, whose minimum is zero."""
    return params


def descended(rule, steps, params=PARAMS):
    """The parameters after some steps."""

    def one(carry, _):
        params, state = carry
        change, state = rule.update(slope(params), state, params)
        return (optax.apply_updates(params, change), state), None

    run = lambda: jax.lax.scan(one, (params, rule.init(params)), None, steps)[0][0]
    return jax.tree.map(np.asarray, jax.jit(run)())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_descends_a_quadratic(name):
    norm = lambda tree: float(np.sqrt(sum((x**2).sum() for x in jax.tree.leaves(tree))))
    rate = 0.3 if name in ("adagrad", "radam") else 0.05
    after = descended(optimiser(Optimisation(optimiser=name, learning_rate=rate)), 150)
    assert norm(after) < 0.3 * norm(PARAMS)
    if name in DECAYING:  # a first step without a gradient only shrinks
        rule = optimiser(Optimisation(optimiser=name, learning_rate=0.1, weight_decay=0.5))
        zero = jax.tree.map(np.zeros_like, PARAMS)
        change, _ = rule.update(zero, rule.init(PARAMS), PARAMS)
        assert (np.asarray(change["kernel"]) * PARAMS["kernel"] < 0).all()


def test_the_rules_are_those_of_optax():
    same = lambda a, b: jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), descended(a, 7), descended(b, 7)
    )
    same(optimiser(Optimisation(learning_rate=0.1, eps=1e-3)), optax.adam(0.1, eps=1e-3))
    momentum = Optimisation(optimiser="momentum", learning_rate=0.1, momentum=0.5)
    same(optimiser(momentum), optax.sgd(0.1, momentum=0.5))
    clipped = Optimisation(optimiser="sgd", learning_rate=0.1, max_gradient_norm=1.0)
    same(optimiser(clipped), optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)))
    free = Optimisation(optimiser="sgd", learning_rate=0.1)
    same(optimiser(free), optax.sgd(0.1))
    traced = jax.vmap(lambda norm: descend_to(replace(clipped, max_gradient_norm=norm)))
    found = np.asarray(jax.jit(traced)(jnp.array([0.0, 1.0, jnp.inf])))
    wanted = [descended(optimiser(x), 7)["bias"] for x in (free, clipped, free)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_one_vector_is_treated_as_each_array_by_itself():
    settings = {
        name: Optimisation(name, 0.1, "constant", weight_decay=0.1 * (name in DECAYING))
        for name in OPTIMISERS
    }
    pairs = {name: (optimiser(x), OPTIMISERS[name](0.1, x)) for name, x in settings.items()}

    def taken(rule):
        params, state = PARAMS, rule.init(PARAMS)
        for _ in range(2):
            change, state = rule.update(slope(params), state, params)
            params = optax.apply_updates(params, change)
        return params

    run = jax.jit(lambda: {n: [taken(rule) for rule in pair] for n, pair in pairs.items()})
    for name, (one, other) in run().items():
        for key in PARAMS:
            np.testing.assert_allclose(one[key], other[key], rtol=1e-5, err_msg=name)
    sizes = {name: len(jax.tree.leaves(rule.init(PARAMS))) for name, (rule, _) in pairs.items()}
    assert sizes["adam"] == 3 and sizes["lamb"] == 5  # a counter, and two vectors or four arrays
    large = {"a": jnp.ones(FEW), "b": jnp.ones(2)}
    assert len(jax.tree.leaves(pairs["adam"][0].init(large))) == 5
    np.testing.assert_allclose(
        pairs["sgd"][0].update(large, pairs["sgd"][0].init(large))[0]["b"], [-0.1, -0.1], rtol=1e-6
    )
    empty = optimiser(Optimisation())
    assert empty.update({}, empty.init({}), {})[0] == {}


def descend_to(settings):
    """The bias after 7 steps, of settings that may be traced."""
    rule = optimiser(settings)
    params, state = PARAMS, rule.init(PARAMS)
    for _ in range(7):
        change, state = rule.update(slope(params), state, params)
        params = optax.apply_updates(params, change)
    return params["bias"]


def test_schedules_fall_over_their_steps():
    at = np.array([0, 5, 10, 99])
    left = np.array([1, 0.5, 0, 0])
    shapes = {
        "linear": left,
        "cosine": (1 + np.cos(np.pi * (1 - left))) / 2,
        "exponential": 0.01 ** (1 - left),
    }
    assert set(shapes) == set(SCHEDULES)
    for name, shape in shapes.items():
        found = jax.jit(jax.vmap(scheduled(name, 2.0, 10.0)))(at)
        np.testing.assert_allclose(found, 2 * shape, rtol=1e-5, atol=1e-6)
        constant = jax.jit(jax.vmap(scheduled(name, 2.0, 0.0)))(at)
        np.testing.assert_allclose(constant, 2.0)
    assert scheduled("constant", 2.0, 10.0) == 2.0


def test_steps_of_the_fall_are_gradient_steps():
    """Of a rollout of 16 x 128 environment steps there are 4 x 4, of one of 4 there are 2."""
    assert decay_updates(ppo.Hyperparameters(decay_steps=16 * 128 * 3)) == 48
    assert decay_updates(dqn.Hyperparameters(decay_steps=40)) == 20


def test_the_rate_of_a_learner_in_a_model_falls_over_all_its_updates():
    """In 3 rollouts of 500 steps there are 3 x 20 updates of PPO, of 4 x 4 gradient steps each."""
    assert decay_updates(sindy.inside(sindy.Hyperparameters(decay_steps=1_500))) == 3 * 20 * 16
    plain = dqn.Hyperparameters(decay_steps=40)
    assert decay_updates(prolonged(plain, 5)) == 5 * decay_updates(plain)


def test_bad_settings():
    check = lambda **settings: optimiser(Optimisation(**settings))
    with pytest.raises(InputError, match="no optimiser called 'adma': did you mean adam"):
        check(optimiser="adma")
    with pytest.raises(InputError, match="no schedule called 'cosin'"):
        check(schedule="cosin")
    with pytest.raises(InputError, match="decay needs a schedule"):
        check(schedule="constant", decay=0.5)
    with pytest.raises(InputError, match="adam takes no weight_decay: choose adamw"):
        check(weight_decay=0.1)
    with pytest.raises(InputError, match="momentum must be at least 0 and below 1"):
        dqn.dqn(SPEC, dqn.Hyperparameters(momentum=1.0))


@record
class Whole:
    """A record of records."""

    size: int = 3
    collection: Collection = Collection(num_envs=2)
    passes: Passes = Passes()
    network: Layers = Layers()


@record
class Twofold(Whole):
    """One that has two networks."""

    second: Layers = Layers(hidden=(1,))


def test_fields_of_records_go_by_their_names():
    one = Whole(num_envs=5, hidden=(8,))
    assert one.collection == Collection(num_envs=5) and one.network == Layers(hidden=(8,))
    assert one.replace(warmup=7).collection == Collection(num_envs=5, warmup=7)
    assert replace(one, epochs=9).passes == Passes(epochs=9)
    assert Whole(collection=Collection(rollout_length=4), num_envs=3).collection == Collection(3, 4)
    assert jax.tree.map(lambda x: x, one) == one
    with pytest.raises(InputError, match=r"hidden could be network\.hidden or second\.hidden"):
        Twofold(hidden=(2,))
    assert Twofold(num_envs=4).collection.num_envs == 4
    with pytest.raises(TypeError, match="nun_envs"):
        Whole(nun_envs=3)
