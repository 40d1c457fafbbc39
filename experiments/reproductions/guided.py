"""Policy-guided diffusion imagines further than a model of single steps (Jackson et al. 2024).

A point with a velocity in a field of swirls was driven by noisy behaviour to one place, and is to
be imagined under a policy to another one. A diffusion model of trajectories that the policy leads
makes all steps at once; an ensemble of models of single steps, as that of MBPO or by squared error,
makes one after another, with actions between those of the behaviour and those of the policy. All
learn from the same trajectories. The error at a depth is the distance of the imagined state from
the true one after the imagined actions.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import models
from jaxrl.errors import require_positive
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import descend, polyak

TITLE = "Distance of imagined states from true ones, and likelihood of actions, in 16 steps"
LENGTH, TRAJECTORIES, STARTS, NOISE = 16, 2_000, 500, 0.3
BEHAVIOUR, TARGET = jnp.array([0.8, 0.8]), jnp.array([-0.8, 0.8])
SPEC = Spec(jax.ShapeDtypeStruct((4,), jnp.float32), Box(-jnp.ones(2), jnp.ones(2)))
WEIGHTS = (0.0, 1.0, 2.0, 4.0, 8.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def after(state: Array, action: Array) -> Array:
    """The next state [..., 4], a place and a velocity, after an action [..., 2]."""
    place, speed = state[..., :2], state[..., 2:]
    swirl = jnp.stack([jnp.sin(4 * place[..., 1]), jnp.cos(5 * place[..., 0])], -1)
    speed = 0.8 * speed + 0.1 * jnp.clip(action, -1, 1) + 0.05 * swirl
    return jnp.concatenate([place + 0.5 * speed, speed], -1)


def seeking(goal: Array, obs: Array) -> Array:
    """The action [..., 2] that drives to a goal."""
    return jnp.clip(1.5 * (goal - obs[..., :2]) - 2.0 * obs[..., 2:], -1, 1)


def reward(state: Array) -> Array:
    """Minus the distance [...] to the target."""
    return -jnp.linalg.norm(state[..., :2] - TARGET, axis=-1)


def starts(key: Key, number: int) -> Array:
    """Initial states [number, 4] at rest, anywhere in a square."""
    place = jax.random.uniform(key, (number, 2), minval=-1.0)
    return jnp.concatenate([place, jnp.zeros((number, 2))], -1)


def logged(key: Key) -> Transition:
    """Trajectories [L, N] of the noisy behaviour."""
    k_start, k_noise = jax.random.split(key)

    def step(state: Array, key: Key) -> tuple[Array, Transition]:
        noise = NOISE * jax.random.normal(key, (*state.shape[:-1], 2))
        action = jnp.clip(seeking(BEHAVIOUR, state) + noise, -1, 1)
        new, one = after(state, action), jnp.ones(len(state))
        return new, Transition(state, action, reward(new), one, one < 0, new, (), one)

    first = starts(k_start, TRAJECTORIES)
    return jax.lax.scan(step, first, jax.random.split(k_noise, LENGTH))[1]


def log_prob(view: Tree, obs: Array, action: Array) -> Array:
    """The log-probability [...] of actions under N(policy, 1), without its constant."""
    return -0.5 * jnp.square(action - seeking(TARGET, obs)).sum(-1)


def judged(made: Transition) -> tuple[Array, Array]:
    """The distances [L] of imagined places from true ones, and the mean log-probability []."""

    def step(state: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        state = after(state, now[0])
        return state, jnp.linalg.norm((state - now[1])[..., :2], axis=-1).mean()

    error = jax.lax.scan(step, made.obs[0], (made.action, made.final))[1]
    return error, log_prob((), made.obs, made.action).mean()


def diffused(key: Key, steps: int) -> tuple[Array, Array]:
    """The errors [W, L] and log-probabilities [W] of guided trajectories, by weight."""
    k_data, k_init, k_learn, k_start, k_make = jax.random.split(key, 5)
    data = logged(k_data)
    model = models.trajectories(
        SPEC, LENGTH, models.scale_of(data), log_prob, Layers((256, 256)), steps=20
    )

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        return model.loss(params, batch, key).mean(), {}

    rule = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    update = descend(model.init, loss, rule, polyak(0.01))

    def learn(state: Tree, key: Key) -> tuple[Tree, None]:
        k_draw, k_step = jax.random.split(key)
        index = jax.random.randint(k_draw, (128,), 0, TRAJECTORIES)
        batch = jax.tree.map(lambda x: x[:, index], data)
        return update.apply(state, batch, k_step)[0], None

    state = jax.lax.scan(learn, update.init(k_init, data), jax.random.split(k_learn, steps))[0]
    first, params = starts(k_start, STARTS), update.read(state).target
    make = lambda weight: judged(model.branched(params, (), weight, first, k_make))
    return jax.lax.map(make, jnp.array(WEIGHTS))


def stepped(key: Key, steps: int, noise: bool) -> tuple[Array, Array]:
    """The errors [S, L] and log-probabilities [S] of an ensemble's rollouts, by share.

    Its members predict distributions, or points by squared error if there is no `noise`.
    """
    k_data, k_init, k_learn, k_start, k_make = jax.random.split(key, 5)
    data = logged(k_data)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)
    make_dynamics = models.gaussian_mlp if noise else models.deterministic_mlp
    dynamics = make_dynamics(SPEC, 5, (128, 128))
    rule = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    loss = models.likelihood if noise else models.squared_error
    update = models.fitted(dynamics, loss, rule)

    def learn(state: Tree, key: Key) -> tuple[Tree, None]:
        k_draw, k_step = jax.random.split(key)
        index = jax.random.randint(k_draw, (256,), 0, LENGTH * TRAJECTORIES)
        batch = jax.tree.map(lambda x: x[index], flat)
        return update.apply(state, (batch, ()), k_step)[0], None

    state = jax.lax.scan(learn, update.init(k_init, flat), jax.random.split(k_learn, steps))[0]
    model = models.ensemble_model(dynamics, update.read(state), models.random_member(), noise)
    first = starts(k_start, STARTS)

    def make(share: Array) -> tuple[Array, Array]:
        def act(view: Tree, obs: Array, key: Key) -> tuple[Array, tuple]:
            change = (1 - share) * NOISE * jax.random.normal(key, (len(obs), 2))
            mean = share * seeking(TARGET, obs) + (1 - share) * seeking(BEHAVIOUR, obs)
            return jnp.clip(mean + change, -1, 1), ()

        return judged(models.branched(model, memoryless(act), (), first, k_make, LENGTH)[0])

    return jax.lax.map(make, jnp.array(SHARES))


@dataclass(frozen=True)
class Options:
    """Compare guided trajectories with rollouts of an ensemble, over the horizon."""

    seeds: int = 4
    """Number of data sets, with models of each."""
    steps: int = 3_000
    """Gradient steps of each model."""
    out: Path = Path(".reproductions/guided")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce guided", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    kinds = {
        "guided diffusion": (diffused, "weight", WEIGHTS),
        "ensemble, likelihood": (partial(stepped, noise=True), "share of the policy", SHARES),
        "ensemble, squared error": (partial(stepped, noise=False), "share of the policy", SHARES),
    }
    for name, (run, what, settings) in tqdm(kinds.items(), unit=" models"):
        found = jax.jit(jax.vmap(lambda key, run=run: run(key, chosen.steps)))(keys)
        error, likely = map(np.asarray, found)  # [seeds, settings, L], [seeds, settings]
        for i, setting in enumerate(settings):
            mean, low, high = interval(error[:, i, -1])
            rows.append(
                {"model": name, "setting": f"{what} {setting:g}",
                 "log-probability": float(likely[:, i].mean()),
                 "error after 1": float(error[:, i, 0].mean()),
                 "after 4": float(error[:, i, 3].mean()), "after 16": mean, "low": low,
                 "high": high}
            )  # fmt: skip
        for i in (0, 4):
            style = dict(linestyle="--" if run is diffused else "-")
            label = f"{name}, {what} {settings[i]:g}"
            band(left, np.arange(1, LENGTH + 1), error[:, i], label, **style)
        right.plot(likely.mean(0), error[:, :, -1].mean(0), marker="o", label=name)
    left.set(xlabel="depth", ylabel="distance from the true place", yscale="log")
    right.set(xlabel="log-probability of actions", ylabel="distance after 16 steps", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7)
    save(chosen.out, TITLE, rows, figure)
