"""Candidates of `jaxrl benchmark dynamic-programming` that take a number of sweeps.

Each takes a process and a number of sweeps, and returns a function to time with the seconds of its
compilation.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_matrix

from experiments.benchmarks.timed import compiled
from jaxrl import dp
from jaxrl.types import Array
from jaxrl.values import Representation, ReturnDistribution

GAMMA, LOW, HIGH, ATOMS = 0.95, -40.0, 40.0, 51


def random_process(states: int, actions: int, slots: int | None, seed: int = 0) -> dp.TabularMDP:
    """Return a random process with rewards of pairs; it is dense without `slots`."""
    rng = np.random.default_rng(seed)
    shape = (states, actions, slots or states)
    p = rng.random(shape, np.float32) + 0.01
    p /= p.sum(-1, keepdims=True)
    r = np.broadcast_to(rng.standard_normal((states, actions, 1), np.float32), shape)
    successors = rng.integers(0, states, shape, np.int32) if slots else ()
    initial = np.full(states, 1 / states)
    return dp.from_arrays(p, r, np.ones(shape, np.float32), initial, successors)


def on_grid() -> Representation:
    """Return a representation by probabilities on a fixed grid: categorical without logits."""
    grid = jnp.linspace(LOW, HIGH, ATOMS)
    width = (HIGH - LOW) / (ATOMS - 1)

    def project(distribution: ReturnDistribution) -> Array:
        # One atom after another, because the shares [..., N, ATOMS] would not fit in memory.
        def add(total: Array, atom: tuple[Array, Array]) -> tuple[Array, None]:
            x, weight = (y[..., None] for y in atom)
            share = jnp.maximum(1 - jnp.abs(jnp.clip(x, LOW, HIGH) - grid) / width, 0)
            return total + weight * share, None

        start = jnp.zeros((*distribution.atoms.shape[:-1], ATOMS))
        columns = jax.tree.map(lambda y: jnp.moveaxis(y, -1, 0), distribution)
        return jax.lax.scan(add, start, columns)[0]

    decode = lambda theta: ReturnDistribution(jnp.broadcast_to(grid, theta.shape), theta)
    return Representation(ATOMS, decode, project, lambda theta, distribution: jnp.zeros(()))


def ours(mdp: dp.TabularMDP, sweeps: int) -> tuple[Callable[[], Any], float]:
    """Prepare `dp.value_iteration` of one process."""
    options = {"tolerance": 0.0, "max_iterations": sweeps}
    return compiled(lambda mdp: dp.value_iteration(mdp, GAMMA, **options).theta, mdp)


def ours_many(mdps: dp.TabularMDP, sweeps: int) -> tuple[Callable[[], Any], float]:
    """Prepare `dp.value_iteration`, vmapped over processes."""
    options = {"tolerance": 0.0, "max_iterations": sweeps}
    solve = lambda mdp: dp.value_iteration(mdp, GAMMA, **options).theta
    return compiled(jax.vmap(solve), mdps)


def ours_distributional(
    mdp: dp.TabularMDP, sweeps: int, mix: dp.Mix
) -> tuple[Callable[[], Any], float]:
    """Prepare `dp.distributional_value_iteration` on `ATOMS` atoms."""
    solve = partial(
        dp.distributional_value_iteration,
        gamma=GAMMA,
        representation=on_grid(),
        mix=mix,
        distance=dp.wasserstein_on_grid,
        tolerance=0.0,
        max_iterations=sweeps,
    )
    return compiled(lambda mdp: solve(mdp).theta, mdp)


def matrix_of(mdp: dp.TabularMDP, dtype: Any) -> Any:
    """Return the transitions as one matrix [S * A, S], of numpy or, if sparse, of scipy."""
    states, actions, slots = mdp.transition.shape
    p = np.asarray(mdp.transition, dtype)
    p = p / p.sum(-1, keepdims=True)  # float32 fails the checks of some libraries
    if isinstance(mdp.successors, tuple):
        return p.reshape(-1, states)
    starts = np.arange(0, states * actions * slots + 1, slots)
    entries = p.ravel(), np.asarray(mdp.successors).ravel(), starts
    return csr_matrix(entries, (states * actions, states))


def by_products(mdp: dp.TabularMDP, sweeps: int, kind: str) -> tuple[Callable[[], Any], float]:
    """Prepare numpy or scipy: products of one matrix [S * A, S] with the values."""
    states, actions, _ = mdp.transition.shape
    dtype = np.float64 if "float64" in kind else np.float32
    r = np.asarray(mdp.reward[..., 0], dtype)
    matrix = matrix_of(mdp, dtype) * dtype(GAMMA)

    def run() -> np.ndarray:
        v = np.zeros(states, dtype)
        for _ in range(sweeps):
            q = r + (matrix @ v).reshape(states, actions)
            new = q.max(-1)
            _residual = np.abs(new - v).max()
            v = new
        return q

    return run, 0.0


def libraries(mdp: dp.TabularMDP, sweeps: int) -> dict[str, tuple[Callable[[], Any], float]]:
    """Prepare value iteration of the installed libraries, in float64."""
    states, actions, _ = mdp.transition.shape
    matrix, r = matrix_of(mdp, np.float64), np.asarray(mdp.reward[..., 0], np.float64)
    found: dict[str, tuple[Callable[[], Any], float]] = {}
    backup = lambda v: r + GAMMA * (matrix @ np.asarray(v)).reshape(states, actions)

    def toolbox() -> np.ndarray:
        solver.V, solver.iter, solver.max_iter, solver.thresh = np.zeros(states), 0, sweeps, 0.0
        solver.run()
        return backup(solver.V)

    def economist() -> np.ndarray:
        v = np.zeros(states)
        process.operator_iteration(process.bellman_operator, v, sweeps, 0.0)
        return backup(v)

    if find_spec("mdptoolbox"):
        mdptoolbox = import_module("mdptoolbox.mdp")
        # Its bound on iterations visits every pair of states; here the number of sweeps is given.
        base = type("Plain", (mdptoolbox.ValueIteration,), {"_boundIter": lambda *_: None})
        solver = base([matrix[a::actions] for a in range(actions)], r, GAMMA)
        found["pymdptoolbox"] = toolbox, 0.0
    if find_spec("quantecon"):
        if isinstance(mdp.successors, tuple):
            given: tuple = (r, matrix.reshape(states, actions, states), GAMMA)
        else:
            pairs = np.divmod(np.arange(states * actions), actions)
            given = (r.ravel(), matrix, GAMMA, *pairs)
        process = import_module("quantecon.markov").DiscreteDP(*given)
        found["quantecon"] = economist, 0.0
    return found


def by_gathers(mdp: dp.TabularMDP, sweeps: int) -> tuple[Callable[[], Any], float]:
    """Prepare numpy: indexing the values with the successors."""
    p, r = np.asarray(mdp.transition), np.asarray(mdp.reward[..., 0])
    successors = np.asarray(mdp.successors)

    def run() -> np.ndarray:
        v = np.zeros(len(p), np.float32)
        for _ in range(sweeps):
            q = r + np.float32(GAMMA) * (p * v[successors]).sum(-1)
            new = q.max(-1)
            _residual = np.abs(new - v).max()
            v = new
        return q

    return run, 0.0


def one_by_one(mdps: dp.TabularMDP, sweeps: int) -> tuple[Callable[[], Any], float]:
    """Prepare numpy: one small process after another."""
    count = mdps.transition.shape[0]
    each = lambda i: jax.tree.map(lambda x: x[i], mdps)
    runs = [by_products(each(i), sweeps, "float32")[0] for i in range(count)]
    return lambda: [run() for run in runs], 0.0


def batched(mdps: dp.TabularMDP, sweeps: int) -> tuple[Callable[[], Any], float]:
    """Prepare numpy: one batched product for all small processes."""
    p, r = np.asarray(mdps.transition), np.asarray(mdps.reward[..., 0])
    count, states, _ = r.shape
    matrix = np.float32(GAMMA) * p.reshape(count, -1, states)

    def run() -> np.ndarray:
        v = np.zeros((count, states), np.float32)
        for _ in range(sweeps):
            q = r + (matrix @ v[..., None]).reshape(r.shape)
            new = q.max(-1)
            _residual = np.abs(new - v).max(-1)
            v = new
        return q

    return run, 0.0


def numpy_distributional(
    mdp: dp.TabularMDP, sweeps: int, pool: bool
) -> tuple[Callable[[], Any], float]:
    """Prepare numpy: the shares of atoms summed by `bincount`, before or after mixing."""
    p, r = np.asarray(mdp.transition), np.asarray(mdp.reward[..., 0])
    successors, (states, actions, _) = np.asarray(mdp.successors), p.shape
    grid = np.linspace(LOW, HIGH, ATOMS, dtype=np.float32)
    place = (np.clip(r[..., None] + GAMMA * grid, LOW, HIGH) - LOW) / (HIGH - LOW) * (ATOMS - 1)
    left = np.minimum(place.astype(np.int64), ATOMS - 2)  # [S, A, N]
    share = place - left
    rows = np.arange(states * actions).reshape(states, actions, 1) * ATOMS + left
    if not pool:
        rows, share = (np.broadcast_to(x[:, :, None], (*p.shape, ATOMS)) for x in (rows, share))
    size, flat = states * actions * ATOMS, rows.ravel()

    def run() -> np.ndarray:
        theta = np.zeros((states, actions, ATOMS), np.float32)
        theta[..., ATOMS // 2] = 1
        for _ in range(sweeps):
            best = (theta @ grid).argmax(-1)
            later = p[..., None] * theta[np.arange(states), best][successors]
            weight = later.sum(2) if pool else later
            new = np.bincount(flat, (weight * (1 - share)).ravel(), size)
            new += np.bincount(flat + 1, (weight * share).ravel(), size)
            new = new.reshape(theta.shape).astype(np.float32)
            _residual = np.abs(np.cumsum(new - theta, -1)).sum(-1).max()
            theta = new
        return theta

    return run, 0.0


def paired(mdp: dp.TabularMDP) -> dp.TabularMDP:
    """Return the same process with rewards and discounts stored by pair."""
    return mdp._replace(reward=mdp.reward[..., :1], discount=mdp.discount[..., :1])
