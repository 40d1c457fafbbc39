"""What world models remember: gated cells, state spaces and transformers as the past grows long.

After Deng et al. (2023), "Facing off world model backbones". A cue is shown at the first step, then
noise, then the cue is to be told: the backbone reads all of it, step by step, and imagines nothing.
Each has about as many parameters. The time of a step is measured beside it; a step that is imagined
would add the draw of what is seen.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.networks.backbones import Backbone, backbone
from jaxrl.types import Array, Key
from jaxrl.updates import descend

TITLE = "How often the cue is recalled after so many steps, and the time of a step"
CUES = 4
LINES = {"gru": "-", "state-space": "--", "transformer": ":"}  # some lie on others
SIZES = {"gru": 88, "state-space": 64, "transformer": 40}  # some 25 thousand parameters each


@dataclass(frozen=True)
class Options:
    """Train backbones to recall a cue over longer and longer pasts."""

    lengths: tuple[int, ...] = (16, 64, 256)
    """Steps between the cue and the question."""
    seeds: int = 4
    """Of each run."""
    updates: int = 1500
    """Gradient steps of each run, on 32 sequences each."""
    out: Path = Path(".reproductions/recall")
    """Folder for the table, the numbers and the picture."""


def sequences(key: Key, lanes: int, length: int) -> tuple[Array, Array]:
    """Inputs [length + 2, lanes, CUES + 2] and cues [lanes].

    A cue, `length` steps of random symbols with a mark that they are noise, and the question.
    """
    k_cue, k_noise = jax.random.split(key)
    cue = jax.random.randint(k_cue, (lanes,), 0, CUES)
    noise = jax.random.randint(k_noise, (length, lanes), 0, CUES)
    show = lambda x, mark: jnp.concatenate(
        [jax.nn.one_hot(x, CUES), jnp.broadcast_to(jnp.array(mark), (*x.shape, 2))], -1
    )
    question = jnp.zeros((1, lanes, CUES + 2)).at[..., CUES + 1].set(1.0)
    shown = [show(cue[None], [0.0, 0.0]), show(noise, [1.0, 0.0]), question]
    return jnp.concatenate(shown), cue


def build(name: str, length: int) -> Backbone:
    """The backbone, with a window that holds all of a sequence."""
    return backbone(name, CUES + 2, SIZES[name], window=length + 2)


def recall(name: str, length: int, updates: int, key: Key) -> Array:
    """The share [] of cues told after training, reading step by step."""
    net = build(name, length)

    def init(key: Key) -> dict:
        k_net, k_head = jax.random.split(key)
        head = 0.1 * jax.random.normal(k_head, (net.size, CUES))
        return {"net": net.init(k_net), "head": head}

    def loss(params: Any, target: Any, batch: Key, key: Key) -> tuple[Array, dict]:
        x, cue = sequences(batch, 32, length)
        first = jnp.zeros(x.shape[:2], bool).at[0].set(True)
        logits = net.parallel(params["net"], x, first)[-1] @ params["head"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, cue).mean(), {}

    rate = optax.cosine_decay_schedule(3e-3, updates)
    update = descend(init, loss, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)))
    k_init, k_train, k_test = jax.random.split(key, 3)

    def one(state: Any, key: Key) -> tuple[Any, None]:
        return update.apply(state, key, key)[0], None

    state, _ = jax.lax.scan(one, update.init(k_init, None), jax.random.split(k_train, updates))
    x, cue = sequences(k_test, 256, length)
    step = lambda memory, x: net.step(state.params["net"], memory, x)
    _, y = jax.lax.scan(step, net.memory(256), x)
    return ((y[-1] @ state.params["head"]).argmax(-1) == cue).mean()


def step_time(name: str, length: int, steps: int = 200, repeats: int = 5) -> float:
    """Microseconds of one step of 16 lanes with a past of `length` steps: the median of several."""
    net = build(name, length)
    params = net.init(jax.random.key(0))
    x = jnp.zeros((steps, 16, CUES + 2))
    run = jax.jit(lambda x: jax.lax.scan(partial(net.step, params), net.memory(16), x)[1])
    run(x).block_until_ready()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run(x).block_until_ready()
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) / steps * 1e6


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce recall", Options, arguments)
    require_positive(seeds=chosen.seeds, updates=chosen.updates)
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    with tqdm(total=len(SIZES) * len(chosen.lengths), unit=" runs") as bar:
        for name in SIZES:
            shares, times = [], []
            for length in chosen.lengths:
                run = jax.jit(jax.vmap(partial(recall, name, length, chosen.updates)))
                shares.append(np.asarray(run(keys)))
                times.append(step_time(name, length))
                mean, low, high = interval(shares[-1])
                size = sum(x.size for x in jax.tree.leaves(build(name, 4).init(keys[0])))
                rows.append({"backbone": name, "parameters": size, "steps": length, "recall": mean,
                             "low": low, "high": high, "microseconds": times[-1]})  # fmt: skip
                bar.update()
            lengths = np.array(chosen.lengths)
            style: dict[str, Any] = {"marker": "o", "linestyle": LINES[name]}
            band(left, lengths, np.stack(shares, 1), name, **style)
            right.plot(lengths, times, label=name, **style)
    left.axhline(1 / CUES, color="black", linewidth=0.8, linestyle=":")
    left.set(xscale="log", xlabel="steps since the cue", ylabel="share recalled")
    right.set(xscale="log", yscale="log", xlabel="steps of the past", ylabel="microseconds a step")
    for axes in (left, right):
        axes.set_xticks(chosen.lengths, [str(length) for length in chosen.lengths])
        axes.set_xticks([], minor=True)
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
