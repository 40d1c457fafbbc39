"""Offline learning on Pendulum with the simulator itself as the model, after Sims et al. (2024).

The data are random torques while the pole hangs below the horizontal. Rollouts of one step from
there, in the true dynamics, bootstrap from states above it, at which no critic is ever trained. The
length of rollouts and the number of critics are varied; `edge` has the tabular half of the paper.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import models, values
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance
from jaxrl.models import Model
from jaxrl.offline import offline
from jaxrl.types import Array, Env, Key, Transition, Tree, listed
from jaxrl.updates import repeated, replay

TITLE = "SAC in rollouts of the true Pendulum from states below the horizontal (online: -140)"
SETTINGS = {  # steps of a rollout, critics
    "1 step, minimum of 2": (1, 2),
    "1 step, minimum of 10": (1, 10),
    "16 steps, minimum of 2": (16, 2),
}
ROUNDS = 12


@dataclass(frozen=True)
class Options:
    """Train SAC offline, in short rollouts of the true simulator."""

    seeds: int = 4
    """Number of seeds of each run."""
    updates: int = 12_000
    """Number of gradient steps of each run."""
    out: Path = Path(".reproductions/reach")
    """Folder in which the table, the numbers and the picture are written."""


def simulator() -> tuple[Env, Model]:
    """Pendulum, and the same as a model without a time limit."""
    env = scale_actions(envs.make("Pendulum-v1"))
    blank, _ = env.init(jax.random.key(0))

    def locate(obs: Array, key: Key) -> Tree:
        angle = jnp.arctan2(obs[1], obs[0])
        return blank.replace(theta=angle, theta_dot=obs[2])

    model = models.true_model(env, locate)
    endless = lambda now: now._replace(last=jnp.zeros_like(now.last), discount=1.0 + 0 * now.reward)
    return env, models.model.map_step(model, endless)


def below(env: Env, model: Model, size: int, key: Key) -> Transition:
    """Transitions [size, 1, ...] of random torques in random states below the horizontal."""
    k_angle, k_speed, k_torque, k_step = jax.random.split(key, 4)
    angle = jax.random.uniform(k_angle, (size,), minval=jnp.pi / 2, maxval=1.5 * jnp.pi)
    speed = jax.random.uniform(k_speed, (size,), minval=-4, maxval=4)
    obs = jnp.stack([jnp.cos(angle), jnp.sin(angle), speed], -1)
    action = jax.random.uniform(k_torque, (size, 1), minval=-1, maxval=1)
    _, now = model.step(model.enter(obs, k_step), action, k_step)
    one = jnp.ones(size)
    data = Transition(obs, action, now.reward, one, one > 0, now.final, (), one)
    return jax.tree.map(lambda x: x[:, None], data)


def trained(length: int, critics: int, updates: int, key: Key) -> tuple[Array, Array]:
    """The estimated values [ROUNDS] and the true returns [ROUNDS] during training."""
    env, model = simulator()
    hp = sac.Hyperparameters(buffer_size=10_000, warmup=10_000, discount=0.97)
    hp = hp.replace(ensemble=values.Ensemble(critics))
    base = sac.learner(env.spec, hp)

    def imagined(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        k_dream, k_learn = jax.random.split(key)
        starts = batch.obs[: hp.replay.batch_size // length]
        view = base.update.read(state)
        made, _ = models.branched(model, base.explore, view, starts, k_dream, length)
        return base.update.apply(state, listed(made), k_learn)

    update = repeated(base.update._replace(apply=imagined), 10)
    agent = base._replace(update=replay(update, 10_000, hp.replay.batch_size))
    k_data, k_init, k_play = jax.random.split(key, 3)
    data = below(env, model, 10_000, k_data)
    experiment = offline(agent, data)
    networks = sac.networks(env.spec, hp, values.scalar())

    def block(run: Tree, _: None) -> tuple[Tree, tuple[Array, Array]]:
        run, _ = advance(experiment, run, updates // (10 * ROUNDS))
        view = agent.update.read(run.learner)
        action = networks.pi(view.params, data.obs[:500, 0]).mode()
        estimate = networks.q(view.params, data.obs[:500, 0], action).min(-1).mean()
        score = evaluate(env, agent.exploit, view, k_play, 16, 200).returns.mean()
        return run, (estimate, score)

    return jax.lax.scan(block, experiment.init(k_init), None, ROUNDS)[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce reach", Options, arguments)
    require_positive(seeds=chosen.seeds, updates=chosen.updates)
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    steps = np.arange(1, ROUNDS + 1) * (chosen.updates // ROUNDS)
    for name, (length, critics) in tqdm(SETTINGS.items(), unit=" runs"):
        run = jax.jit(jax.vmap(partial(trained, length, critics, chosen.updates)))
        estimate, score = (np.asarray(x) for x in run(keys))
        band(left, steps, estimate, name)
        band(right, steps, score, name)
        final, _, _ = interval(estimate[:, -1])
        mean, low, high = interval(score[:, -1])
        rows.append({"setting": name, "estimated value": final, "return": mean, "low": low,
                     "high": high})  # fmt: skip
    left.axhline(0, color="black", linewidth=0.8, linestyle=":")
    left.set(xlabel="gradient steps", ylabel="estimated value", title="below the horizontal")
    right.set(xlabel="gradient steps", ylabel="return", title="in the environment")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
