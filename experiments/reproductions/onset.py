"""Going on online without the data: what a warm-up, retained data and fading caution do (WSRL).

Zhou et al. (2025), https://arxiv.org/abs/2412.07762: critics learnt offline forget at the onset of
fine-tuning unless the data are retained, and steps of the frozen policy before the first update are
enough instead. Here a point walks around a wall with five discrete actions. A base is learnt by
discrete CQL from steps of a noisy guide, for each seed from its own. It goes on by double DQN, with
four gradient steps for each step of the environment. How often the greedy policy succeeds, and how
large values are at pairs of the data, is told at each evaluation.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from agents import dqn
from agents.offline import discrete_cql
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import values
from jaxrl.action_values import action_values
from jaxrl.continuing import retaining
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import require, require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.offline import offline, stored_data, without_data
from jaxrl.rollouts import rollout, with_noise
from jaxrl.types import (
    Array,
    Discrete,
    Env,
    Key,
    Spec,
    TimeStep,
    Transition,
    Tree,
    listed,
    memoryless,
)

TITLE = "Success of the greedy policy while DQN goes on from discrete CQL, and values at the data"
LANES, EPISODES, UPDATES, LIMIT, PERIOD = 8, 16, 4, 50, 40
GAMMA = 0.9
HIDDEN = (32, 32)


class Condition(NamedTuple):
    """How a run goes on from its base."""

    warm: float = 0.0  # share of the steps that the frozen policy takes before the first update
    share: float = 0.0  # of each batch from the data
    caution: float = 0.0  # share of the steps over which the penalty of CQL falls to 0


CONDITIONS = {
    "neither": Condition(),
    "warm-up": Condition(warm=0.2),
    "half of the data": Condition(share=0.5),
    "caution that fades": Condition(caution=0.5),
}


@dataclass(frozen=True)
class Options:
    """Go on from offline learners in four ways."""

    seeds: int = 20
    """Number of seeds, each with a data set and a base of its own."""
    data: int = 4_000
    """Steps of the guide in a data set, a multiple of 8."""
    offline: int = 4_000
    """Gradient steps of the base."""
    steps: int = 3_000
    """Environment steps of each run online, those of its warm-up included."""
    conservatism: float = 0.1
    """Weight of the penalty of the base, whose rewards are 1 at most."""
    evaluations: int = 30
    """Evaluations of each run, which must divide the steps."""
    out: Path = Path(".reproductions/onset")
    """Folder in which the table, the numbers and the picture are written."""


def walk() -> Env:
    """A point that walks around a wall: stay, up, right, down or left by a tenth, with noise.

    The wall is at x = 1/2 up to y = 0.7. Episodes start at the lower left, and end with a reward of
    1 at the lower right, or after 50 steps.
    """
    moves = 0.1 * jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])

    def emit(place: Array) -> TimeStep:
        there = (place[0] > 0.7) & (place[1] < 0.3)
        obs = 2 * place - 1
        return TimeStep(obs, there.astype(jnp.float32), 1.0 - there, there, obs, {})

    def init(key: Key) -> tuple[Array, TimeStep]:
        place = jax.random.uniform(key, (2,), minval=0.1, maxval=0.3)
        return place, emit(place)

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        new = place + moves[action] + 0.02 * jax.random.normal(key, (2,))
        new = jnp.clip(new, 0.0, 1.0)
        crossed = (place[0] < 0.5) != (new[0] < 0.5)
        blocked = crossed & (jnp.minimum(place[1], new[1]) < 0.7)
        new = jnp.where(blocked, place, new)
        return new, emit(new)

    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(5))
    return time_limit(Env(init, step, spec, fresh=1.0), LIMIT)


def guided(env: Env, key: Key, steps: int) -> Transition:
    """Steps [T, LANES] of a guide who knows the way, half of whose actions are random."""

    def act(view: Tree, obs: Array, key: Key) -> tuple[Array, tuple]:
        x, y = (obs[..., 0] + 1) / 2, (obs[..., 1] + 1) / 2
        across = jnp.where((x < 0.5) & (y < 0.8), 1, 2)
        return jnp.where(x > 0.78, 3, across).astype(jnp.int32), ()

    lanes = auto_reset(vectorize(env, LANES))
    k_begin, k_run = jax.random.split(key)
    guide = with_noise(memoryless(act), env.spec, 0.5)
    start = (*lanes.init(k_begin), ())
    return rollout(lanes, guide, (), start, k_run, steps // LANES)[1]


def base_of(env: Env, data: Transition, chosen: Options, key: Key) -> tuple[Tree, Any]:
    """What discrete CQL learns from the data: its state, and its buffer with the data in it."""
    size = data.reward.size
    hp = discrete_cql.Hyperparameters(
        num_envs=LANES, buffer_size=size, warmup=size, batch_size=64, updates=UPDATES,
        hidden=HIDDEN, learning_rate=1e-3, discount=GAMMA, target_period=PERIOD, epsilon=0.05,
        epsilon_updates=0.0, critic=values.Critic(), conservatism=chosen.conservatism,
    )  # fmt: skip
    exp = offline(assemble(discrete_cql.discrete_cql, env, hp).agent, data)
    run, _ = advance(exp, exp.init(key), chosen.offline // UPDATES)
    return without_data(run.learner), stored_data(run.learner)[0]


def went_on(
    env: Env, base: Tree, data: Any, seen: Transition, how: Condition, chosen: Options, key: Key
) -> tuple[Array, Array]:
    """Success and the mean value at pairs of the data, [evaluations + 1] each, from the base on."""
    warmup, every = round(how.warm * chosen.steps), chosen.steps // chosen.evaluations
    hp = dqn.Hyperparameters(
        warmup=max(warmup, 1), num_envs=1, buffer_size=chosen.steps, batch_size=64,
        updates=UPDATES, hidden=HIDDEN, learning_rate=1e-3, discount=GAMMA, target_period=PERIOD,
        epsilon=0.05, epsilon_updates=0.0, data_share=how.share,
    )  # fmt: skip
    make: Any = dqn.dqn
    if how.caution:
        own = {name: getattr(hp, name) for name in vars(hp)}
        steps = how.caution * chosen.steps
        own |= {"conservatism": chosen.conservatism, "conservatism_steps": steps}
        hp = discrete_cql.Hyperparameters(**own)
        make = discrete_cql.discrete_cql
    setup = assemble(make, env, hp, base=base)
    exp = retaining(setup.experiment, data) if how.share else setup.experiment
    q = action_values(env.spec, values.scalar(), hidden=HIDDEN)
    k_run, k_judge = jax.random.split(key)

    def judged(run: Any, key: Key) -> tuple[Array, Array]:
        view = setup.agent.update.read(run.learner)
        won = evaluate(env, setup.agent.exploit, view, key, EPISODES, LIMIT).returns.mean()
        theta = values.take(q.outputs(view.params, seen.obs), seen.action)
        return won, values.mean(q.representation.decode(theta)).mean()

    def block(run: Any, key: Key) -> tuple[Any, tuple[Array, Array]]:
        run, _ = advance(exp, run, every)
        return run, judged(run, key)

    run = exp.init(k_run)
    k_judges = jax.random.split(k_judge, chosen.evaluations + 1)
    frozen = warmup // every
    first = judged(run, k_judges[0])
    _, later = jax.lax.scan(block, run, k_judges[1 + frozen :])
    hold = lambda x, rest: jnp.concatenate([jnp.full(frozen + 1, x), rest])
    return hold(first[0], later[0]), hold(first[1], later[1])


def lives(chosen: Options, key: Key) -> dict[str, tuple[Array, Array]]:
    """One base, and what becomes of it in each condition."""
    env = walk()
    k_data, k_base, *k_online = jax.random.split(key, 2 + len(CONDITIONS))
    data = guided(env, k_data, chosen.data)
    base, buffer = base_of(env, data, chosen, k_base)
    seen = jax.tree.map(lambda x: x[:512], listed(data))
    go = partial(went_on, env, base, buffer, seen)
    return {name: go(how, chosen, key) for (name, how), key in zip(CONDITIONS.items(), k_online)}


def row_of(name: str, how: Condition, won: np.ndarray, value: np.ndarray) -> dict[str, Any]:
    """The row of a condition, of curves [seeds, evaluations + 1].

    The lowest success is that of the first two thirds of the evaluations after learning began, and
    the last one the mean of the last sixth.
    """
    count = won.shape[1] - 1
    begin, number = 1 + round(how.warm * count), max(1, 2 * count // 3)
    lowest = won[:, begin : begin + number].min(1)
    last = won[:, -max(1, count // 6) :].mean(1)
    row: dict[str, Any] = {"condition": name, "success of the base": float(won[:, 0].mean())}
    for label, x in (("lowest success", lowest), ("last success", last)):
        mean, low, high = interval(x)
        row |= {label: mean, f"low of {label}": low, f"high of {label}": high}
    ends = {"value of the base": value[:, 0], "highest value": value.max(1)}
    return row | {label: float(x.mean()) for label, x in ends.items()}


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce onset", Options, arguments)
    sizes = {name: x for name, x in vars(chosen).items() if name != "out"}
    require_positive(**sizes)
    require(chosen.data % LANES == 0, f"data must be a multiple of {LANES}: try 4000.")
    require(
        chosen.steps % (5 * chosen.evaluations) == 0 and chosen.evaluations % 5 == 0,
        "evaluations must be a multiple of 5, and steps one of five times that: try 30 and 3000.",
    )
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    found = jax.device_get(jax.jit(jax.vmap(partial(lives, chosen)))(keys))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    steps = np.linspace(0, chosen.steps, chosen.evaluations + 1)
    rows = []
    for name, how in CONDITIONS.items():
        won, value = (np.asarray(x) for x in found[name])
        rows.append(row_of(name, how, won, value))
        band(left, steps, won, name)
        band(right, steps, value, name)
    left.set(xlabel="environment steps", ylabel="success of the greedy policy", ylim=(0, 1.02))
    right.set(xlabel="environment steps", ylabel="mean value at pairs of the data")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4,
                  frameon=False)  # fmt: skip
    save(chosen.out, TITLE, rows, figure)
