"""Smooth values in place of an ensemble of models, in MBPO (Zheng et al. 2023).

The paper claims that an ensemble helps because it makes values smooth, and that one model does as
well if values are made smooth by bounded spectral norms, or by robustness to the worst observations
nearby: |T V - T' V| <= gamma L W1(P, P') bounds the error of a backup in a model by the Lipschitz
constant L of the values. MBPO learns to hold a van der Pol oscillator within few steps, in rollouts
of eight steps, with five networks, with one, and with one and either of the two. Each has the best
of three settings for other seeds. The table has the Bellman gap |T V - T' V| between the
true simulator and the model, and the local slope of V, where the policy goes at the end.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import envs
from agents import mbpo, sac
from experiments import options
from experiments.reproductions.curves import Choice, Trial, choose, panels
from experiments.reproductions.dictionaries import visited
from experiments.reproductions.report import save
from jaxrl import lipschitz, models, values
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.models.diagnostics import bellman_gap
from jaxrl.settings import Collection, Layers, Replay
from jaxrl.types import Actor, Agent, Array, Key, Spec, Tree

TITLE = "MBPO with an ensemble of models, or with one model and smooth values"
RATES, TIME_STEP = (3e-4, 1e-3, 3e-3), 0.1
HORIZON = 8  # steps of a rollout in the model
COMMON: dict[str, Any] = dict(
    collection=Collection(warmup=100),
    replay=Replay(batch_size=64, buffer_size=2_000),
    network=Layers(hidden=(32, 32)),
    model_hidden=(64, 64), horizon=HORIZON, real_share=0.0, dreams=1, discount=0.97,
    initial_temperature=0.1, learning_rate=1e-3,
)  # fmt: skip


class Run(NamedTuple):
    """A variant, and the settings that it is tuned over."""

    fixed: dict[str, Any]
    tuned: tuple[dict[str, float], ...]


ONE: dict[str, Any] = dict(members=1, elites=1)
RUNS: dict[str, Run] = {
    "five models": Run(dict(members=5, elites=3), tuple({"learning_rate": r} for r in RATES)),
    "one model": Run(ONE, tuple({"learning_rate": r} for r in RATES)),
    "one model, spectral norms": Run(
        ONE | dict(spectral=True), tuple({"spectral_bound": b} for b in (2.0, 4.0, 8.0))
    ),
    "one model, robust values": Run(
        ONE | dict(ascent_steps=3), tuple({"robustness": s} for s in (0.1, 1.0, 10.0))
    ),
}


@dataclass(frozen=True)
class Options:
    """Train MBPO with an ensemble of models, and with one model and smooth values."""

    seeds: int = 6
    """Number of seeds of each run; two more choose the settings."""
    steps: float = 700
    """Number of environment steps of each run."""
    updates: int = 10
    """Gradient steps of the model, and of actor and critics, per environment step."""
    out: Path = Path(".reproductions/lipschitz")
    """Folder in which the table, the numbers and the picture are written."""


class View(NamedTuple):
    """What the learner and its model are read as."""

    learner: Tree
    world: Tree
    bound: Array  # of the spectral norms, [] as it may be traced


def transparent(spec: Spec, hp: mbpo.Hyperparameters) -> Agent:
    """MBPO whose view has the model too."""
    agent, world = mbpo.mbpo(spec, hp), mbpo.world_of(spec, hp)

    def of_learner(actor: Actor) -> Actor:
        return actor._replace(step=lambda view, *rest: actor.step(view.learner, *rest))

    def read(state: Tree) -> View:
        return View(
            agent.update.read(state),
            world.update.read(state.inner.model),
            jnp.asarray(hp.spectral_bound),
        )

    update = agent.update._replace(read=read)
    return Agent(of_learner(agent.explore), of_learner(agent.exploit), update)


def measured(hp: mbpo.Hyperparameters, view: View, key: Key) -> dict[str, Array]:
    """The Bellman gap of the model and the slope of the value, where the policy goes.

    The value is the least of the critics, of the most likely action.
    """
    env = scale_actions(envs.van_der_pol(time_step=TIME_STEP))
    truth = models.true_model(env, lambda obs, key: obs)
    hp = hp.replace(spectral_bound=view.bound)
    net = sac.networks(env.spec, hp, values.critic(hp.critic))
    k_visit, k_gap = jax.random.split(key)
    params = view.learner.params
    mode = lambda obs: net.pi(params, obs).mode()
    value = lambda obs: net.each(params, obs, mode(obs)).min(-1)
    obs = visited(env, transparent(env.spec, hp).exploit, view, k_visit)[::16]
    model = mbpo.world_of(env.spec, hp).model(view.world)
    gap = bellman_gap(model, truth, value, obs, mode(obs), hp.discount, k_gap, draws=64)
    return {"gap": gap.mean(), "slope": lipschitz.slope(value, obs).mean()}


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce lipschitz", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, updates=chosen.updates)
    env = envs.make("van-der-pol", time_step=TIME_STEP, max_steps_in_episode=100)
    found: dict[tuple[str, str], Choice] = {}
    for name, run in RUNS.items():
        hp = mbpo.Hyperparameters().replace(**COMMON, **run.fixed, updates=chosen.updates)
        trial = Trial(transparent, env, hp, chosen.steps, 10)
        observe = partial(measured, hp)
        found[f"{HORIZON} steps", name] = choose(trial, run.tuned, chosen.seeds, observe=observe)
    curves = {names: choice.curve for names, choice in found.items()}
    rows, figure = panels(curves, ("rollouts", "run"), same_scale=True)
    for row, choice in zip(rows, found.values()):
        [(setting, value)] = choice.setting.items()
        last = {what: choice.metrics[what][:, -3:].mean() for what in ("gap", "slope")}
        row |= {"setting": f"{setting} {value:g}", "Bellman gap": float(last["gap"]),
                "slope": float(last["slope"])}  # fmt: skip
    save(chosen.out, TITLE, rows, figure)
