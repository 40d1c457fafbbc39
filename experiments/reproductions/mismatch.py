"""Models of higher likelihood do not always control better (Lambert et al. 2020).

Two small systems are used, in which all but the model is exact. In a linear-quadratic regulator
with two dimensions that matter and four that do not, the error of perturbed models predicts the
cost of control when errors span decades, and hardly when all models are about as wrong. A linear
model of a pendulum cannot be right everywhere: weighting transitions near the upright state makes
it fit worse on the whole, and control better.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Error of models, and the cost of controlling with them"
WEIGHTS = (0.0, 1.0, 3.0)


@dataclass(frozen=True)
class Options:
    """Measure how well the error of models predicts the cost of control."""

    models: int = 600
    """Number of perturbed models of the linear system."""
    seeds: int = 40
    """Number of data sets of the pendulum."""
    out: Path = Path(".reproductions/mismatch")
    """Folder in which the table, the numbers and the picture are written."""


def regulator(a: Array, b: Array, q: Array, r: Array, sweeps: int = 300) -> Array:
    """The optimal feedback K of u = -K x for x' = A x + B u, by iterating the Riccati equation."""

    def sweep(p: Array, _: None) -> tuple[Array, None]:
        gain = jnp.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
        return q + a.T @ p @ (a - b @ gain), None

    p, _ = jax.lax.scan(sweep, q, None, sweeps)
    return jnp.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)


def linear(key: Key, decades: float) -> tuple[Array, Array]:
    """The squared error of a perturbed model, and the excess cost of its regulator."""
    k_scale, k_noise = jax.random.split(key)
    a = jnp.diag(jnp.array([1.0, 1.0, 0.5, 0.5, 0.5, 0.5])).at[0, 1].set(0.2)
    b = jnp.zeros((6, 1)).at[1, 0].set(0.2)
    q, r = jnp.diag(jnp.array([1.0, 0.1, 0, 0, 0, 0])), jnp.eye(1) * 0.1
    scale = 0.02 * 10 ** (decades * (jax.random.uniform(k_scale) - 0.5))
    error = scale * jax.random.normal(k_noise, (6, 6))

    def cost(gain: Array) -> Array:
        def step(x: Array, _: None) -> tuple[Array, Array]:
            u = -gain @ x
            return a @ x + b @ u, x @ q @ x + u @ r @ u

        return jax.lax.scan(step, jnp.array([1.0, 0, 0, 0, 0, 0]), None, 200)[1].sum()

    return jnp.square(error).sum(), cost(regulator(a + error, b, q, r)) - cost(
        regulator(a, b, q, r)
    )


def pendulum(x: Array, u: Array) -> Array:
    """One step of a damped pendulum, upright at angle 0: states [..., 2], torques [...]."""
    angle, speed = x[..., 0], x[..., 1]
    speed = 0.99 * speed + 0.05 * (15.0 * jnp.sin(angle) + 3.0 * u)
    return jnp.stack([angle + 0.05 * speed, speed], -1)


def weighted(key: Key, sharpness: Array) -> tuple[Array, Array]:
    """The mean squared error of a weighted linear fit to a pendulum, and its cost of control."""
    k_state, k_torque = jax.random.split(key)
    wide = jnp.array([3.0, 8.0])
    x = jax.random.uniform(k_state, (300, 2), minval=-1, maxval=1) * wide
    u = jax.random.uniform(k_torque, (300,), minval=-5, maxval=5)
    features, target = jnp.concatenate([x, u[:, None]], -1), pendulum(x, u)
    weight = jnp.exp(-sharpness * jnp.linalg.norm(x / wide, axis=-1))
    gram = (features * weight[:, None]).T @ features
    fit = jnp.linalg.solve(gram, (features * weight[:, None]).T @ target)  # [3, 2]
    gain = regulator(fit[:2].T, fit[2:].T, jnp.diag(jnp.array([1.0, 0.1])), jnp.eye(1) * 0.01)

    def step(x: Array, _: None) -> tuple[Array, Array]:
        u = jnp.clip(-(gain @ x)[0], -8.0, 8.0)
        return pendulum(x, u), x[0] ** 2 + 0.1 * x[1] ** 2 + 0.01 * u**2

    cost = jax.lax.scan(step, jnp.array([0.8, 0.0]), None, 200)[1].sum()
    return jnp.square(features @ fit - target).mean(), cost


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce mismatch", Options, arguments)
    require_positive(models=chosen.models, seeds=chosen.seeds)
    rows, (figure, (left, right)) = [], plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    keys = jax.random.split(jax.random.key(0), chosen.models)
    for decades in (3.0, 0.0):
        run = jax.jit(jax.vmap(lambda key, d=decades: linear(key, d)))
        error, cost = (np.asarray(x, np.float64) for x in run(keys))
        cost = np.minimum(np.where(np.isfinite(cost), cost, np.inf), 1e6)  # what diverges
        rho = float(spearmanr(error, cost)[0])
        left.loglog(error, np.maximum(cost, 1e-7), ".", ms=3, label=f"rank correlation {rho:.2f}")
        rows.append({"system": "linear", "setting": f"errors over {decades:g} decades",
                     "error": float(np.median(error)), "cost": float(np.median(cost)), "low": "-",
                     "high": "-", "rank correlation": rho})  # fmt: skip
    keys = jax.random.split(jax.random.key(1), chosen.seeds)
    both = []
    for sharpness in WEIGHTS:
        error, cost = jax.jit(jax.vmap(lambda key, c=sharpness: weighted(key, jnp.asarray(c))))(
            keys
        )
        mean, low, high = interval(cost)
        both.append((float(error.mean()), mean))
        rows.append({"system": "pendulum", "setting": f"weight exp(-{sharpness:g} distance)",
                     "error": both[-1][0], "cost": mean, "low": low, "high": high,
                     "rank correlation": "-"})  # fmt: skip
    right.plot(*zip(*both), marker="o")
    for (x, y), sharpness in zip(both, WEIGHTS):
        right.annotate(f"c = {sharpness:g}", (x, y), textcoords="offset points", xytext=(6, 4))
    left.set(xlabel="squared error of the model", ylabel="cost beyond the best", title="linear")
    right.set(xlabel="mean squared error everywhere", ylabel="cost", title="pendulum, linear model")
    left.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
