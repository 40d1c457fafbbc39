"""A cloned flow is steered by its noise, or edited, after few steps (DSRL and ResFiT).

A point starts left of a disc and finds two places behind it. Of the demonstrations one in five goes
to the upper place, which alone is paid, with 1 at the end of the episode. A flow clones chunks of
four actions. SAC then acts in the space of the flow's noise, with and without critics of the
actions that the noise makes; TD3 edits what the flow does, and learns a half of each batch from the
demonstrations; SAC begins without the flow, with such halves or without. All act by chunks, and
have the same networks, number of gradient steps, and the best of the same learning rates. Sources:
Wagenmaker et al. (2025), https://arxiv.org/abs/2506.15799; Ankile et al. (2025),
https://arxiv.org/abs/2509.19301.
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

import envs
from agents import dsrl, resfit, sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.places import Cloner, cloner, world
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import buffers, generators, make_train
from jaxrl.continuing import retaining
from jaxrl.errors import require_continuous, require_positive
from jaxrl.loop import Setup, assemble
from jaxrl.steering import edits, residual
from jaxrl.types import Env, Transition, Tree
from jaxrl.values import Ensemble

TITLE = "Environment steps to 90 % success in reaching the rarer of two places"
RATES = (1e-3, 3e-3)
BOUND, EDIT, CHUNK, DISCOUNT = 1.5, 0.5, 4, 0.97


def retained(data: Transition) -> Callable[..., Setup]:
    """The way to put an agent to work that also replays the steps [T, 1, ...] of a data set."""

    def assembled(make: Callable, env: Env, hp: Any, steps: float | None) -> Setup:
        setup = assemble(make, env, hp, steps)
        kept = buffers.init(data, len(data.reward))
        return setup._replace(experiment=retaining(setup.experiment, kept))

    return assembled


def trials(flow: Cloner, params: Tree, steps: int) -> dict[str, tuple]:
    """What each way to learn is given: constructor, environment, hyperparameters, and setting up.

    Environments and steps are of chunks.
    """
    env = envs.chunked(world(), CHUNK)
    decode = generators.steered(flow.policy, params, BOUND)
    act = lambda obs, key: flow.policy.sample(params, obs, key)
    shared: dict[str, Any] = dict(
        num_envs=4, updates=8, warmup=400, batch_size=64, hidden=(64, 64), layer_norm=True,
        discount=DISCOUNT**CHUNK, target_rate=0.02, buffer_size=4 * steps,
    )  # fmt: skip
    soft = shared | dict(initial_temperature=0.1, target_entropy=-1.0)
    agent = sac.Hyperparameters(**soft)
    aliasing = dsrl.Hyperparameters(**soft, bound=BOUND, aliases=2)
    mixed = sac.Hyperparameters(**soft, data_share=0.5)
    editing = resfit.Hyperparameters(
        **shared | dict(target_rate=0.04), edit_size=EDIT, actor_period=2, n_step=1,
        exploration_noise=0.2, ensemble=Ensemble(2),
    )  # fmt: skip
    edited = jax.jit(lambda data: edits(data, act, EDIT, jax.random.key(1)))(flow.plans)
    latents = require_continuous(env.spec, "Steering")
    return {
        "SAC": (sac.sac, env, agent, assemble),
        "SAC and demonstrations": (sac.sac, env, mixed, retained(flow.plans)),
        "ResFiT, edits of the flow": (
            resfit.resfit, residual(env, act, EDIT), editing, retained(edited),
        ),
        "noise of the flow": (sac.sac, envs.decoded(env, decode, latents), agent, assemble),
        "noise, critics of actions": (
            partial(dsrl.dsrl, decode=decode), envs.decoded(env, decode, latents, True), aliasing,
            assemble,
        ),
    }  # fmt: skip


def steps_to(level: float, steps: np.ndarray, success: np.ndarray) -> np.ndarray:
    """The first of the evaluations [E] from which on success [S, E] is at least a level [S]."""
    good = np.minimum.accumulate(success[:, ::-1], 1)[:, ::-1] >= level
    return np.where(good.any(1), steps[good.argmax(1)], np.inf)


@dataclass(frozen=True)
class Options:
    """Measure the steps that steering or editing a cloned flow needs, beside learning anew."""

    seeds: int = 6
    """Number of seeds of each learner; the flow is the same."""
    steps: int = 8_000
    """Environment steps, of which one chunk of actions takes up to four."""
    cloning: int = 3_000
    """Gradient steps of the flow."""
    out: Path = Path(".reproductions/steering")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce steering", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, cloning=chosen.cloning)
    k_clone, k_run = jax.random.split(jax.random.key(0))
    flow = cloner(CHUNK, 5, (64, 64))
    params = jax.jit(lambda key: flow.learn(key, chosen.cloning))(k_clone)
    keys, rows = jax.random.split(k_run, chosen.seeds), []
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, (make, env, hp, put) in tqdm(trials(flow, params, chosen.steps // CHUNK).items()):
        train = make_train(make, env, hp, chosen.steps // CHUNK, 12, 50, put)
        at = lambda rate, key, train=train, hp=hp: train(key, hp.replace(learning_rate=rate))
        run = jax.jit(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))
        metrics = run(jnp.array(RATES), keys).metrics
        steps = CHUNK * np.asarray(metrics["env_steps"])[0, 0]
        success = np.asarray(metrics["evaluation_return"])  # [rates, seeds, evaluations]
        best = int(success.mean((1, 2)).argmax())
        needed = steps_to(0.9, steps, success[best])
        mean, low, high = interval(success[best][:, -1])
        rows.append(
            {"learner": name, "learning rate": RATES[best],
             "seeds that get there": f"{int(np.isfinite(needed).sum())} of {chosen.seeds}",
             "steps to 90 %, median": float(np.median(needed)), "most": float(needed.max()),
             "final success": mean, "low": low, "high": high}
        )  # fmt: skip
        band(axes, steps, success[best], name)
    axes.axhline(0.9, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="environment steps", ylabel="success", title="To the rarer of two places")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
