"""One critic for each reward and standardised advantages, beside the sum of rewards (SLIM).

The authors of SLIM hold that skills which are learnt from several rewards are better with one
critic for each, whose standardised advantages are added, than with one critic of the sum, because
rewards interfere. In random processes with three rewards, of which one is in units that are too
small or too large by a factor, policies ascend exact policy gradients of both. A policy is judged
by how near it comes to the best for each reward, and by the least of these three.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tuned
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.rewards import mixed_advantages
from jaxrl.types import Array

TITLE = "Return for each of three rewards between that of random actions and the best, by units"
STATES, ACTIONS, STREAMS, GAMMA = 10, 4, 3, 0.9
SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
WAYS = {"sum of rewards": False, "a critic for each": True}
RATES = (0.1, 1.0, 10.0)


@dataclass(frozen=True)
class Options:
    """Ascend sums of rewards, or of standardised advantages."""

    seeds: int = 20
    """Number of random processes; as many others choose the step size."""
    steps: int = 200
    """Number of gradient steps."""
    out: Path = Path(".reproductions/several-critics")
    """Folder in which the table, the numbers and the picture are written."""


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The transitions [S, A, S] and the rewards [K, S, A] of a process."""
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.full(STATES, 0.2), (STATES, ACTIONS))
    return kernel, rng.random((STREAMS, STATES, ACTIONS))


def process(kernel: Array, reward: Array) -> dp.TabularMDP:
    """The process that never ends, with a reward [S, A]."""
    paid = jnp.broadcast_to(reward[..., None], kernel.shape)
    return dp.TabularMDP(kernel, paid, jnp.ones_like(kernel), jnp.full(STATES, 1 / STATES))


def ascended(
    each: bool, steps: int, rate: Array, scale: Array, kernel: Array, rewards: Array
) -> Array:
    """How near [K] the policy comes to the best for each reward."""
    told = rewards * jnp.array([scale] + [1.0] * (STREAMS - 1))[:, None, None]

    def values(policy: Array, reward: Array) -> Array:
        return dp.policy_evaluation(process(kernel, reward), policy, GAMMA).theta

    def step(logits: Array, _: None) -> tuple[Array, None]:
        policy = jax.nn.softmax(logits)
        q = jax.vmap(lambda reward: values(policy, reward), out_axes=-1)(told)
        advantage = q - (policy[..., None] * q).sum(1, keepdims=True)  # [S, A, K]
        weight = dp.occupancy(process(kernel, rewards[0]), policy, GAMMA)
        flat = lambda x: x.reshape(STATES * ACTIONS, *x.shape[2:])
        ones = jnp.ones(STREAMS)
        mixed = mixed_advantages(flat(advantage), ones, flat(weight), normalise=each)
        mixed = mixed.reshape(STATES, ACTIONS)
        mixed = mixed - (policy * mixed).sum(1, keepdims=True)
        # The sum has units: its step size is relative to the largest of them.
        unit = 1.0 if each else jnp.maximum(scale, 1.0)
        return logits + rate * weight * mixed / unit, None

    logits, _ = jax.lax.scan(step, jnp.zeros((STATES, ACTIONS)), None, steps)
    policy = jax.nn.softmax(logits)
    even = jnp.full((STATES, ACTIONS), 1 / ACTIONS)

    def share(reward: Array) -> Array:
        of = lambda p: (p * values(p, reward)).sum(-1).mean()
        best = dp.value_iteration(process(kernel, reward), GAMMA).theta.max(-1).mean()
        return (of(policy) - of(even)) / (best - of(even))

    return jax.vmap(share)(rewards)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce several-critics", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    worlds = (np.stack(x) for x in zip(*map(drawn, range(2 * chosen.seeds))))
    kernels, rewards = (jnp.asarray(x, jnp.float32) for x in worlds)
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    rows = []
    for name, each in WAYS.items():
        one = lambda rate, scale, kernel, reward, each=each: ascended(
            each, chosen.steps, rate, scale, kernel, reward
        )
        over = jax.vmap(jax.vmap(one, (None, None, 0, 0)), (None, 0, None, None))
        run = jax.jit(over)
        found = np.stack([np.asarray(run(jnp.float32(rate), jnp.array(SCALES), kernels, rewards))
                          for rate in RATES])  # [rates, scales, seeds, K]  # fmt: skip
        best, held = tuned(np.moveaxis(found.min(-1), 1, 2))  # by the least of the three
        shares = found[best][:, chosen.seeds :]
        band(panels[0], SCALES, held, name, marker="o")
        band(panels[1], SCALES, shares.mean(-1).T, name, marker="o")
        for i, scale in enumerate(SCALES):
            least, low, high = interval(held[:, i])
            rows.append({"learner": name, "units of one": scale, "least of three": least,
                         "low": low, "high": high, "mean of three": float(shares[i].mean()),
                         "that one": float(shares[i, :, 0].mean()),
                         "step size": RATES[best]})  # fmt: skip
    for axes, title in zip(panels, ("the least of three", "the mean of three")):
        axes.set(xlabel="units of one reward", xscale="log", title=title)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("from random actions (0) to the best (1)")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
