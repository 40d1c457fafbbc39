"""Sparse dynamics, control in them and sparse policies, on two oscillators (SINDy-RL).

Zolman et al. (2024), "SINDy-RL: interpretable and efficient model-based reinforcement learning",
claim control after far fewer steps than without a model, and policies that are distilled into
dictionaries. Here the true dynamics are in the library, so that a surrogate can be exact: a van der
Pol oscillator that is held at rest, and the fishing of prey and predators. SINDy-Dyna is compared
with PPO that updates as often and with SAC at equal numbers of environment steps, each at the best
of three learning rates for two other seeds, and with controls that are descended through the true
equations. Half of the rollouts in the surrogate start anywhere in the region of the data, because a
policy that holds a system still would forget the way there. Training goes on after control is
found, so that a decay of policies would show. Then the policies of SINDy-Dyna are distilled, as in
`dictionaries`.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import envs
from agents import AGENTS, ppo
from experiments import options
from experiments.plots import band
from experiments.reproductions.curves import Choice, Curve, Trial, choose, final, reached
from experiments.reproductions.dictionaries import DEGREES, compressed, visited
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.evaluation import evaluate
from jaxrl.settings import Collection, Layers, Replay
from jaxrl.types import Array, Env, Key, Tree

TITLE = "Control of two oscillators in sparse surrogates, and as sparse policies"
SYSTEMS = {"van-der-pol": (0.98, 3), "lotka-volterra": (0.99, 2)}
"""Environments, and in each the discount factor and the degree of the surrogate's polynomials."""
LENGTH = 100  # steps of an episode, each of a tenth of the unit of time
RATES = (3e-4, 1e-3, 3e-3)
DISTILLED = "SINDy-Dyna"  # the run whose policies are distilled
GAINS = ("gain on it at last", "low gain", "high gain")
WINDOW = 3  # evaluations that a final or a best return is the mean of


@dataclass(frozen=True)
class Options:
    """Control oscillators in sparse surrogates, and distil the policies."""

    seeds: int = 6
    """Number of seeds of each run; two more choose learning rates and thresholds."""
    steps: float = 1e4
    """Number of environment steps of SINDy-Dyna and SAC; PPO takes five times as many."""
    out: Path = Path(".reproductions/sparse-control")
    """Folder in which the table, the numbers and the picture are written."""


def optimum(env: Env, key: Key, starts: int = 512, iterations: int = 500) -> Array:
    """The mean return of controls that are descended through the simulator, from random starts.

    Each start has its own LENGTH controls, by Adam: a local optimum of the true problem.
    """
    keys = jax.random.split(key, starts)
    state, _ = jax.vmap(env.init)(keys)

    def returned(controls: Array) -> Array:
        def step(state: Tree, action: Array) -> tuple[Tree, Array]:
            state, now = jax.vmap(env.step)(state, jnp.tanh(action), keys)
            return state, now.reward

        return jax.lax.scan(step, state, controls)[1].sum(0)

    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, iterations))

    def descend(carry: tuple, _: None) -> tuple[tuple, None]:
        controls, moments = carry
        slope = jax.grad(lambda x: -returned(x).sum())(controls)
        change, moments = optimiser.update(slope, moments)
        return (optax.apply_updates(controls, change), moments), None

    first = jnp.zeros((LENGTH, starts, 1))
    (controls, _), _ = jax.lax.scan(descend, (first, optimiser.init(first)), None, iterations)
    return returned(controls).mean()


def distilled(env: Env, hp: Any, view: Tree, key: Key) -> dict[str, Array]:
    """The return of a policy of PPO and those of dictionaries of it, with their sizes."""
    policy = ppo.ppo(env.spec, hp).exploit
    k_visit, k_play = jax.random.split(key)
    obs = visited(env, policy, view, k_visit)
    found = {"policy": evaluate(env, policy, view, k_play, 16, LENGTH).returns.mean()}
    for degree in DEGREES:
        returns, terms = compressed(env, policy, view, obs, degree, jnp.full(2, 2.0), k_play)
        found |= {f"{degree} return": returns, f"{degree} terms": terms}
    return found


def trials(env: Env, discount: float, degree: int, steps: float) -> dict[str, Trial]:
    """The agents that are compared."""
    collection = Collection(num_envs=4, rollout_length=125, warmup=500)
    sindy, proximal, sac = (AGENTS[name] for name in ("sindy", "ppo", "sac"))
    inside = sindy.defaults.replace(
        collection=collection,
        discount=discount,
        entropy_coefficient=0.0,
        threshold=0.005,
        degree=degree,
        decay=1.0,
    )
    often = proximal.defaults.replace(
        collection=replace(collection, warmup=0), discount=discount, entropy_coefficient=0.0,
        minibatches=5, epochs=10, decay=1.0,
    )  # fmt: skip
    replayed = sac.defaults.replace(
        collection=Collection(warmup=500), discount=discount, schedule="linear", decay=1.0,
        replay=Replay(batch_size=64, buffer_size=20_000), network=Layers(hidden=(64, 64)),
    )  # fmt: skip
    constant = inside.replace(schedule="constant", decay=0.0)
    return {
        DISTILLED: Trial(sindy.make, env, inside, steps, 19),
        "SINDy-Dyna, constant rate": Trial(sindy.make, env, constant, steps, 19),
        "PPO": Trial(proximal.make, env, often, 5 * steps, 20),
        "SAC": Trial(sac.make, env, replayed, steps, 19),
    }


def best(curve: Curve) -> tuple[float, np.ndarray]:
    """The best mean of WINDOW evaluations in a row, and what each seed [S] gains on it at last.

    The gain is from the evaluations that are best in the mean of all seeds to the last ones.
    """
    window = np.lib.stride_tricks.sliding_window_view(curve.returns, WINDOW, 1).mean(-1)
    top = int(window.mean(0).argmax())
    return float(window[:, top].mean()), window[:, -1] - window[:, top]


def row(system: str, run: str, numbers: float, found: tuple, **more: float) -> dict[str, Any]:
    """A row of the table, in which what is not told is empty."""
    blank = ("return at equal steps", "steps to 10 %", "best return", *GAINS)
    told = dict.fromkeys(blank, "") | more
    value, low, high = found
    return {"system": system, "run": run, "numbers": numbers, "final return": value, "low": low,
            "high": high, **told}  # fmt: skip


def learnt(system: str, run: str, choice: Choice, steps: float, level: float) -> dict[str, Any]:
    """The row of an agent."""
    curve, size = choice.curve, (2 * 64 + 64) + (64 * 64 + 64) + (64 + 1)  # of the policy's mean
    top, gain = best(curve)
    there = (curve.steps > 0.8 * steps) & (curve.steps <= steps)
    equal = float(curve.returns[:, there].mean())
    return row(
        system, f"{run}, rate {choice.setting['learning_rate']:g}", float(size), final(curve),
        **{"return at equal steps": equal, "steps to 10 %": reached(curve, level),
           "best return": top, **dict(zip(GAINS, interval(gain)))},
    )  # fmt: skip


def dictionaries(system: str, choice: Choice) -> list[dict[str, Any]]:
    """The rows of dictionaries of each degree, at the threshold that is best for other seeds."""
    rows = []
    for degree in DEGREES:
        top = int(choice.before[f"{degree} return"][:, -1].mean(0).argmax())
        returns = choice.metrics[f"{degree} return"][:, -1, top]
        terms = float(choice.metrics[f"{degree} terms"][:, -1, top].mean())
        rows.append(row(system, f"dictionary, degree {degree}", terms, interval(returns)))
    return rows


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce sparse-control", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    figure, panels = plt.subplots(1, len(SYSTEMS), figsize=(11, 4), layout="constrained")
    rates, rows = [{"learning_rate": rate} for rate in RATES], []
    for axes, (name, (discount, degree)) in zip(panels, SYSTEMS.items()):
        env = envs.make(name, time_step=0.1, max_steps_in_episode=LENGTH)
        scaled = scale_actions(env)
        bound = float(jax.jit(partial(optimum, scaled))(jax.random.key(2)))
        rows.append(row(name, "descent through the true equations", LENGTH, (bound, bound, bound)))
        for run, trial in trials(env, discount, degree, chosen.steps).items():
            observe = partial(distilled, scaled, trial.hp) if run == DISTILLED else None
            choice = choose(trial, rates, chosen.seeds, observe=observe)
            rows.append(learnt(name, run, choice, chosen.steps, 1.1 * bound))
            if observe:
                terms = 3 * float(choice.metrics["model_terms"][:, -1].mean())
                rows.append(row(name, "terms of the surrogate", terms, ("", "", "")))
                rows.extend(dictionaries(name, choice))
            band(axes, choice.curve.steps, choice.curve.returns, run)
        axes.axhline(bound, color="black", linewidth=0.8, linestyle=":", label="descent")
        axes.set(xlabel="environment steps", title=name, xscale="log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("evaluation return")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
