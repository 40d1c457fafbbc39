"""Which objectives express which others: the smallest counterexample for each pair.

Subramani et al. (2024) compare formalisms by the orders of policies that they can express, and find
that many do not reduce to each other. Here an episode is two choices between a and b, seen without
the time, and a policy has a probability of a at each of them. For every order that a formalism
makes of a set of policies, a linear programme finds whether some specification of another one makes
the same order; the sets grow until one does not. The average reward and the discounted return are
compared on processes of three states that never end.

- Markov reward: the sum of r(action).
- Reward machine: a reward for each of the four sequences, as a machine with memory pays it.
- Event: the probability that the sequence is in a set, as of a formula of temporal logic.
- Inner function: E f(G), which depends on how often a was chosen.
- Outer function: f(E G), or any function of several expected returns: of how often a is chosen on
  average.
- Regularised: the sum of r(action), and a positive multiple of the policy's entropy.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linprog

from experiments import options
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "The smallest set of policies whose order one objective expresses and another does not"
SEQUENCES = ("aa", "ab", "ba", "bb")
GAMMA = 0.9


@dataclass(frozen=True)
class Options:
    """Find orders of policies that one objective expresses and another does not."""

    processes: int = 300
    """Number of processes of three states that are tried for the average reward."""
    out: Path = Path(".reproductions/expressivity")
    """Folder in which the table, the numbers and the picture are written."""


class Objective(NamedTuple):
    """A formalism: its specifications, and whether one of them makes a given order."""

    orders: Callable[[np.ndarray], Iterator[tuple[str, np.ndarray]]]
    # orders: policies [P, 2] -> descriptions and values [P] of specifications
    express: Callable[[np.ndarray, np.ndarray], bool]
    # express: (policies [P, 2], signs [P, P] of the differences of values) -> bool


def sequences(policies: np.ndarray) -> np.ndarray:
    """The probabilities [P, 4] of aa, ab, ba and bb."""
    p, q = policies.T
    return np.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], 1)


def counts(policies: np.ndarray) -> np.ndarray:
    """The expected numbers [P, 2] of a and b."""
    often = policies.sum(1)
    return np.stack([often, 2 - often], 1)


def bags(policies: np.ndarray) -> np.ndarray:
    """The probabilities [P, 3] of two, one and no a."""
    h = sequences(policies)
    return np.stack([h[:, 0], h[:, 1] + h[:, 2], h[:, 3]], 1)


def entropy(policies: np.ndarray) -> np.ndarray:
    """The sum [P] of the entropies of both choices."""
    p = np.clip(policies, 1e-12, 1 - 1e-12)
    return -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(1)


def signs(values: np.ndarray) -> np.ndarray:
    """The order [P, P] that values [P] make: 1 where a policy is better, 0 where equal."""
    gap = values[:, None] - values
    return np.where(np.abs(gap) > 1e-9, np.sign(gap), 0).astype(int)


def linear(features: np.ndarray, order: np.ndarray, least: np.ndarray | None = None) -> bool:
    """Whether weights of features [P, F], above `least` [F] if given, make an order [P, P]."""
    better, equal = np.argwhere(order > 0), np.argwhere(np.triu(order == 0, 1))
    gap = lambda pairs: features[pairs[:, 0]] - features[pairs[:, 1]]
    size = features.shape[1]
    bounds = [(None, None)] * size if least is None else [(x, None) for x in least]
    given: dict[str, Any] = {}
    if len(better):
        given |= {"A_ub": -gap(better), "b_ub": -np.ones(len(better))}
    if len(equal):
        given |= {"A_eq": gap(equal), "b_eq": np.zeros(len(equal))}
    return linprog(np.zeros(size), bounds=bounds, **given).status == 0


def weighted(features: Callable, names: tuple[str, ...], levels: tuple[int, ...]) -> Callable:
    """The orders of all weights out of `levels` for features."""

    def orders(policies: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        for weights in itertools.product(levels, repeat=len(names)):
            told = ", ".join(f"{name}: {w}" for name, w in zip(names, weights))
            yield told, features(policies) @ np.array(weights)

    return orders


def of_function(policies: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The orders of functions of how often a is chosen on average."""
    often = policies.sum(1)
    levels = np.unique(often)
    for ranks in itertools.product(range(3), repeat=len(levels)):
        told = ", ".join(f"f({x:g}) = {y}" for x, y in zip(levels, ranks))
        yield told, np.array(ranks)[np.searchsorted(levels, often)].astype(float)


def of_entropy(policies: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The orders of rewards and an entropy bonus."""
    for reward in (0.0, 0.3, 1.0, 3.0):
        yield f"a: {reward:g}, and the entropy", reward * policies.sum(1) + entropy(policies)


def some_event(policies: np.ndarray, order: np.ndarray) -> bool:
    """Whether the probability of a set of sequences makes an order."""
    h = sequences(policies)
    sets = itertools.product((0, 1), repeat=4)
    return any((signs(h @ np.array(x)) == order).all() for x in sets)


def by_average(policies: np.ndarray, order: np.ndarray) -> bool:
    """Whether an order is a function of how often a is chosen on average."""
    same = np.abs(policies.sum(1)[:, None] - policies.sum(1)) < 1e-9
    return not (same & (order != 0)).any()


def with_entropy(policies: np.ndarray, order: np.ndarray) -> bool:
    """Whether rewards and a positive multiple of the entropy make an order."""
    features = np.column_stack([counts(policies), entropy(policies)])
    return linear(features, order, np.array([-np.inf, -np.inf, 1e-3]))


OBJECTIVES = {
    "Markov reward": Objective(
        weighted(counts, ("a", "b"), (0, 1, 2)), lambda x, order: linear(counts(x), order)
    ),
    "reward machine": Objective(
        weighted(sequences, SEQUENCES, (0, 1, 2)), lambda x, order: linear(sequences(x), order)
    ),
    "event": Objective(weighted(sequences, SEQUENCES, (0, 1)), some_event),
    "inner function": Objective(
        weighted(bags, ("f(aa)", "f(one of each)", "f(bb)"), (0, 1, 2)),
        lambda x, order: linear(bags(x), order),
    ),
    "outer function": Objective(of_function, by_average),
    "regularised": Objective(of_entropy, with_entropy),
}


def policy_sets() -> list[np.ndarray]:
    """Sets of policies: alike at both choices, and then not."""
    alike = [np.repeat(np.linspace(0, 1, n)[:, None], 2, 1) for n in (2, 3, 5)]
    pairs = lambda levels: np.array(list(itertools.product(levels, repeat=2)))
    return [*alike, pairs((0.0, 1.0)), pairs((0.0, 0.5, 1.0))]


def counterexample(one: Objective, other: Objective) -> tuple[int, str] | None:
    """The size of the first set with an order that only one objective expresses, and that order."""
    for policies in policy_sets():
        for told, values in one.orders(policies):
            if not other.express(policies, signs(values)):
                return len(policies), told
    return None


def visits(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Discounted and long-run visits [8, 6] to pairs under all policies of a random process."""
    to = rng.integers(3, size=(3, 2))
    discounted, average = [], []
    for act in itertools.product(range(2), repeat=3):
        state, soon, late = 0, np.zeros((3, 2)), np.zeros((3, 2))
        for time in range(606):  # cycles have lengths of 1, 2 or 3, and begin by the third step
            soon[state, act[state]] += GAMMA**time
            late[state, act[state]] += (time >= 6) / 600
            state = to[state, act[state]]
        discounted.append(soon.ravel())
        average.append(late.ravel())
    return np.array(discounted), np.array(average)


def endless(processes: int) -> dict[tuple[str, str], tuple[int, str] | None]:
    """Counterexamples between the average reward and the discounted return."""
    found: dict[tuple[str, str], tuple[int, str] | None] = {}
    for which, pair in enumerate((("average", "discounted"), ("discounted", "average"))):
        found[pair] = None
        for seed in range(processes):
            rng = np.random.default_rng(seed)
            every = visits(rng)
            features, others = every[1 - which], every[which]
            reward = rng.integers(0, 3, 6).astype(float)
            if not linear(others, signs(np.round(features @ reward, 6))):
                found[pair] = 8, f"process {seed}, rewards {reward.astype(int).tolist()}"
                break
    return found


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce expressivity", Options, arguments)
    require_positive(processes=given.processes)
    pairs = {
        (x, y): counterexample(OBJECTIVES[x], OBJECTIVES[y])
        for x, y in itertools.permutations(OBJECTIVES, 2)
    }
    rows = []
    for (x, y), found in (pairs | endless(given.processes)).items():
        size, told = found or ("none", "")
        rows.append({"objective": x, "is not expressed by": y, "policies": size, "example": told})
    names = list(OBJECTIVES)
    sizes = np.array([[(pairs.get((x, y)) or (0,))[0] for y in names] for x in names])
    figure, axes = plt.subplots(figsize=(7, 5.4), layout="constrained")
    axes.imshow(sizes > 0, cmap="Blues", vmin=0, vmax=2)
    for i, j in np.ndindex(sizes.shape):
        axes.text(j, i, str(sizes[i, j] or ("" if i == j else "none")), ha="center", va="center")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(title="policies whose order the row expresses and the column does not")
    save(given.out, TITLE, rows, figure)
