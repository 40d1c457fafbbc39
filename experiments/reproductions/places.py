"""A world of two places behind a disc, demonstrations of both, and flows that clone them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import envs
from agents.offline import generated_bc
from jaxrl import data, generators
from jaxrl.loop import advance
from jaxrl.offline import from_arrays, offline
from jaxrl.types import Array, Box, Env, Key, Spec, TimeStep, Transition, Tree

PLACES = np.array([[0.8, 0.6], [0.8, -0.6]], np.float32)  # the first one pays
START, RADIUS, LIMIT, PACE = np.array([-0.8, 0.0], np.float32), 0.15, 40, 0.1
UPPER, DEMONSTRATIONS = 0.2, 200


def world() -> Env:
    """A point in a square with a disc in the middle; actions are its steps, of up to 0.1."""

    def emit(place: Array, found: Array) -> TimeStep:
        ends = found.any().astype(jnp.float32)
        return TimeStep(place, found[0].astype(jnp.float32), 1 - ends, ends > 0, place, {})

    def init(key: Key) -> tuple[Array, TimeStep]:
        place = START + 0.1 * jax.random.uniform(key, (2,), minval=-1.0)
        return place, emit(place, jnp.zeros(2, bool))

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        new = jnp.clip(place + PACE * action, -1.0, 1.0)
        place = jnp.where(jnp.linalg.norm(new) < 0.4, place, new)  # the disc cannot be entered
        return place, emit(place, jnp.linalg.norm(place - PLACES, axis=-1) < RADIUS)

    box = Box(-jnp.ones(2), jnp.ones(2))
    env = Env(init, step, Spec(jax.ShapeDtypeStruct((2,), jnp.float32), box))
    return envs.time_limit(env, LIMIT)


def demonstrations() -> Transition:
    """Noisy walks around the disc to either place."""
    rng, rows = np.random.default_rng(0), []
    for episode in range(DEMONSTRATIONS):
        side = 1.0 if episode < UPPER * DEMONSTRATIONS else -1.0
        place = START + rng.uniform(-0.1, 0.1, 2)
        for step in range(LIMIT):
            aim = np.array([0.0, 0.7 * side]) if place[0] < 0 else np.array([0.8, 0.6 * side])
            way = aim - place
            action = np.clip(0.8 * way / np.linalg.norm(way) + 0.15 * rng.normal(size=2), -1, 1)
            new = np.clip(place + PACE * action, -1, 1)
            new = place if np.linalg.norm(new) < 0.4 else new
            ends = (np.linalg.norm(new - PLACES, axis=-1) < RADIUS).any()
            paid = float(np.linalg.norm(new - PLACES[0]) < RADIUS)
            rows.append((place, action, paid, new, ends, step == LIMIT - 1 and not ends))
            place = new
            if ends:
                break
    obs, action, reward, final, ends, cut = (np.array(x) for x in zip(*rows))
    return from_arrays(
        obs.astype(np.float32), action.astype(np.float32), reward.astype(np.float32), ends, cut,
        world().spec, next_observations=final.astype(np.float32),
    )  # fmt: skip


class Cloner(NamedTuple):
    """A flow of several actions at once that clones all demonstrations."""

    spec: Spec
    policy: generators.GeneratedPolicy
    plans: Transition  # [T, 1, ...] the demonstrations by chunks
    learn: Callable[[Key, int], Tree]  # (key, gradient steps) -> parameters


def cloner(length: int, denoising_steps: int, hidden: tuple[int, ...]) -> Cloner:
    """The flow of `length` actions, made in a number of steps by a network with hidden layers."""
    logged = demonstrations()
    plans = data.joined(data.chunks_at(logged, jnp.arange(logged.reward.size), length))
    plans = jax.tree.map(lambda x: x[:, None], plans)  # of one lane
    spec, size = envs.chunked(world(), length).spec, plans.reward.size
    flow = generators.Generation("flow", denoising_steps)
    hp = generated_bc.Hyperparameters(
        generation=flow, buffer_size=size, warmup=size, hidden=hidden, learning_rate=2e-3,
        target_rate=0.01,
    )  # fmt: skip
    agent = generated_bc.generated_bc(spec, hp)
    exp = offline(agent, plans)

    def learn(key: Key, steps: int) -> Tree:
        learner = advance(exp, exp.init(key), steps)[0].learner
        return agent.update.read(learner).target["actor"]

    return Cloner(spec, generators.generated_policy(spec, flow, hp.network), plans, learn)
