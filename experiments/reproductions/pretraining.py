"""Features that are learnt from demonstrations of many tasks, and cloning of a new one from few.

Brandfonbrener et al. (2023) hold that predicting the action between two observations learns better
features for imitation of other tasks than cloning, forward prediction, contrast or reconstruction.
A point is pushed to a goal that is not seen, by demonstrations of 200 goals; what is seen are 16
random nonlinear functions of its place and of eight numbers that mean nothing and last. With the
features frozen, a linear policy is fitted to one to 20 demonstrations of a new goal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tried
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import representations as reps
from jaxrl.errors import require_positive
from jaxrl.representations.probes import predicted
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Transition

TITLE = "Share of new goals that are reached, by objective and number of demonstrations"
SEEN, NOISES, SIZE, TIME, STRIDE = 16, 8, 6, 16, 0.2
PERSISTENCE, TASKS, GOALS, STARTS = 0.9, 200, 8, 32
DEMONSTRATIONS = (1, 2, 5, 20)  # each a divisor of the last
RATES = (1e-3, 3e-3, 1e-2)
LAYERS = Layers((64,))
BOX = Box(-jnp.ones(2), jnp.ones(2))
SPEC = Spec(jax.ShapeDtypeStruct((SEEN,), jnp.float32), BOX)
OBJECTIVES = {
    "inverse": lambda e: reps.inverse_dynamics(e, SPEC, 1, LAYERS, "squared-error"),
    "cloning": lambda e: reps.action_chunks(e, SPEC, 1, LAYERS, "squared-error"),
    "ACT-JEPA": lambda e: reps.weighted_sum(
        [reps.action_chunks(e, SPEC, 4, LAYERS, "squared-error"),
         reps.joint_embedding(e, 4, LAYERS)], [1.0, 1.0]),
    "forward": lambda e: reps.forward_dynamics(e, SPEC, 1, LAYERS),
    "contrast": lambda e: reps.temporal_contrast(e, 1),
    "autoencoder": lambda e: reps.autoencoder(e, SPEC, LAYERS),
    "random network": lambda e: reps.weighted_sum([reps.autoencoder(e, SPEC, LAYERS)], [0.0]),
}  # fmt: skip
Features = Callable[[Array, Array], Array]
"""(places [..., 2], meaningless numbers [..., 8]) -> [..., D]."""
Act = Callable[[Array, Array, Array], Array]
"""(places [B, 2], meaningless numbers [B, 8], goals [B, 2]) -> actions [B, 2]."""
BARE = ("observations", "places")
"""What linear policies see without features: what is seen, and what nobody sees."""


@dataclass(frozen=True)
class Options:
    """Learn features from many tasks, and clone new ones from few demonstrations."""

    seeds: int = 6
    """Number of worlds and networks; two others choose the learning rate."""
    steps: int = 800
    """Number of gradient steps."""
    out: Path = Path(".reproductions/pretraining")
    """Folder in which the table, the numbers and the picture are written."""


def by_hand(place: Array, noise: Array, goal: Array) -> Array:
    """What demonstrations do."""
    return jnp.clip((goal - place) / STRIDE, -1.0, 1.0)


def world(key: Key) -> Features:
    """What is seen [..., 16] of places [..., 2] and meaningless numbers [..., 8]."""
    k_mix, k_bias = jax.random.split(key)
    mix = jax.random.normal(k_mix, (2 + NOISES, SEEN)) / jnp.sqrt(2.0)
    bias = jax.random.normal(k_bias, (SEEN,))
    return lambda place, noise: jnp.tanh(jnp.concatenate([2 * place, noise], -1) @ mix + bias)


def played(key: Key, goal: Array, act: Act) -> tuple[Array, Array, Array]:
    """Places [T + 1, B, 2], meaningless numbers [T + 1, B, 8] and actions [T, B, 2].

    `act(place, noise, goal)` is what is done, and a little noise of the hand is added.
    """
    k_place, k_noise, k_fresh, k_hand = jax.random.split(key, 4)
    lanes = goal.shape[0]
    first = jax.random.uniform(k_place, (lanes, 2), minval=-1.0)
    noise = jax.random.normal(k_noise, (lanes, NOISES))
    fresh = jax.random.normal(k_fresh, (TIME, lanes, NOISES)) * jnp.sqrt(1 - PERSISTENCE**2)
    hand = 0.2 * jax.random.normal(k_hand, (TIME, lanes, 2))

    def step(now: tuple, drawn: tuple) -> tuple[tuple, tuple]:
        place, noise = now
        action = jnp.clip(act(place, noise, goal) + drawn[1], -1.0, 1.0)
        place = jnp.clip(place + STRIDE * action, -1.0, 1.0)
        after = place, PERSISTENCE * noise + drawn[0]
        return after, (*after, action)

    _, (places, noises, actions) = jax.lax.scan(step, (first, noise), (fresh, hand))
    join = lambda x, rest: jnp.concatenate([x[None], rest])
    return join(first, places), join(noise, noises), actions


def judged(key: Key, features: Features) -> Array:
    """The share [demonstrations] of new goals that linear policies of features reach."""
    most = max(DEMONSTRATIONS)

    def one(number: Array, key: Key) -> Array:
        k_goal, k_show, k_try = jax.random.split(key, 3)
        goal = jax.random.uniform(k_goal, (2,), minval=-0.8, maxval=0.8)
        to = lambda lanes: jnp.broadcast_to(goal, (lanes, 2))
        # Some of the demonstrations as often as makes up for the others weigh the same in a mean.
        place, noise, action = (
            x[:, jnp.arange(most) % number] for x in played(k_show, to(most), by_hand)
        )
        x = features(place[:-1], noise[:-1])
        weights = reps.ridge(x.reshape(-1, x.shape[-1]), action.reshape(-1, 2), 1e-2)
        clone = lambda place, noise, goal: predicted(weights, features(place, noise))
        ends = played(k_try, to(STARTS), clone)[0][-1]
        return (jnp.linalg.norm(ends - goal, axis=-1) < 0.3).mean()

    each = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
    return each(jnp.array(DEMONSTRATIONS), jax.random.split(key, GOALS)).mean(1)


def outcome(objective: str, chosen: Options, rate: Array, key: Key) -> Array:
    """The shares [demonstrations] of goals reached, and what a probe tells of places [1]."""
    k_world, k_goal, k_show, k_learn, k_judge, k_new, k_probe = jax.random.split(key, 7)
    see = world(k_world)
    goals = lambda key: jax.random.uniform(key, (TASKS, 2), minval=-0.8, maxval=0.8)
    place, noise, action = played(k_show, goals(k_goal), by_hand)
    if objective in BARE:
        features = see if objective == "observations" else lambda place, noise: place
    else:
        obs, ones = see(place, noise), jnp.ones(action.shape[:2])
        last = jnp.arange(TIME)[:, None] == TIME - 1
        last = jnp.broadcast_to(last, ones.shape)
        data = Transition(obs[:-1], action, ones, ones, last, obs[1:], (), ones)
        encoder = reps.encoder(SPEC, SIZE, LAYERS)
        params = reps.pretrained(
            encoder, OBJECTIVES[objective](encoder), data, k_learn, steps=chosen.steps,
            learning_rate=rate, batch_size=64,
        )  # fmt: skip
        features = lambda place, noise: encoder.apply(params, see(place, noise))
    place, noise, _ = played(k_probe, goals(k_new), by_hand)
    place, noise = place.reshape(-1, 2), noise.reshape(-1, NOISES)
    probe = reps.decoded_share(features(place, noise), place)
    return jnp.append(judged(k_judge, features), probe)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce pretraining", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    figure, axes = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
    rows = []
    for name in tqdm((*OBJECTIVES, *BARE), unit=" objectives"):
        run = partial(outcome, name, chosen)
        best, found = tried(run, RATES, chosen.seeds, score=lambda x: x[:, :-1])
        held, told = found[:, :-1], interval(found[:, -1])
        style = dict(linestyle=":") if name in BARE else dict(marker="o")
        estimate = band(axes, DEMONSTRATIONS, held, name, **style)
        for i, number in enumerate(DEMONSTRATIONS):
            reach = dict(zip(("reached", "low", "high"), (float(x[i]) for x in estimate)))
            rows.append({"features": name, "demonstrations": number} | reach
                        | {"places told": told[0], "rate": RATES[best]})  # fmt: skip
    axes.set(xlabel="demonstrations of the new goal", ylabel="share of new goals reached",
             xscale="log")  # fmt: skip
    axes.set_xticks(DEMONSTRATIONS, [str(number) for number in DEMONSTRATIONS])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
