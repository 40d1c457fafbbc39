"""Plans that go on from the last plan need fewer passes of their network (Duan et al. 2025).

In a world of two places behind a disc, a flow clones plans of the next eight actions of
demonstrations. It plans anew in every step: from noise, in a number of equal steps, or from the
last plan without its first action, which is noised to where that number of steps is left of twenty.
Success is to find either place within the limit.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.plots import band
from experiments.reproductions.places import LIMIT, cloner, world
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import evaluate, generators
from jaxrl.errors import require_positive
from jaxrl.settings import Layers
from jaxrl.types import Array, Key

TITLE = (
    "Success in finding a place by plans of eight actions, by passes of the network in each step"
)
PLAN, STEPS, PASSES, HIDDEN = 8, 20, (1, 2, 3, 5, 10, 20), (128, 128)


def success(key: Key, steps: int, episodes: int) -> Array:
    """The success [2, P] of plans from noise and from the last plan, of one flow."""
    k_learn, k_act = jax.random.split(key)
    flow = cloner(PLAN, STEPS, HIDDEN)
    params = flow.learn(k_learn, steps)

    def found(steps: int, passes: int) -> Array:
        policy = generators.generated_policy(
            flow.spec, generators.Generation("flow", steps), Layers(hidden=HIDDEN)
        )
        actor = generators.receding(policy, passes)
        return (evaluate(world(), actor, params, k_act, episodes).lengths < LIMIT).mean()

    cold = jnp.stack([found(passes, passes) for passes in PASSES])
    return jnp.stack([cold, jnp.stack([found(STEPS, passes) for passes in PASSES])])


@dataclass(frozen=True)
class Options:
    """Measure success by the passes of the network in each step, from noise or the last plan."""

    seeds: int = 5
    """Number of flows."""
    steps: int = 3_000
    """Gradient steps of each flow."""
    episodes: int = 100
    """Number of episodes of each setting."""
    out: Path = Path(".reproductions/receding")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce receding", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, episodes=chosen.episodes)
    run = jax.jit(jax.vmap(lambda key: success(key, chosen.steps, chosen.episodes)))
    found, rows = np.asarray(run(jax.random.split(jax.random.key(0), chosen.seeds))), []
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind, name in enumerate(("noise", "the last plan")):
        for index, passes in enumerate(PASSES):
            mean, low, high = interval(found[:, kind, index])
            rows.append({"from": name, "passes": passes, "success": mean, "low": low, "high": high})
        band(axes, np.array(PASSES), found[:, kind], f"from {name}")
    axes.set(xlabel="passes in each step", ylabel="success", xscale="log")
    axes.set_xticks(PASSES, [str(passes) for passes in PASSES])
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
