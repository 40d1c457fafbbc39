"""The best of what a flow makes and of its edits, chosen on the fly in acting and targets (EXPO).

Dong et al. (2025), https://arxiv.org/abs/2507.07986. A point starts left of a disc and finds two
places behind it, of which one in five demonstrations goes to the upper one, which alone is paid. A
flow clones the demonstrations; it is not fine-tuned itself, but the best of several of its actions
and of small edits of these is taken. Beside both together stand each of them alone, the clone as it
is, FQL, which moves a policy of one step along the gradient of its critics and towards the flow,
and SAC without a clone. All learn first from the demonstrations alone, and then by acting, with a
half of each batch from the demonstrations. They have the same networks and number of gradient
steps, and for each the learning rate was chosen from the same two, on other seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from agents import expo, sac
from agents.offline import fql, generated_bc
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.places import demonstrations, world
from experiments.reproductions.report import save
from experiments.reproductions.steering import steps_to
from experiments.statistics import interval
from jaxrl import buffers
from jaxrl.continuing import retaining
from jaxrl.errors import require, require_positive
from jaxrl.evaluation import evaluate
from jaxrl.generators import Generation
from jaxrl.loop import advance, assemble
from jaxrl.offline import offline
from jaxrl.types import Array, Key
from jaxrl.values import Ensemble

TITLE = "Success in reaching the rarer of two places, after demonstrations and then by acting"
RATES, LANES, UPDATES, EPISODES, WARMUP = (1e-3, 3e-3), 4, 2, 30, 40
FLOW = Generation("flow", denoising_steps=4)


@dataclass(frozen=True)
class Options:
    """Go on from a cloned flow with the best of its actions and edits, and without them."""

    seeds: int = 5
    """Number of seeds of each learner; as many others choose the learning rate."""
    offline: int = 1_600
    """Gradient steps on the demonstrations alone."""
    steps: int = 2_400
    """Environment steps after the 40 with which acting begins, a multiple of 4 times the
    evaluations."""
    evaluations: int = 6
    """Evaluations after the first one."""
    out: Path = Path(".reproductions/on-the-fly")
    """Folder in which the table, the numbers and the picture are written."""


def learners() -> dict[str, tuple[Callable, Any]]:
    """The constructor and the hyperparameters of each learner."""
    shared: dict[str, Any] = dict(
        num_envs=LANES, updates=UPDATES, batch_size=64, hidden=(64, 64), discount=0.97,
        target_rate=0.02, buffer_size=4_000, warmup=WARMUP, data_share=0.5,
    )  # fmt: skip
    soft = dict(initial_temperature=0.1, target_entropy=-1.0)
    many: dict[str, Any] = shared | soft | dict(generation=FLOW, ensemble=Ensemble(2))
    return {
        "the clone itself": (generated_bc.generated_bc, generated_bc.Hyperparameters(
            **{k: v for k, v in shared.items() if k != "discount"} | dict(data_share=1.0),
            generation=FLOW)),
        "EXPO": (expo.expo, expo.Hyperparameters(**many, candidates=4, edit_size=0.3)),
        "best of eight, no edits": (
            expo.expo, expo.Hyperparameters(**many, candidates=8, edit_size=0.0)),
        "one action and its edit": (
            expo.expo, expo.Hyperparameters(**many, candidates=1, edit_size=0.3)),
        "FQL": (fql.fql, fql.Hyperparameters(
            **shared, generation=FLOW, distillation=1.0, activation="relu")),
        "SAC": (sac.sac, sac.Hyperparameters(**shared, **soft, layer_norm=True)),
    }  # fmt: skip


def learnt(make: Callable, hp: Any, chosen: Options, rate: Array, key: Key) -> Array:
    """The success [1 + evaluations] of one learner, first after the demonstrations alone."""
    k_before, k_run, k_judge = jax.random.split(key, 3)
    data, hp = demonstrations(), hp.replace(learning_rate=rate)
    size = len(data.reward)
    alone = make(
        world().spec, hp.replace(num_envs=1, buffer_size=size, warmup=size, data_share=0.0)
    )
    before = offline(alone, data)
    base = advance(before, before.init(k_before), chosen.offline // UPDATES)[0].learner
    setup = assemble(make, world(), hp, chosen.steps, base=base)
    exp = retaining(setup.experiment, buffers.init(data, size))

    def judged(run: Any, key: Key) -> Array:
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, setup.agent.exploit, view, key, EPISODES).returns.mean()

    def block(run: Any, key: Key) -> tuple[Any, Array]:
        run, _ = advance(exp, run, chosen.steps // LANES // chosen.evaluations)
        return run, judged(run, key)

    first, *later = jax.random.split(k_judge, 1 + chosen.evaluations)
    run = exp.init(k_run)
    start = judged(run, first)
    return jnp.concatenate([start[None], jax.lax.scan(block, run, jnp.stack(later))[1]])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce on-the-fly", Options, arguments)
    require_positive(seeds=chosen.seeds, offline=chosen.offline, evaluations=chosen.evaluations)
    require(
        chosen.steps > 0 and chosen.steps % (LANES * chosen.evaluations) == 0,
        f"steps must be a multiple of {LANES * chosen.evaluations}, which is {LANES} times the "
        "evaluations.",
    )
    rows = []
    at = WARMUP + np.linspace(0, chosen.steps, chosen.evaluations + 1)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, (make, hp) in tqdm(learners().items(), unit=" learners"):
        one = partial(learnt, make, hp, chosen)
        best, success = tuned(scored(one, RATES, chosen.seeds))  # [seeds, evaluations]
        needed = steps_to(0.9, at, success)
        mean, low, high = interval(success[:, -1])
        over, least, most = interval(success.mean(1))
        rows.append(
            {"learner": name, "learning rate": RATES[best],
             "after demonstrations": float(success[:, 0].mean()),
             "seeds that get to 90 %": f"{int(np.isfinite(needed).sum())} of {chosen.seeds}",
             "steps to 90 %, median": float(np.median(needed)), "final success": mean,
             "low": low, "high": high, "over training": over, "its low": least, "its high": most}
        )  # fmt: skip
        band(axes, at, success, name)
    axes.axhline(0.9, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="environment steps", ylabel="success", title="To the rarer of two places")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
