"""What a data set is like: its episodes, its quality, and what it covers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.references import references
from jaxrl.data import coverage, distinct_pairs, trajectory_quality
from jaxrl.errors import require
from jaxrl.types import Transition


class Report(NamedTuple):
    """Facts of a data set; returns are None where it has no rewards."""

    transitions: int
    terminated: int  # episodes
    truncated: int
    unfinished: int
    returns: np.ndarray | None  # [E] of the episodes that ended, or of all if none did
    lengths: np.ndarray  # [E] of the same
    quality: float | None  # the trajectory quality TQ, where the environment has references
    distinct: int  # pairs of an observation and an action
    coverage: float | None  # the state-action coverage SACo, where there is a reference


def pairs_of(episodes: list[dict[str, Any]]) -> Transition:
    """The steps [N, 1, ...] of episodes, of which only pairs and their number are asked."""
    flat = lambda *x: jnp.asarray(np.concatenate(x))[:, None]
    obs = jax.tree.map(flat, *[jax.tree.map(lambda x: x[:n], e["observations"])
                               for e in episodes if (n := len(e["actions"]))])  # fmt: skip
    action = flat(*[e["actions"] for e in episodes])
    one = jnp.ones(action.shape[:2])
    return Transition(obs, action, one, one, one > 0, (), (), one)


def report(
    episodes: list[dict[str, Any]],
    env: str = "",
    bins: int = 0,
    reference: list[dict[str, Any]] | None = None,
) -> Report:
    """The facts of episodes, as of `experiments.datasets.described`.

    `env` is the name under which the returns of random actions and of an expert are kept. Pairs are
    counted as `jaxrl.data.distinct_pairs` says, with `bins`, relative to those of `reference`.
    Raises an InputError if a number is not finite.
    """
    for e in [*episodes, *(reference or ())]:
        for name in ("rewards", "actions", "observations"):
            fine = all(np.isfinite(x).all() for x in jax.tree.leaves(e.get(name)))
            require(fine, f"The data set has numbers among its {name} that are not finite.")
    unfinished = np.array([bool(e.get("unfinished")) for e in episodes])
    terminated = np.array([bool(e["terminations"][-1]) for e in episodes])
    counted = ~unfinished if (~unfinished).any() else np.ones_like(unfinished)
    lengths = np.array([len(e["actions"]) for e in episodes])
    returns, quality = None, None
    if "rewards" in episodes[0]:
        returns = np.array([np.sum(e["rewards"], dtype=float) for e in episodes])[counted]
        known = references().get(env)
        if known is not None:
            quality = float(trajectory_quality(jnp.asarray(returns), known.random, known.expert))
    pairs = pairs_of(episodes)
    other = None if reference is None else pairs_of(reference)
    return Report(
        transitions=int(lengths.sum()),
        terminated=int(terminated.sum()),
        truncated=int((~terminated & ~unfinished).sum()),
        unfinished=int(unfinished.sum()),
        returns=returns,
        lengths=lengths[counted],
        quality=quality,
        distinct=int(distinct_pairs(pairs, bins, other)),
        coverage=None if other is None else float(coverage(pairs, other, bins)),
    )


def sentences(found: Report, name: str, bins: int = 0) -> list[str]:
    """A report in words."""
    number = found.terminated + found.truncated + found.unfinished
    lines = [
        f"{found.transitions} transitions of {number} episodes are in {name}: "
        f"{found.terminated} terminated, {found.truncated} truncated, and {found.unfinished} "
        "unfinished where the data end."
    ]
    whose = "" if found.unfinished < number else " so far"
    length = found.lengths
    lines.append(
        f"Length of an episode{whose}: mean {length.mean():.1f}, from {length.min()} to "
        f"{length.max()}."
    )
    if found.returns is None:
        lines.append("It has no rewards.")
    else:
        x = found.returns
        lines.append(
            f"Return of an episode{whose}: mean {x.mean():.1f}, standard deviation {x.std():.1f}, "
            f"from {x.min():.1f} to {x.max():.1f}."
        )
    if found.quality is not None:
        lines.append(
            f"Trajectory quality: {found.quality:.3f}, where random actions have 0 and an expert 1."
        )
    how = f", with {bins} bins for each real number" if bins else ""
    lines.append(f"Distinct pairs of an observation and an action: {found.distinct}{how}.")
    if found.coverage is not None:
        lines.append(f"State-action coverage relative to the reference: {found.coverage:.3f}.")
    return lines
