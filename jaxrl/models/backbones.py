"""Sequence models with one interface: recurrent cells, state spaces and transformers.

A backbone reads sequences all at once when it is trained, and step by step when it imagines; the
results are the same. Flags `first` [L, B] mark new episodes: nothing before them is remembered.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive, unknown
from jaxrl.types import Array, Key, Tree, select


class Backbone(NamedTuple):
    """A causal function of sequences."""

    init: Callable[[Key], Tree]
    memory: Callable[[int], Tree]  # of B new episodes
    step: Callable[[Tree, Tree, Array], tuple[Tree, Array]]
    # step: (params, memory, x [B, D]) -> (memory, y [B, H])
    parallel: Callable[[Tree, Array, Array], Array]
    # parallel: (params, x [L, B, D], first [L, B]) -> y [L, B, H], from a blank memory
    size: int  # H


def gru(inputs: int, size: int, layers: int = 1, window: int = 0) -> Backbone:
    """A gated recurrent unit (Cho et al. 2014); its parallel form is a scan."""
    cell = nn.GRUCell(size)

    def memory(batch_size: int) -> Array:
        return jnp.zeros((batch_size, size))

    def init(key: Key) -> Tree:
        return cell.init(key, jnp.zeros(size), jnp.zeros(inputs))

    def step(params: Tree, carry: Array, x: Array) -> tuple[Array, Array]:
        return cell.apply(params, carry, x)  # pyright: ignore[reportReturnType]

    def parallel(params: Tree, x: Array, first: Array) -> Array:
        blank = memory(x.shape[1])

        def one(carry: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            x, first = inputs
            return step(params, select(first, blank, carry), x)

        return jax.lax.scan(one, blank, (x, first))[1]

    return Backbone(init, memory, step, parallel, size)


def normalised(x: Array) -> Array:
    """Features [..., H] shifted and scaled to mean 0 and variance 1."""
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)


def dense(key: Key, inputs: int, size: int) -> Array:
    """A random matrix [inputs, size] that preserves the scale of its inputs."""
    return jax.random.normal(key, (inputs, size)) / math.sqrt(inputs)


def state_space(inputs: int, size: int, layers: int = 2, window: int = 0) -> Backbone:
    """Layers of linear state spaces with complex diagonal dynamics, and gates between them.

    x' = exp(dt * a) x + (exp(dt * a) - 1) / a * B u, and y = 2 Re(C x) + D u, for `size` / 2
    states; a begins as -1/2 + i pi n, and dt between 0.001 and 0.1. The parallel form is an
    associative scan, logarithmic in the length; a step costs the same however long the past is.
    Source: Smith et al. (2023), "S5"; the initialisation is S4D-Lin of Gu et al. (2022).
    """
    require(size % 2 == 0, f"A state-space backbone needs an even size, but it is {size}.")
    states = size // 2

    def layer(key: Key) -> dict:
        k_b, k_c, k_d, k_dt, k_gate = jax.random.split(key, 5)
        low, high = math.log(1e-3), math.log(1e-1)
        return {
            "decay": jnp.full(states, math.log(0.5)),
            "frequency": math.pi * jnp.arange(states, dtype=float),
            "step": jax.random.uniform(k_dt, (states,), minval=low, maxval=high),
            "b": jax.random.normal(k_b, (2, size, states)) / math.sqrt(2 * size),
            "c": jax.random.normal(k_c, (2, states, size)) / math.sqrt(2 * states),
            "d": jax.random.normal(k_d, (size,)),
            "gate": dense(k_gate, size, size),
        }

    def init(key: Key) -> dict:
        k_in, k_layers = jax.random.split(key)
        keys = jax.random.split(k_layers, layers)
        return {"in": dense(k_in, inputs, size), "layers": [layer(k) for k in keys]}

    def discrete(p: dict) -> tuple[Array, Array]:
        """The factor of a step [S] and the input matrix [H, S]."""
        a = -jnp.exp(p["decay"]) + 1j * p["frequency"]
        factor = jnp.exp(jnp.exp(p["step"]) * a)
        return factor, (p["b"][0] + 1j * p["b"][1]) * ((factor - 1) / a)

    def out(p: dict, state: Array, u: Array, skip: Array) -> Array:
        y = 2 * (state @ (p["c"][0] + 1j * p["c"][1])).real + p["d"] * u
        y = nn.gelu(y)
        return skip + y * jax.nn.sigmoid(y @ p["gate"])

    def memory(batch_size: int) -> Array:
        return jnp.zeros((batch_size, layers, states), complex)

    def step(params: dict, carry: Array, x: Array) -> tuple[Array, Array]:
        y, new = x @ params["in"], []
        for i, p in enumerate(params["layers"]):
            factor, b = discrete(p)
            u = normalised(y)
            new.append(factor * carry[:, i] + u @ b)
            y = out(p, new[-1], u, y)
        return jnp.stack(new, 1), y

    def parallel(params: dict, x: Array, first: Array) -> Array:
        y = x @ params["in"]
        for p in params["layers"]:
            factor, b = discrete(p)
            u = normalised(y)
            # Where an episode begins, nothing of the state before is kept.
            keep = jnp.where(first[..., None], 0.0, factor)

            def join(left: tuple, right: tuple) -> tuple:
                return left[0] * right[0], right[0] * left[1] + right[1]

            state = jax.lax.associative_scan(join, (keep, u @ b))[1]
            y = out(p, state, u, y)
        return y

    return Backbone(init, memory, step, parallel, size)


class Cache(NamedTuple):
    """The memory of a transformer: the keys and values of the last W steps."""

    keys: Array  # [B, layers, W, H]
    values: Array  # [B, layers, W, H]
    age: Array  # [B] int32, steps of the episode so far


def transformer(inputs: int, size: int, layers: int = 2, window: int = 64) -> Backbone:
    """Causal attention over the last `window` steps, with four heads.

    The attention of a head to a step decreases linearly in logits with its distance, at a rate of
    the head, so that episodes can be of any length. The cost of a step grows with the window.
    Source: Vaswani et al. (2017); the linear biases are of Press et al. (2022).
    """
    require_positive(window=window)
    heads = 4
    require(
        size % heads == 0, f"A transformer needs a size divisible by {heads}, but it is {size}."
    )
    slopes = 2.0 ** -jnp.arange(1.0, 2 * heads, 2)
    width = size // heads

    def layer(key: Key) -> dict:
        k_qkv, k_out, k_up, k_down = jax.random.split(key, 4)
        return {
            "qkv": dense(k_qkv, size, 3 * size),
            "out": dense(k_out, size, size),
            "up": dense(k_up, size, 2 * size),
            "down": dense(k_down, 2 * size, size),
        }

    def init(key: Key) -> dict:
        k_in, k_layers = jax.random.split(key)
        keys = jax.random.split(k_layers, layers)
        return {"in": dense(k_in, inputs, size), "layers": [layer(k) for k in keys]}

    def attend(q: Array, k: Array, v: Array, distance: Array, seen: Array) -> Array:
        """Queries [..., Q, H], keys and values [..., K, H], distances and masks [..., Q, K]."""
        split = lambda x: x.reshape(*x.shape[:-1], heads, width)
        score = jnp.einsum("...qhd,...khd->...hqk", split(q), split(k)) / math.sqrt(width)
        score = score - slopes[:, None, None] * distance[..., None, :, :]
        score = jnp.where(seen[..., None, :, :], score, -jnp.inf)
        mixed = jnp.einsum("...hqk,...khd->...qhd", jax.nn.softmax(score), split(v))
        return mixed.reshape(q.shape)

    def after(p: dict, mixed: Array, y: Array) -> Array:
        y = y + mixed @ p["out"]
        return y + nn.gelu(normalised(y) @ p["up"]) @ p["down"]

    def memory(batch_size: int) -> Cache:
        blank = jnp.zeros((batch_size, layers, window, size))
        return Cache(blank, blank, jnp.zeros(batch_size, jnp.int32))

    def step(params: dict, cache: Cache, x: Array) -> tuple[Cache, Array]:
        y, place = x @ params["in"], cache.age % window
        slots = jnp.arange(window)
        # How many steps ago each slot was written, this step's being 0.
        distance = (place[:, None] - slots) % window
        seen = distance <= cache.age[:, None]
        write = jax.vmap(lambda old, new, at: old.at[at].set(new))
        keys, vals = [], []
        for i, p in enumerate(params["layers"]):
            q, k, v = jnp.split(normalised(y) @ p["qkv"], 3, -1)
            keys.append(write(cache.keys[:, i], k, place))
            vals.append(write(cache.values[:, i], v, place))
            mixed = attend(q[:, None], keys[-1], vals[-1], distance[:, None], seen[:, None])
            y = after(p, mixed[:, 0], y)
        return Cache(jnp.stack(keys, 1), jnp.stack(vals, 1), cache.age + 1), y

    def parallel(params: dict, x: Array, first: Array) -> Array:
        time = jnp.arange(x.shape[0])
        episode = jnp.cumsum(first, 0).T  # [B, L]
        distance = time[:, None] - time
        seen = (distance >= 0) & (distance < window)
        seen = seen & (episode[:, :, None] == episode[:, None, :])
        distance = jnp.broadcast_to(distance, seen.shape)
        y = jnp.swapaxes(x, 0, 1) @ params["in"]  # [B, L, H]
        for p in params["layers"]:
            q, k, v = jnp.split(normalised(y) @ p["qkv"], 3, -1)
            y = after(p, attend(q, k, v, distance, seen), y)
        return jnp.swapaxes(y, 0, 1)

    return Backbone(init, memory, step, parallel, size)


BACKBONES: dict[str, Callable[..., Backbone]] = {
    "gru": gru,
    "state-space": state_space,
    "transformer": transformer,
}


def backbone(name: str, inputs: int, size: int, layers: int = 2, window: int = 64) -> Backbone:
    """The backbone called `name`; an InputError names the valid ones."""
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    require_positive(size=size, layers=layers)
    return BACKBONES[name](inputs, size, layers, window)
