"""Rollouts that a learnt reward of dynamics filters, inside the data and outside of them (MOREC).

Luo et al. (2024), "Reward-consistent dynamics models are strongly generalizable for offline RL",
claim that rollouts filtered by discriminators of real and proposed successors are more accurate
where the data end. An ensemble of five Gaussian networks learns a damped, driven oscillator with a
soft wall from transitions of its left half. Open-loop rollouts of ten steps begin in the left half,
which half of them have left after five steps, or in the right one. Beside the filter are a random
member, the mean of the members, and an oracle that takes the proposal nearest to the truth.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import models
from jaxrl.errors import require_positive
from jaxrl.models.consistency import dynamics_reward, judged, jury
from jaxrl.models.diagnostics import error_curve
from jaxrl.types import Array, Box, Key, Spec, Transition, Tree

TITLE = "Root of the mean squared error of rollouts, over ten steps"
SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
RATES, LENGTH, STARTS = (1e-3, 3e-3), 10, 256
PLACES = {"inside the data": (-2.0, -0.6), "outside": (0.6, 2.0)}


@dataclass(frozen=True)
class Options:
    """Filter rollouts of an ensemble by a learnt reward of dynamics."""

    seeds: int = 6
    """Number of data sets of each run; one more chooses the rate of the discriminators."""
    transitions: int = 600
    """Number of transitions of a data set."""
    updates: int = 1_600
    """Gradient steps of the model and of the discriminators."""
    out: Path = Path(".reproductions/filters")
    """Folder in which the table, the numbers and the picture are written."""


def truth(x: Array, action: Array) -> Array:
    """The next place and speed [..., 2] of the oscillator, under actions [..., 1]."""
    place, speed = x[..., 0], x[..., 1]
    force = -2.0 * jnp.sin(2.0 * place) - 0.3 * speed - 3.0 * jax.nn.softplus(4 * place - 6)
    speed = speed + 0.15 * (force + 1.5 * action[..., 0])
    return jnp.stack([place + 0.15 * speed, speed], -1)


def steps(key: Key, size: int, low: float, high: float, length: int = 1) -> Transition:
    """Sequences [length, size] of random actions from random states."""
    k_place, k_speed, k_action = jax.random.split(key, 3)
    place = jax.random.uniform(k_place, (size,), minval=low, maxval=high)
    speed = jax.random.uniform(k_speed, (size,), minval=-1.5, maxval=1.5)
    actions = jax.random.uniform(k_action, (length, size, 1), minval=-1)

    def onward(x: Array, action: Array) -> tuple[Array, tuple[Array, Array]]:
        new = truth(x, action)
        return new, (x, new)

    _, (obs, final) = jax.lax.scan(onward, jnp.stack([place, speed], -1), actions)
    one = jnp.ones((length, size))
    # The reward, which no choice uses, is the speed: a constant would be fitted before all else.
    return Transition(obs, actions, final[..., 1], one, one < 0, final, (), one)


def run(transitions: int, updates: int, rate: Array, key: Key) -> dict[str, dict[str, Array]]:
    """The mean squared errors [LENGTH] by place and by choice."""
    dynamics = models.gaussian_mlp(SPEC, 5, (32, 32))
    fit = models.fitted(dynamics, models.likelihood, optax.adamw(2e-3, weight_decay=1e-5))

    def propose(view: Tree, batch: Transition, key: Key) -> Array:
        k_enter, k_step = jax.random.split(key)
        model = models.ensemble_model(dynamics, view, models.random_member())
        return model.step(model.enter(batch.obs, k_enter), batch.action, k_step)[1].final

    update = judged(fit, jury(SPEC, propose, optax.adam(rate), period=updates // 16))
    k_data, k_init, k_learn, k_test = jax.random.split(key, 4)
    data = jax.tree.map(lambda x: x[0], steps(k_data, transitions, -2.0, 0.0))

    def learn(state: Tree, key: Key) -> tuple[Tree, Array]:
        k_pick, k_update = jax.random.split(key)
        index = jax.random.randint(k_pick, (128,), 0, transitions)
        batch = jax.tree.map(lambda x: x[index], data)
        state, metrics = update.apply(state, (batch, ()), k_update)
        return state, metrics["jury_loss"]

    state = update.init(k_init, data)
    state, loss = jax.lax.scan(learn, state, jax.random.split(k_learn, updates))
    view = update.read(state)
    score = dynamics_reward(SPEC, view.jury)
    nearest = lambda obs, action, final: -jnp.square(final - truth(obs, action)).sum(-1)
    choices = {
        "random member": models.random_member(),
        "mean": models.average(),
        "filter, highest": models.best_scored(score),
        "filter, softmax": models.best_scored(score, temperature=0.1),
        "oracle": models.best_scored(nearest),
    }
    found: dict[str, dict[str, Array]] = {"": {"jury": loss[-100:].mean()}}
    for (place, (low, high)), k_place in zip(PLACES.items(), jax.random.split(k_test)):
        k_starts, k_roll = jax.random.split(k_place)
        sequences = steps(k_starts, STARTS, low, high, LENGTH)
        found[place] = {
            name: error_curve(
                models.ensemble_model(dynamics, view.fit, choice, noise=name != "mean"),
                sequences,
                k_roll,
            )
            for name, choice in choices.items()
        }
    return found


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce filters", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions)
    require_positive(updates=chosen.updates // 16)
    keys = jax.random.split(jax.random.key(0), chosen.seeds + 1)
    one = partial(run, chosen.transitions, chosen.updates)
    tried = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(jnp.array(RATES), keys)
    tried = jax.tree.map(np.asarray, tried)
    chance_level = 2 * np.log(2)
    rows, figure = [], plt.figure(figsize=(11, 4.2), layout="constrained")
    for axes, place in zip(figure.subplots(1, 2), PLACES):
        errors = tried[place]
        # The rate that is best here on one other data set: generous to the filter.
        aim = errors["filter, highest"][:, :1].mean((1, 2))
        best = int(np.sqrt(aim).argmin())
        for name, error in errors.items():
            curves = np.sqrt(error[best, 1:])
            band(axes, np.arange(1, LENGTH + 1), curves, name)
            mean, low, high = interval(np.sqrt(error[best, 1:].mean(-1)))
            rows.append({"rollouts begin": place, "choice": name, "rate": RATES[best],
                         "error": mean, "low": low, "high": high})  # fmt: skip
        axes.set(xlabel="steps", ylabel="root mean squared error", yscale="log", title=place)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    share = float((tried[""]["jury"][:, 1:] / chance_level).mean())
    title = f"{TITLE} (loss of the discriminators: {share:.2f} of that of a coin)"
    save(chosen.out, title, rows, figure)
