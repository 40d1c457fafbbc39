"""Rewards of a classifier that errs, without resets: which of its errors hurt (RoboFuME).

Yang et al. (2023), https://arxiv.org/abs/2310.15145, learn from the verdicts of a classifier while
a robot goes forward and backward by itself. Here a point goes to one corner and back to the other,
each time from where it is, and is paid 1 where the classifier says that it has arrived. SAC learns
with several rates of false positives and of false negatives, and is evaluated by the truth. The
paper does not separate the two: that false positives are the worse ones is tried here. Then a
classifier is fitted to labelled examples, half of them of success, and both pays and ends the
tasks, of which nobody else knows when they are done.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from agents import sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.autonomy import Task, autonomous, by_verdict, classifier, misjudged
from jaxrl.environments import begun, vectorize
from jaxrl.errors import require, require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Env, Key, Spec, TimeStep
from jaxrl.updates import descend

TITLE = "True success of SAC without resets, by the errors of the classifier that pays it"
LIMIT, EPISODES, WARMUP = 40, 32, 400
RATES = ((0.0, 0.0), (0.05, 0.0), (0.2, 0.0), (0.0, 0.05), (0.0, 0.2))  # positives, negatives
EXAMPLES, FITTING, JUDGED = (16, 256), 500, 2_000


@dataclass(frozen=True)
class Options:
    """Learn without resets from rewards of a classifier that errs."""

    seeds: int = 6
    """Number of seeds of each run."""
    steps: int = 6_000
    """Environment steps of each run, a multiple of 4."""
    evaluations: int = 8
    """Evaluations of each run."""
    out: Path = Path(".reproductions/verdicts")
    """Folder in which the table, the numbers and the picture are written."""


def point() -> Env:
    """A point in a square of side 2, moved by at most 0.2 in each direction."""

    def init(key: Key) -> tuple[Array, TimeStep]:
        place = jax.random.uniform(key, (2,), minval=-1.0)
        return place, begun(place)

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        place = jnp.clip(place + 0.2 * action, -1.0, 1.0)
        return place, begun(place)

    one = jnp.ones(2)
    return Env(init, step, Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-one, one)))


def there(sign: float, obs: Array) -> Array:
    """Whether a place [..., 2] is within one of two corners."""
    return jnp.linalg.norm(obs - 0.7 * sign, axis=-1) < 0.2


def corner(sign: float) -> Task:
    """To go to one of two corners; arriving pays 1."""
    return Task(lambda obs: there(sign, obs).astype(jnp.float32), partial(there, sign))


def fitted_task(sign: float, examples: int, key: Key) -> tuple[Task, Array]:
    """The task of a corner by the verdict of a classifier of examples, and its error rates [2].

    Half of the examples are within the corner, and the others anywhere. The rates are of false
    positives and of false negatives among places that it has not seen.
    """
    k_fit, k_init, k_judge = jax.random.split(key, 3)

    def drawn(key: Key, number: int) -> tuple[Array, Array]:
        k_angle, k_radius, k_place = jax.random.split(key, 3)
        angle = 2 * jnp.pi * jax.random.uniform(k_angle, (number // 2,))
        radius = 0.2 * jnp.sqrt(jax.random.uniform(k_radius, (number // 2,)))
        around = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
        anywhere = jax.random.uniform(k_place, (number // 2, 2), minval=-1.0)
        obs = jnp.concatenate([0.7 * sign + around, anywhere])
        return obs, there(sign, obs)

    model = classifier(point().spec, Layers(hidden=(32, 32)))
    obs, labels = drawn(k_fit, examples)
    loss = lambda params, target, batch, key: (model.loss(params, obs, labels).mean(), {})
    update = descend(model.init, loss, optax.adam(1e-2))
    learn = lambda state, key: (update.apply(state, (), key)[0], None)
    k_init, k_steps = jax.random.split(k_init)
    keys = jax.random.split(k_steps, FITTING)
    params = jax.lax.scan(learn, update.init(k_init, ()), keys)[0].params
    probability = partial(model.probability, params)
    places, true = drawn(k_judge, JUDGED)
    said = probability(places) > 0.5
    share = lambda wrong, of: (wrong & of).sum() / of.sum()
    return by_verdict(probability), jnp.stack([share(said, ~true), share(~said, true)])


def by_rates(rates: Array, chosen: Options, key: Key) -> tuple[Array, ...]:
    """True success and length of an episode [evaluations], and the rates [2] of errors."""
    env = autonomous(point(), [corner(1.0), corner(-1.0)], LIMIT)
    return *learnt(misjudged(env, rates[0], rates[1]), chosen, key), rates


def by_examples(examples: int, chosen: Options, key: Key) -> tuple[Array, ...]:
    """The same for a classifier that is fitted to a number of examples of each task."""
    k_forward, k_backward, k_run = jax.random.split(key, 3)
    forward, rates = fitted_task(1.0, examples, k_forward)
    backward, _ = fitted_task(-1.0, examples, k_backward)
    env = autonomous(point(), [forward, backward], LIMIT)
    return *learnt(env, chosen, k_run), rates


def learnt(env: Env, chosen: Options, key: Key) -> tuple[Array, Array]:
    """True success and mean length of an episode [evaluations] of learning in an environment."""
    true = autonomous(point(), [corner(1.0), corner(-1.0)], LIMIT)
    hp = sac.Hyperparameters(
        num_envs=4, warmup=WARMUP, buffer_size=chosen.steps, batch_size=128, updates=4,
        hidden=(32, 32), layer_norm=True, learning_rate=1e-3, discount=0.95,
        initial_temperature=0.1, target_entropy=-0.5,
    )  # fmt: skip
    setup = assemble(sac.sac, env, hp, lanes=vectorize)
    rounds = (chosen.steps - WARMUP) // 4 // chosen.evaluations

    def block(run: Any, key: Key) -> tuple[Any, tuple[Array, Array]]:
        run, _ = advance(setup.experiment, run, rounds)
        view = setup.agent.update.read(run.learner)
        score = evaluate(true, setup.agent.exploit, view, key, EPISODES, LIMIT)
        return run, (score.returns.mean(), score.lengths.mean())

    k_run, k_judge = jax.random.split(key)
    keys = jax.random.split(k_judge, chosen.evaluations)
    return jax.lax.scan(block, setup.experiment.init(k_run), keys)[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce verdicts", Options, arguments)
    require_positive(seeds=chosen.seeds, evaluations=chosen.evaluations)
    require(
        chosen.steps % 4 == 0 and chosen.steps >= WARMUP + 4 * chosen.evaluations,
        f"steps must be a multiple of 4, and at least {WARMUP} and 4 for each evaluation.",
    )
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    one = lambda rates, key: by_rates(rates, chosen, key)
    run = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
    given = [np.asarray(x) for x in run(jnp.array(RATES), keys)]
    found = [(f"{a:g}, {b:g}", *(x[i] for x in given)) for i, (a, b) in enumerate(RATES)]
    for number in EXAMPLES:
        fitted = jax.jit(jax.vmap(partial(by_examples, number, chosen)))(keys)
        found.append((f"of {number} examples", *map(np.asarray, fitted)))
    rows = []
    figure, axes = plt.subplots(figsize=(8.5, 4), layout="constrained")
    at = np.linspace(WARMUP, chosen.steps, chosen.evaluations + 1)[1:]
    for name, curve, length, rates in found:
        mean, low, high = interval(curve[:, -1])
        positive, negative = rates.mean(0)
        rows.append({"classifier": name, "false positives": float(positive), "false negatives":
                     float(negative), "success": mean, "low": low, "high": high,
                     "steps": float(length[:, -1].mean())})  # fmt: skip
        band(axes, at, curve, name, linestyle="--" if name.startswith("of") else "-")
    axes.set(xlabel="environment steps", ylabel="true success", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", title="false positives, negatives", frameon=False)
    save(chosen.out, TITLE, rows, figure)
