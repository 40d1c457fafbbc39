"""What world models remember in their own imagination: cue and reward in open loop.

Deng et al. (2023), "Facing off world model backbones", claim that a state-space backbone (S4WM)
keeps what it has seen through long imagination, where gated cells forget. A model is shown a cue
and then imagines a counter, which begins anywhere and goes up by the toss of a coin: it draws each
next symbol from its own prediction and reads it as its next input. After the given number of steps
it is asked for the cue, and for the reward of a guess, which is 1 if the guess is the cue. Kinds of
steps and guesses are given, as actions are. It has learnt to predict counter, cue and reward from
true sequences. Backbones are those of `recall`, in which nothing is imagined.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.recall import CUES, LINES, SIZES
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.networks.backbones import Backbone, backbone
from jaxrl.types import Array, Key
from jaxrl.updates import descend

TITLE = "Share of cues and of rewards that are told after an imagined past, and after a true one"
INPUTS, LANES, JUDGED = 2 * CUES + 2, 16, 256


@dataclass(frozen=True)
class Options:
    """Train backbones to predict, and let them imagine in open loop."""

    lengths: tuple[int, ...] = (8, 32)
    """Imagined steps between the cue and the question."""
    seeds: int = 5
    """Number of seeds of each run."""
    updates: int = 600
    """Gradient steps of each run, on 16 sequences each."""
    out: Path = Path(".reproductions/dreamt-recall")
    """Folder in which the table, the numbers and the picture are written."""


class Drawn(NamedTuple):
    """Sequences of B lanes: a cue, L steps of a counter, and a question with a guess."""

    cue: Array  # [B]
    counter: Array  # [L, B]
    guess: Array  # [B] the cue in a half of the lanes, and anything in the others


def drawn(key: Key, lanes: int, length: int) -> Drawn:
    """Sequences of the world: each symbol is one of `CUES`, and the counter goes round."""
    k_cue, k_start, k_coin, k_guess, k_right = jax.random.split(key, 5)
    any_symbol = lambda key: jax.random.randint(key, (lanes,), 0, CUES)
    cue, start = any_symbol(k_cue), any_symbol(k_start)
    coins = jax.random.bernoulli(k_coin, 0.5, (length, lanes)).at[0].set(False)
    right = jax.random.bernoulli(k_right, 0.5, (lanes,))
    counter = (start + jnp.cumsum(coins, 0)) % CUES
    return Drawn(cue, counter, jnp.where(right, cue, any_symbol(k_guess)))


def shown(symbol: Array, counts: bool) -> Array:
    """The input [..., INPUTS] of a step that shows a symbol: the cue, or the counter."""
    mark = jnp.zeros((*symbol.shape, INPUTS - CUES)).at[..., 0].set(float(counts))
    return jnp.concatenate([jax.nn.one_hot(symbol, CUES), mark], -1)


def asked(guess: Array) -> Array:
    """The input [..., INPUTS] of the question."""
    mark = jnp.zeros((*guess.shape, CUES + 2)).at[..., CUES + 1].set(1.0)
    return jnp.concatenate([mark, jax.nn.one_hot(guess, CUES)], -1)


def recall(name: str, length: int, updates: int, key: Key) -> dict[str, Array]:
    """What is told [] of cues and rewards after dreams and after truth, and of dreams themselves.

    `possible` is the share of imagined steps of the counter that a coin allows.
    """
    net: Backbone = backbone(name, INPUTS, SIZES[name], window=length + 2)

    def init(key: Key) -> dict:
        k_net, k_head = jax.random.split(key)
        head = 0.1 * jax.random.normal(k_head, (net.size, CUES + 1))
        return {"net": net.init(k_net), "head": head}

    def loss(params: Any, target: Any, batch: Key, key: Key) -> tuple[Array, dict]:
        data = drawn(batch, LANES, length)
        inputs = [shown(data.cue, False)[None], shown(data.counter, True), asked(data.guess)[None]]
        first = jnp.zeros((length + 2, LANES), bool).at[0].set(True)
        out = net.parallel(params["net"], jnp.concatenate(inputs), first) @ params["head"]
        of_symbols = optax.softmax_cross_entropy_with_integer_labels
        error = of_symbols(out[:length, :, :CUES], data.counter).mean()
        error = error + of_symbols(out[-1, :, :CUES], data.cue).mean()
        paid = (data.guess == data.cue).astype(float)
        return error + optax.sigmoid_binary_cross_entropy(out[-1, :, CUES], paid).mean(), {}

    rate = optax.cosine_decay_schedule(3e-3, updates)
    update = descend(init, loss, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)))
    k_init, k_train, k_test, k_dream = jax.random.split(key, 4)
    one = lambda state, key: (update.apply(state, key, key)[0], None)
    state, _ = jax.lax.scan(one, update.init(k_init, None), jax.random.split(k_train, updates))
    params, data = state.params, drawn(k_test, JUDGED, length)

    def read(memory: Any, x: Array) -> tuple[Any, Array]:
        memory, out = net.step(params["net"], memory, x)
        return memory, out @ params["head"]

    def ended(dreams: bool) -> tuple[Array, Array, Array]:
        """The shares of cues and of rewards that are told, and the counter [L, B] that was read."""

        def step(carry: tuple, inputs: tuple) -> tuple[tuple, Array]:
            memory, out = carry
            true, key = inputs
            symbol = jax.random.categorical(key, out[:, :CUES]) if dreams else true
            return read(memory, shown(symbol, True)), symbol

        start = read(net.memory(JUDGED), shown(data.cue, False))
        rest = data.counter, jax.random.split(k_dream, length)
        (memory, _), counter = jax.lax.scan(step, start, rest)
        _, out = read(memory, asked(data.guess))
        cue = (out[:, :CUES].argmax(-1) == data.cue).mean()
        reward = ((out[:, CUES] > 0) == (data.guess == data.cue)).mean()
        return cue, reward, counter

    cue, reward, counter = ended(True)
    possible = ((counter[1:] - counter[:-1]) % CUES < 2).mean()
    return {"cue": cue, "reward": reward, "possible": possible, "cue read": ended(False)[0]}


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce dreamt-recall", Options, arguments)
    require_positive(seeds=chosen.seeds, updates=chosen.updates)
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    figure, pair = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lengths = np.array(chosen.lengths)
    for name in tqdm(SIZES, unit=" backbones"):
        found = []
        for length in chosen.lengths:
            run = jax.jit(jax.vmap(partial(recall, name, length, chosen.updates)))
            found.append(jax.tree.map(np.asarray, run(keys)))
            (cue, low, high), (reward, least, most) = (
                interval(found[-1][what]) for what in ("cue", "reward")
            )
            rows.append({"backbone": name, "imagined steps": length, "cue": cue, "low": low,
                         "high": high, "reward": reward, "reward low": least,
                         "reward high": most, "possible": float(found[-1]["possible"].mean()),
                         "cue, true past": float(found[-1]["cue read"].mean())})  # fmt: skip
        style: dict[str, Any] = {"marker": "o", "linestyle": LINES[name]}
        for axes, what in zip(pair, ("cue", "reward")):
            band(axes, lengths, np.stack([x[what] for x in found], 1), name, **style)
    for axes, what, chance in zip(pair, ("cue", "reward"), (1 / CUES, 0.5 + 0.5 / CUES)):
        axes.axhline(chance, color="black", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", xlabel="imagined steps", ylabel=f"share of right {what}s")
        axes.set_xticks(chosen.lengths, [str(n) for n in chosen.lengths])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    pair[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
