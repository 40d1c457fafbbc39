"""A learnt policy as a sparse dictionary of polynomials (SINDy-RL).

Zolman et al. (2024), "SINDy-RL: interpretable and efficient model-based reinforcement learning",
claim that a policy can be distilled into a dictionary that is orders of magnitude smaller and
controls as well. SAC learns Pendulum, and what it does is regressed on polynomials of the
observation, in states that its own policy visits, with noise, or in states drawn from all angles
and speeds. For each degree the threshold is the best of three by the returns of one other seed.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import make_train, models
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.evaluation import evaluate
from jaxrl.settings import Collection, Layers, Replay
from jaxrl.types import Array, Env, Key, Tree

TITLE = "Return on Pendulum of SAC, and of polynomials that were fitted to what it does"
DEGREES, THRESHOLDS, STATES, STEPS = (1, 3, 5), (0.01, 0.03, 0.1), 4096, 200


@dataclass(frozen=True)
class Options:
    """Distil policies of SAC into sparse dictionaries."""

    seeds: int = 5
    """Number of seeds; one more chooses the thresholds."""
    steps: float = 5e3
    """Number of environment steps of SAC."""
    out: Path = Path(".reproductions/dictionaries")
    """Folder in which the table, the numbers and the picture are written."""


HP = sac.Hyperparameters(
    discount=0.98,
    collection=Collection(warmup=1_000),
    replay=Replay(batch_size=64, buffer_size=10_000),
    network=Layers(hidden=(64, 64)),
).replace(learning_rate=1e-3)


def visited(env: Env, policy: Any, view: Tree, key: Key) -> Array:
    """Observations [STATES, D] on episodes of a policy whose actions have noise."""
    lanes = STATES // STEPS + 1
    k_start, k_noise = jax.random.split(key)
    keys = jax.random.split(k_start, lanes)
    state, first = jax.vmap(env.init)(keys)

    def step(carry: tuple, k: Key) -> tuple:
        state, obs = carry
        action, _, _ = policy.step(view, (), obs, k)
        action = jnp.clip(action + 0.3 * jax.random.normal(k, action.shape), -1, 1)
        state, now = jax.vmap(env.step)(state, action, keys)
        return (state, now.final), obs

    _, obs = jax.lax.scan(step, (state, first.obs), jax.random.split(k_noise, STEPS))
    return obs.reshape(-1, obs.shape[-1])[:STATES]


def spread(key: Key) -> Array:
    """Observations [STATES, 3] of all angles and speeds."""
    k_angle, k_speed = jax.random.split(key)
    angle = jax.random.uniform(k_angle, (STATES,), maxval=2 * jnp.pi)
    speed = jax.random.uniform(k_speed, (STATES,), minval=-8, maxval=8)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle), speed], -1)


def compressed(
    env: Env, policy: Any, view: Tree, obs: Array, degree: int, scale: Array, key: Key
) -> tuple[Array, Array]:
    """The returns [T] and the numbers of terms [T] of dictionaries of a policy, by the threshold.

    They are polynomials of observations in units of `scale` [D], so that coefficients are
    comparable, and are fitted at observations [STATES, D].
    """
    library = lambda obs: models.polynomials(degree)(obs / scale)
    action, _, _ = policy.step(view, (), obs, key)

    def one(threshold: Array) -> tuple[Array, Array]:
        coefficients, actor = models.distilled(library, obs, action, threshold)
        returns = evaluate(env, actor, view, key, 16, STEPS).returns.mean()
        return returns, (coefficients != 0).sum()

    return jax.vmap(one)(jnp.array(THRESHOLDS))


def measured(env: Env, view: Tree, key: Key) -> dict[str, Array]:
    """The return of a policy and those of dictionaries of it, with their numbers of terms."""
    policy = sac.sac(env.spec, HP).exploit
    k_visit, k_spread, k_play = jax.random.split(key, 3)
    score = evaluate(env, policy, view, k_play, 16, STEPS).returns.mean()
    found: dict[str, Array] = {"policy": score}
    places = {"visited": visited(env, policy, view, k_visit), "all": spread(k_spread)}
    scale = jnp.array([1.0, 1.0, 8.0])  # speeds in units of their bound
    for degree, (place, obs) in itertools.product(DEGREES, places.items()):
        returns, terms = compressed(env, policy, view, obs, degree, scale, k_play)
        found |= {f"{place} {degree} return": returns, f"{place} {degree} terms": terms}
    return found


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce dictionaries", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    env = envs.make("Pendulum-v1")
    observe = partial(measured, scale_actions(env))
    train = make_train(sac.sac, env, HP, chosen.steps, 1, observe=observe)
    keys = jax.random.split(jax.random.key(0), chosen.seeds + 1)
    metrics = jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda k: train(k).metrics))(keys))
    size = (3 * 64 + 64) + (64 * 64 + 64) + (64 * 2 + 2)  # of the policy's network
    mean, low, high = interval(metrics["policy"][1:, 0])
    rows: list[dict[str, Any]] = [
        {"policy": "SAC", "states": "", "degree": "", "numbers": float(size), "return": mean,
         "low": low, "high": high}
    ]  # fmt: skip
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.axhline(mean, color="black", linewidth=0.8, linestyle=":", label="SAC")
    for place in ("visited", "all"):
        curves = []
        for degree in DEGREES:
            returns = metrics[f"{place} {degree} return"][:, 0]
            terms = metrics[f"{place} {degree} terms"][:, 0]
            best = int(returns[0].argmax())
            curves.append(returns[1:, best])
            mean, low, high = interval(returns[1:, best])
            rows.append({"policy": "dictionary", "states": place, "degree": str(degree),
                         "numbers": float(terms[1:, best].mean()), "return": mean, "low": low,
                         "high": high})  # fmt: skip
        band(axes, np.array(DEGREES), np.stack(curves, 1), f"dictionary, {place} states")
    axes.set(xlabel="degree of the polynomials", ylabel="return", xticks=DEGREES)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
