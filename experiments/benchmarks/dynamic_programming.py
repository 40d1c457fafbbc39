"""Benchmark exact dynamic programming against numpy, scipy and other libraries.

`jaxrl benchmark dynamic-programming` prints milliseconds per sweep over all processes of a row, or
of a whole solution, and the memory used. The candidates of a row take turns in one operating-system
process, so that other load on the machine affects all of them; compilation is timed separately. The
numpy and scipy programs precompute what does not change between sweeps, as a person would. The
libraries pymdptoolbox and quantecon take part if they are installed.
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from experiments import options
from experiments.benchmarks import evaluations, objectives, planners
from experiments.benchmarks.backups import (
    ATOMS,
    GAMMA,
    HIGH,
    LOW,
    batched,
    by_gathers,
    by_products,
    libraries,
    numpy_distributional,
    on_grid,
    one_by_one,
    ours,
    ours_distributional,
    ours_many,
    paired,
    random_process,
)
from experiments.benchmarks.timed import table
from jaxrl import dp, values
from jaxrl.errors import require_positive


@dataclass(frozen=True)
class Options:
    """Measure exact dynamic programming against numpy, scipy and other libraries."""

    repeats: int = 5
    """Number of runs of each candidate, in turns."""
    sweeps: int = 250
    """Number of sweeps per run, as a tolerance of 1e-5 takes; costly rows use a fifth of it."""
    scale: float = 1.0
    """Factor on the numbers of states and processes; below 1 for a quick run."""


def main(arguments: list[str]) -> None:
    """Print all tables. Raises `InputError` for numbers that are not positive."""
    chosen = options.parse("benchmark dynamic-programming", Options, arguments)
    require_positive(repeats=chosen.repeats, sweeps=chosen.sweeps, scale=chosen.scale)
    size = lambda number: max(int(number * chosen.scale), 10)
    by_sweeps(size, chosen.sweeps, chosen.repeats)
    whole_solutions(size, chosen.repeats)
    other_objectives(size, max(chosen.sweeps // 5, 1), chosen.repeats)
    evaluated(size, chosen.repeats)
    a_large_process(size, max(chosen.sweeps // 25, 1), chosen.repeats)


Size = Callable[[int], int]
"""The scaled number of states or of what else there are many of."""


def by_sweeps(size: Size, sweeps: int, repeats: int) -> None:
    """Print the tables of sweeps of value iteration."""
    few = max(sweeps // 5, 1)
    mdp = random_process(size(10_000), 4, 8)
    candidates = {
        "jaxrl": ours(mdp, sweeps),
        "scipy csr": by_products(mdp, sweeps, "float32"),
        "scipy csr, float64": by_products(mdp, sweeps, "float64"),
        "numpy gather": by_gathers(mdp, sweeps),
    } | libraries(mdp, sweeps)
    table(f"Value iteration, {size(10_000)} x 4 x 8 sparse", sweeps, candidates, repeats)

    mdp = random_process(size(1_000), 4, None)
    candidates = {
        "jaxrl": ours(mdp, sweeps),
        "numpy": by_products(mdp, sweeps, "float32"),
        "numpy, float64": by_products(mdp, sweeps, "float64"),
    } | libraries(mdp, sweeps)
    table(f"Value iteration, {size(1_000)} x 4 dense", sweeps, candidates, repeats)

    many = [random_process(10, 4, None, seed) for seed in range(size(1_000))]
    mdps = dp.stacked(many)
    candidates = {
        "jaxrl, vmapped": ours_many(mdps, sweeps),
        "numpy, one by one": one_by_one(jax.tree.map(np.asarray, mdps), sweeps),
        "numpy, batched product": batched(mdps, sweeps),
    }
    table(f"Value iteration, {len(many)} processes of 10 x 4", sweeps, candidates, repeats)

    mdp = random_process(size(1_000), 4, 8)
    candidates = {
        "jaxrl, mixed": ours_distributional(mdp, few, dp.mixed),
        "jaxrl, pooled": ours_distributional(paired(mdp), few, dp.pooled),
        "numpy, mixed": numpy_distributional(mdp, few, False),
        "numpy, pooled": numpy_distributional(mdp, few, True),
    }
    title = f"Distributional value iteration, {ATOMS} atoms, {size(1_000)} x 4 x 8"
    table(title, few, candidates, repeats)


def whole_solutions(size: Size, repeats: int) -> None:
    """Print the tables of solutions to the end."""
    gamma = 0.99
    mdp = random_process(size(300), 4, None)
    names = {
        "jaxrl, policies": "policy_iteration",
        "jaxrl, values": "value_iteration",
        "jaxrl, some sweeps": "modified_policy_iteration",
        "jaxrl, Anderson": "anderson_value_iteration",
        "jaxrl, in place": "gauss_seidel_value_iteration",
        "jaxrl, by priority": "prioritised_sweeping",
    }
    candidates = {name: planners.solved_by(solver, mdp, gamma) for name, solver in names.items()}
    candidates |= {
        "numpy, policies": planners.numpy_policy_iteration(mdp, gamma),
    } | planners.library_solutions(mdp, gamma)
    title = f"Solved to 1e-6 of the largest value at gamma {gamma}, {size(300)} x 4 dense"
    table(title, 1, candidates, repeats)

    mdp = random_process(size(100), 4, None)
    candidates = {
        "jaxrl, policies": planners.solved_by("policy_iteration", mdp, gamma),
        "jaxrl, linear programme": planners.by_programme(mdp, gamma),
    }
    table(f"Linear programme at gamma {gamma}, {size(100)} x 4 dense", 1, candidates, repeats)

    mdp = random_process(size(20), 4, None)
    title = f"Fixed point of categorical evaluation, {ATOMS} atoms, {size(20)} x 4 dense"
    support = values.uniform_support(LOW, HIGH, ATOMS)
    table(title, 1, planners.fixed_points(mdp, GAMMA, on_grid(), support), repeats)


def other_objectives(size: Size, sweeps: int, repeats: int) -> None:
    """Print the tables of solvers for other objectives than the expected discounted return."""
    wide, middle, small, tiny = (
        random_process(size(number), 4, None) for number in (300, 100, 20, 10)
    )
    stages, few, number = sweeps, max(sweeps // 10, 1), 10
    rows = {
        f"Soft value iteration, {size(300)} x 4": objectives.soft(wide, GAMMA, sweeps),
        f"{stages} stages, {size(300)} x 4": objectives.staged(wide, stages),
        f"Average reward to 1e-6, {size(300)} x 4": objectives.averages(wide),
        f"Robust, total variation, {size(100)} x 4": objectives.robust(middle, GAMMA, sweeps),
        f"Robust, entropy, {size(10)} x 4, {few} sweeps": objectives.robust_entropy(
            tiny, GAMMA, few
        ),
        f"Robust, budgets of states, {size(10)} x 4, {few} sweeps": objectives.robust_states(
            tiny, GAMMA, few
        ),
        f"Nested CVaR, {size(100)} x 4": objectives.nested(middle, GAMMA, sweeps),
        f"Exponential utility, {stages} stages, {size(100)} x 4": objectives.exponential(
            middle, GAMMA, stages
        ),
        f"CVaR by {number} levels, {size(20)} x 4": objectives.levels(small, GAMMA, number, sweeps),
        f"One constraint, {size(20)} x 4": objectives.constrained(small, 0.9),
    }
    for title, candidates in rows.items():
        table(f"{title}, dense", 1, candidates, repeats)


def evaluated(size: Size, repeats: int) -> None:
    """Print the tables of policies that are evaluated, exactly or from data."""
    wide, middle = (random_process(size(number), 4, None) for number in (300, 100))
    many, some = size(20_000), size(2_000)
    rows = {
        f"Values of a policy at gamma 0.99, {size(300)} x 4": evaluations.policies(wide, 0.99),
        f"Visits of a policy at gamma 0.99, {size(300)} x 4": evaluations.visits(wide, 0.99),
        f"Successor representation, {size(100)} x 4": evaluations.successors(middle, 0.9),
        f"Variance of the return, {size(300)} x 4": evaluations.moments(wide, GAMMA),
        f"Models of 4 options, {size(100)} x 4": evaluations.options(middle, GAMMA),
        f"Ratios of occupancies, {size(100)} x 4": evaluations.ratios(middle, 0.9),
        f"LSTD, {many} steps of 16 features": evaluations.least_squares(many),
        f"LSPI, {some} steps of 16 features": evaluations.least_squares_policies(some),
        f"TD with traces, {many} steps of 16 features": evaluations.rules(many),
        f"Quantile TD, {some} steps, 32 quantiles": evaluations.quantiles(middle, some, 0.9),
        f"Bootstrap of a mean of {some}": evaluations.intervals(some),
        "Linear control of 4 states": evaluations.riccati(),
    }
    for title, candidates in rows.items():
        table(title, 1, candidates, repeats)


def a_large_process(size: Size, few: int, repeats: int) -> None:
    """Print the table of a process that fills memory, and how much."""
    mdp = random_process(size(1_000_000), 4, 4)
    kernel = sum(x.nbytes for x in jax.tree.leaves(mdp)) / 2**30
    candidates = {"jaxrl": ours(mdp, few), "scipy csr": by_products(mdp, few, "float32")}
    table(f"Value iteration, {size(1_000_000)} x 4 x 4 sparse", few, candidates, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  arrays of the process: {kernel:.2f} GiB; peak of the program: {peak:.2f} GiB")
