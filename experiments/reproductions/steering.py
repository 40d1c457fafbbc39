"""A cloned flow is steered by its noise after few steps (Wagenmaker et al. 2025).

A point starts left of a disc and finds two places behind it. Of the demonstrations one in five goes
to the upper place, which alone is paid, with 1 at the end of the episode. A flow clones chunks of
four actions. SAC then acts in the space of the flow's noise, with and without critics of the
actions that the noise makes; edits what the flow does; or begins without it. All act by chunks, and
have the same networks, number of gradient steps, and the best of the same learning rates.
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
from agents import dsrl, sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.places import cloner, world
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import generators, make_train
from jaxrl.errors import require_continuous, require_positive
from jaxrl.types import Array, Env, Key, TimeStep, Tree

TITLE = "Environment steps to 90 % success in reaching the rarer of two places"
RATES = (1e-3, 3e-3)
BOUND, EDIT, CHUNK, DISCOUNT = 1.5, 0.5, 4, 0.97


def residual(env: Env, act: Callable[[Tree, Key], Array]) -> Env:
    """Edit the actions of a policy, which are shown: a step is clip(action + EDIT times edit)."""

    def show(state: Tree, ts: TimeStep, key: Key) -> tuple[Tree, TimeStep]:
        action = act(ts.obs, key)
        seen = jnp.concatenate([ts.obs, action.reshape(-1)])
        return (state, action), ts._replace(obs=seen, final=seen)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        k_env, k_act = jax.random.split(key)
        return show(*env.init(k_env), k_act)

    def step(state: Tree, edit: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_env, k_act = jax.random.split(key)
        state, action = state
        return show(*env.step(state, jnp.clip(action + EDIT * edit, -1, 1), k_env), k_act)

    observation = jax.ShapeDtypeStruct((2 + 2 * CHUNK,), jnp.float32)
    return env._replace(init=init, step=step, spec=env.spec._replace(observation=observation))


def trials(policy: generators.GeneratedPolicy, params: Tree, steps: int) -> dict[str, tuple]:
    """The constructor, the environment and the hyperparameters of each way to learn.

    Environments and steps are of chunks.
    """
    env = envs.chunked(world(), CHUNK)
    decode = generators.steered(policy, params, BOUND)
    act = lambda obs, key: policy.sample(params, obs, key)
    shared: dict[str, Any] = dict(
        num_envs=4, updates=8, warmup=400, batch_size=64, hidden=(64, 64), layer_norm=True,
        discount=DISCOUNT**CHUNK, target_rate=0.02, initial_temperature=0.1, target_entropy=-1.0,
        buffer_size=4 * steps,
    )  # fmt: skip
    agent = sac.Hyperparameters(**shared)
    aliasing = dsrl.Hyperparameters(**shared, bound=BOUND, aliases=2)
    latents = require_continuous(env.spec, "Steering")
    return {
        "SAC": (sac.sac, env, agent),
        "edits of the flow": (sac.sac, residual(env, act), agent),
        "noise of the flow": (sac.sac, envs.decoded(env, decode, latents), agent),
        "noise, critics of actions": (
            partial(dsrl.dsrl, decode=decode), envs.decoded(env, decode, latents, True), aliasing,
        ),
    }  # fmt: skip


def steps_to(level: float, steps: np.ndarray, success: np.ndarray) -> np.ndarray:
    """The first of the evaluations [E] from which on success [S, E] is at least a level [S]."""
    good = np.minimum.accumulate(success[:, ::-1], 1)[:, ::-1] >= level
    return np.where(good.any(1), steps[good.argmax(1)], np.inf)


@dataclass(frozen=True)
class Options:
    """Measure the steps that steering a cloned flow needs, beside edits and learning anew."""

    seeds: int = 4
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
    for name, (make, env, hp) in tqdm(trials(flow.policy, params, chosen.steps // CHUNK).items()):
        train = make_train(make, env, hp, chosen.steps // CHUNK, 12, 50)
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
