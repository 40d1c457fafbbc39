"""Encoders of images and of trees, against the published networks and against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import ppo
from jaxrl.errors import InputError
from jaxrl.networks import critic_ensemble, network
from jaxrl.networks.encoders import CNN, Impala, Joined, Nature, torso
from jaxrl.networks.layers import MLP, initialise
from jaxrl.settings import Layers
from jaxrl.types import Box, Discrete, Spec

KEY = jax.random.key(0)
FRAMES = jax.ShapeDtypeStruct((84, 84, 4), jnp.uint8)
TREE = {"pixels": jax.ShapeDtypeStruct((5, 5, 3), jnp.uint8),
        "speed": jax.ShapeDtypeStruct((2,), jnp.float32),
        "there": jax.ShapeDtypeStruct((), jnp.bool_)}  # fmt: skip


def shapes(module, x):
    """The shape of the outputs, and the number of parameters."""
    y, params = jax.eval_shape(lambda: module.init_with_output(KEY, x))
    return y.shape, sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "units", "parameters"),
    [("nature", 512, 1_684_128), ("impala", 256, 97_744 + (11 * 11 * 32 + 1) * 256)],
)
def test_published_networks_have_their_numbers_of_parameters(name, units, parameters):
    """Of Mnih et al. (2015), and of the residual network of Espeholt et al. (2018) by hand."""
    module = torso(FRAMES, (units,), "relu", name)
    assert shapes(module, jnp.zeros((2, 3, 84, 84, 4))) == ((2, 3, units), parameters)
    assert shapes(type(module)(), jnp.zeros((84, 84, 4))) == ((units,), parameters)


def padded(x, size, stride, fill=0.0):
    """An image [H, W, C], padded as evenly as can be so that a window stops at every stride."""
    total = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[:2]]
    around = [(t // 2, t - t // 2) for t in total]
    return np.pad(x, (*around, (0, 0)), constant_values=fill)


def windows(x, size, stride):
    """The windows [H', W', C, size, size] of an image [H, W, C]."""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))[::stride, ::stride]


def convolved(p, x, stride=1):
    kernel = np.asarray(p["kernel"], np.float64)
    seen = windows(x, len(kernel), stride)
    return np.einsum("hwcij,ijco->hwo", seen, kernel) + np.asarray(p["bias"], np.float64)


def dense(p, x):
    p = p["MLP_0"]["Dense_0"]
    return np.maximum(x.ravel() @ np.asarray(p["kernel"], np.float64) + np.asarray(p["bias"]), 0)


def by_hand(name, p, x):
    relu, same = lambda x: np.maximum(x, 0), lambda x: padded(x, 3, 1)
    if name == "nature":
        for i, stride in enumerate((4, 2, 1)):
            x = relu(convolved(p[f"Conv_{i}"], x, stride))
        return dense(p, x)
    convolutions = iter(p[f"Conv_{i}"] for i in range(15))
    for _ in range(3):
        x = convolved(next(convolutions), same(x))
        x = windows(padded(x, 3, 2, -np.inf), 3, 2).max((-2, -1))
        for _ in range(2):
            y = relu(convolved(next(convolutions), same(relu(x))))
            x = x + convolved(next(convolutions), same(y))
    return dense(p, relu(x))


@pytest.mark.parametrize(("name", "size"), [("nature", (44, 36)), ("impala", (9, 6))])
def test_published_networks_are_those_of_numpy_with_any_leading_axes(name, size):
    module = torso(jax.ShapeDtypeStruct((*size, 2), jnp.float32), (8,), "relu", name)
    x = np.random.default_rng(0).normal(size=(2, 2, *size, 2)).astype(np.float32)
    make = jax.jit(lambda: (params := initialise(module, KEY, x[0, 0]), module.apply(params, x)))
    params, y = make()
    for i, j in np.ndindex(2, 2):
        hand = by_hand(name, params["params"], x[i, j].astype(np.float64))
        np.testing.assert_allclose(y[i, j], hand, atol=1e-4)


def test_an_encoder_of_each_kind_for_each_array_of_a_tree():
    """Bytes are scaled once, and every array counts."""
    spec = Spec(TREE, Discrete(2))
    module = torso(TREE, (8, 6), "tanh")
    assert isinstance(module, Joined) and module.images == (True, False, False)
    net = network(spec, (2,), (1.0,), (8, 6), "tanh")
    rng = np.random.default_rng(0)
    obs = {"pixels": rng.integers(0, 255, (4, 3, 5, 5, 3), np.uint8),
           "speed": rng.normal(size=(4, 3, 2)).astype(np.float32),
           "there": rng.random((4, 3)) < 0.5}  # fmt: skip
    params = net.init(KEY)
    p = params["params"]["Joined_0"]
    assert sorted(p) == ["CNN_0", "MLP_0", "MLP_1"]
    (y,), _ = jax.jit(net.step)(params, (), obs)

    parts = lambda p, obs: (
        CNN(hidden=(8, 6), activation="tanh").apply({"params": p["CNN_0"]}, obs["pixels"] / 255),
        MLP((8, 6)).apply(
            {"params": p["MLP_0"]}, jnp.concatenate([obs["speed"], obs["there"][..., None]], -1)
        ),
    )
    features = jnp.concatenate(jax.jit(parts)(p, obs), -1)
    features = MLP((6,)).apply({"params": p["MLP_1"]}, features)
    head = params["params"]["Dense_0"]
    np.testing.assert_allclose(y, features @ head["kernel"] + head["bias"], atol=1e-5)


def test_residual_blocks_add_to_what_they_take():
    """Against numpy; with other weights than those at the start, whose biases are 0."""
    module = torso(TREE["speed"], (4, 4), "relu", "residual")
    x = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    params = initialise(module, KEY, jnp.zeros(2))["params"]
    params = jax.tree.map(lambda w: w + 0.1 * jnp.cos(jnp.arange(w.size)).reshape(w.shape), params)

    def dense(name, y):
        return y @ params[name]["kernel"] + params[name]["bias"]

    def normal(name, y):
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
        return y * params[name]["scale"] + params[name]["bias"]

    y = dense("Dense_0", x)
    for i in range(2):
        inner = np.maximum(dense(f"Dense_{2 * i + 1}", normal(f"LayerNorm_{i}", y)), 0)
        assert inner.shape == (3, 16)
        y = y + dense(f"Dense_{2 * i + 2}", inner)
    np.testing.assert_allclose(
        module.apply({"params": params}, x), normal("LayerNorm_2", y), atol=1e-5
    )


def test_critics_may_be_residual():
    spec = Spec(TREE["speed"], Box(-np.ones(1, np.float32), np.ones(1, np.float32)))
    layers = Layers(hidden=(4, 4), encoder="residual")
    params = jax.eval_shape(critic_ensemble(spec, 1, 2, layers).init, KEY)
    # Of each critic: 3 -> 4, two blocks of 4 -> 16 -> 4, three normalisations and the head.
    each = 16 + 2 * (80 + 68) + 3 * 8 + 5
    assert sum(x.size for x in jax.tree.leaves(params)) == 2 * each


def test_what_auto_chooses():
    choose = lambda observation: type(torso(observation, (8,), "relu"))
    array = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    assert choose(array(7)) is MLP and choose(array(8, 8, 3)) is CNN
    assert choose((array(7), array(2, 2))) is MLP
    assert choose([array(7), array(8, 8, 3)]) is choose([array(8, 8, 3)] * 2) is Joined
    named = torso([array(7), array(40, 40, 3)], (8,), "relu", "nature")
    assert isinstance(named, Joined) and isinstance(named.image(), Nature)
    assert isinstance(torso(array(3, 3, 9), (8,), "relu", "impala"), Impala)
    assert isinstance(torso(TREE, (8,), "relu", "mlp"), MLP)


@pytest.mark.parametrize(
    ("observation", "encoder", "sentence"),
    [
        (TREE, "nature", r"The nature encoder needs images \[H, W, C\] of at least 36 x 36"),
        (TREE["speed"], "impala", r"images \[H, W, C\] .* but observations are \(2,\): choose mlp"),
        (TREE["speed"], "residual", r"blocks of one size, but hidden is \(8, 4\)"),
        (TREE["pixels"], "resnet", "There is no encoder called 'resnet'"),
    ],
)
def test_encoders_that_do_not_fit_are_refused_in_one_sentence(observation, encoder, sentence):
    spec, hp = Spec(observation, Discrete(2)), ppo.Hyperparameters(encoder=encoder, hidden=(8, 4))
    with pytest.raises(InputError, match=sentence) as refused:
        ppo.ppo(spec, hp)
    assert "\n" not in str(refused.value)
