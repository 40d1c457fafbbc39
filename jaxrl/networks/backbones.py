"""Sequence models with one interface: recurrent cells, state spaces and transformers.

A backbone reads sequences all at once when it is trained, and step by step when it acts or
imagines; the results are the same. Flags `first` [L, B] mark new episodes: nothing before them is
remembered.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_known, require_positive
from jaxrl.types import Array, Key, Tree, select


class Backbone(NamedTuple):
    """A causal function of sequences."""

    init: Callable[[Key], Tree]
    memory: Callable[[int], Tree]  # of B new episodes
    step: Callable[[Tree, Tree, Array], tuple[Tree, Array]]
    # step: (params, memory [..., *], x [..., D]) -> (memory, y [..., H])
    unroll: Callable[[Tree, Tree, Array, Array], tuple[Tree, Array]]
    # unroll: (params, memory [B, *], x [L, B, D], first [L, B]) -> (memories [L, B, *] after each
    # step, y [L, B, H])
    parallel: Callable[[Tree, Array, Array], Array]
    # parallel: (params, x [L, B, D], first [L, B]) -> y [L, B, H], from a blank memory
    size: int  # H


def gated(make: Callable[[int], nn.RNNCellBase], inputs: int, size: int) -> Backbone:
    """A flax cell as a backbone, whose parallel form is a scan."""
    cell = make(size)

    def memory(batch_size: int) -> Tree:
        # flax's carry needs a key and an input shape, on which the zeros do not depend.
        start = lambda: cell.initialize_carry(jax.random.key(0), (batch_size, 1))
        return jax.tree.map(lambda x: jnp.zeros(x.shape, float), jax.eval_shape(start))

    def init(key: Key) -> Tree:
        blank = jax.tree.map(lambda x: x[0], memory(1))
        return cell.init(key, blank, jnp.zeros(inputs))

    def step(params: Tree, carry: Tree, x: Array) -> tuple[Tree, Array]:
        return cell.apply(params, carry, x)  # pyright: ignore[reportReturnType]

    def unroll(params: Tree, carry: Tree, x: Array, first: Array) -> tuple[Tree, Array]:
        blank = memory(x.shape[1])

        def one(carry: Tree, inputs: tuple[Array, Array]) -> tuple[Tree, tuple[Tree, Array]]:
            x, first = inputs
            carry, y = step(params, select(first, blank, carry), x)
            return carry, (carry, y)

        return jax.lax.scan(one, carry, (x, first))[1]

    def parallel(params: Tree, x: Array, first: Array) -> Array:
        return unroll(params, memory(x.shape[1]), x, first)[1]

    return Backbone(init, memory, step, unroll, parallel, size)


def gru(inputs: int, size: int, layers: int = 1, window: int = 0) -> Backbone:
    """A gated recurrent unit (Cho et al. 2014), of one layer."""
    return gated(nn.GRUCell, inputs, size)


def lstm(inputs: int, size: int, layers: int = 1, window: int = 0) -> Backbone:
    """A long short-term memory (Hochreiter and Schmidhuber 1997), of one layer."""
    return gated(nn.OptimizedLSTMCell, inputs, size)


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
            new.append(factor * carry[..., i, :] + u @ b)
            y = out(p, new[-1], u, y)
        return jnp.stack(new, -2), y

    def read(params: dict, carry: Array | None, x: Array, first: Array) -> tuple[list, Array]:
        y, states = x @ params["in"], []
        for i, p in enumerate(params["layers"]):
            factor, b = discrete(p)
            u = normalised(y)
            # Where an episode begins, nothing of the state before is kept.
            keep, enter = jnp.where(first[..., None], 0.0, factor), u @ b
            if carry is not None:
                enter = enter.at[0].add(keep[0] * carry[:, i])

            def join(left: tuple, right: tuple) -> tuple:
                return left[0] * right[0], right[0] * left[1] + right[1]

            states.append(jax.lax.associative_scan(join, (keep, enter))[1])
            y = out(p, states[-1], u, y)
        return states, y

    def unroll(params: dict, carry: Array, x: Array, first: Array) -> tuple[Array, Array]:
        states, y = read(params, carry, x, first)
        return jnp.stack(states, -2), y

    parallel = lambda params, x, first: read(params, None, x, first)[1]
    return Backbone(init, memory, step, unroll, parallel, size)


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
        distance = (place[..., None] - slots) % window
        seen = distance <= cache.age[..., None]
        write = lambda old, new: jnp.where((distance == 0)[..., None], new[..., None, :], old)
        keys, vals = [], []
        for i, p in enumerate(params["layers"]):
            q, k, v = jnp.split(normalised(y) @ p["qkv"], 3, -1)
            keys.append(write(cache.keys[..., i, :, :], k))
            vals.append(write(cache.values[..., i, :, :], v))
            at = lambda x: x[..., None, :]
            mixed = attend(at(q), keys[-1], vals[-1], at(distance), at(seen))
            y = after(p, mixed[..., 0, :], y)
        return Cache(jnp.stack(keys, -3), jnp.stack(vals, -3), cache.age + 1), y

    def read(
        params: dict, cache: Cache | None, x: Array, first: Array
    ) -> tuple[list[tuple[Array, Array]], Array]:
        """The keys and values [B, K, H] of each layer, those of a cache first, and y [L, B, H]."""
        time = jnp.arange(x.shape[0])
        episode = jnp.cumsum(first, 0).T  # [B, L]
        distance = time[:, None] - time
        seen = (distance >= 0) & (distance < window)
        seen = seen & (episode[:, :, None] == episode[:, None, :])
        past = []
        if cache is not None:
            back = window - jnp.arange(window)  # the cache in the order of time, from this far back
            old = time[:, None] + back
            known = (old < window) & (episode == 0)[..., None]
            known = known & (back <= cache.age[:, None])[:, None]
            distance, seen = jnp.concatenate([old, distance], 1), jnp.concatenate([known, seen], -1)
            order = (cache.age[:, None] - back) % window  # [B, W]
            in_order = lambda x: jnp.take_along_axis(x, order[:, None, :, None], 2)
            past = [in_order(cache.keys), in_order(cache.values)]
        distance = jnp.broadcast_to(distance, seen.shape)
        y, met = jnp.swapaxes(x, 0, 1) @ params["in"], []  # [B, L, H]
        for i, p in enumerate(params["layers"]):
            q, k, v = jnp.split(normalised(y) @ p["qkv"], 3, -1)
            if past:
                k, v = (jnp.concatenate([o[:, i], x], 1) for o, x in zip(past, (k, v)))
            met.append((k, v))
            y = after(p, attend(q, k, v, distance, seen), y)
        return met, jnp.swapaxes(y, 0, 1)

    def unroll(params: dict, cache: Cache, x: Array, first: Array) -> tuple[Cache, Array]:
        met, y = read(params, cache, x, first)
        time = jnp.arange(x.shape[0])[:, None]
        begun = jax.lax.cummax(jnp.where(first, time, -1))  # [L, B] when this episode began
        age = jnp.where(begun < 0, cache.age + time, time - begun) + 1
        # How many steps before each step its slots were written.
        back = (age[..., None] - 1 - jnp.arange(window)) % window  # [L, B, W]
        place, empty = window + time[..., None] - back, back >= age[..., None]

        def slots(x: Array) -> Array:
            """The contents [L, B, W, H] of the slots after each step."""
            rows = jax.vmap(lambda x, at: x[at], (0, 1), 1)(x, place)
            return jnp.where(empty[..., None], 0.0, cast(Array, rows))

        keys, vals = (jnp.stack([slots(x) for x in layer], 2) for layer in zip(*met))
        return Cache(keys, vals, age), y

    parallel = lambda params, x, first: read(params, None, x, first)[1]
    return Backbone(init, memory, step, unroll, parallel, size)


BACKBONES: dict[str, Callable[..., Backbone]] = {
    "gru": gru,
    "lstm": lstm,
    "state-space": state_space,
    "transformer": transformer,
}


def backbone(name: str, inputs: int, size: int, layers: int = 2, window: int = 64) -> Backbone:
    """The backbone called `name`; an InputError names the valid ones."""
    require_known("backbone", name, BACKBONES)
    require_positive(size=size, layers=layers)
    return BACKBONES[name](inputs, size, layers, window)
