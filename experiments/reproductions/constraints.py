"""PPO and SAC with learnt prices of a cost, beside fixed prices and the exact optimum.

Ray et al. (2019) hold that agents with Lagrange multipliers keep limits on costs which a fixed
price of the cost does not keep, because the right price depends on the task. Processes of eight
states are drawn at random, and end at each step with a probability of 0.1, so that means over steps
are those of discounted occupancies; the limit is half way between the least cost and that of the
best policy without a limit. The optimum is a linear programme.
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
from agents import discrete_sac, ppo
from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, dp
from jaxrl.errors import require_positive
from jaxrl.rewards import constrained, constrained_replay
from jaxrl.types import Agent, Array, Key, Spec, Transition

TITLE = "Excess of the mean cost over its limit, and reward relative to the best within the limit"
STATES, ACTIONS, END = 8, 3, 0.1
RATES = (0.02, 0.2)  # of learnt prices
PRICES = (0.5, 2.0)  # fixed
FREE = 1e6  # a limit that is never reached
CHOOSING = 3  # processes
SLACK = 0.01  # excess that counts as kept


@dataclass(frozen=True)
class Options:
    """Learn under a limit on a cost, by learnt or by fixed prices."""

    seeds: int = 6
    """Number of processes; three others choose the rate or the price."""
    steps: int = 30_000
    """Number of environment steps."""
    out: Path = Path(".reproductions/constraints")
    """Folder in which the table, the numbers and the picture are written."""


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transitions [S, A, S + 1], rewards and costs [S, A] of a process that ends in a last state.

    What pays costs: the rewards of pairs are half those of their costs.
    """
    rng = np.random.default_rng(seed)
    kernel = np.zeros((STATES + 1, ACTIONS, STATES + 1))
    kernel[:-1, :, :-1] = (1 - END) * rng.dirichlet(np.full(STATES, 0.3), (STATES, ACTIONS))
    kernel[:-1, :, -1] = END
    kernel[-1, :, -1] = 1.0
    cost = rng.random((STATES + 1, ACTIONS))
    reward = 0.5 * cost + 0.5 * rng.random((STATES + 1, ACTIONS))
    reward[-1] = cost[-1] = 0.0
    return kernel, reward, cost


def process(kernel: Array, reward: Array) -> dp.TabularMDP:
    """The process, whose episodes end in the last state and begin in the others."""
    ended = jnp.arange(STATES + 1) == STATES
    alive = jnp.broadcast_to(jnp.where(ended, 0.0, 1.0), kernel.shape)
    paid = jnp.broadcast_to(reward[..., None], kernel.shape)
    return dp.TabularMDP(kernel, paid, alive, jnp.where(ended, 0.0, 1 / STATES))


def optima(seed: int) -> dict[str, float]:
    """The limit, the reward of a step under it, without it, and of the least cost, exactly."""
    kernel, reward, cost = drawn(seed)
    solve = lambda paid, **limit: dp.linear_programme(
        process(jnp.asarray(kernel), jnp.asarray(paid)), 1.0, **limit
    )
    free, least = solve(reward), solve(-cost)
    per_step = lambda found, x: float((found.occupancy * x).sum() / found.occupancy[:-1].sum())
    limit = (per_step(free, cost) + per_step(least, cost)) / 2
    best = solve(reward, costs=cost[None], limits=np.array([limit / END]))
    names = ("limit", "best", "free", "least", "free cost", "least cost")
    told = (limit, per_step(best, reward), per_step(free, reward), per_step(least, reward),
            per_step(free, cost), per_step(least, cost))  # fmt: skip
    return dict(zip(names, told))


def learnt(
    kind: str, steps: int, rate: Array, price: Array, world: tuple, limit: Array, key: Key
) -> Array:
    """The mean cost and the mean reward [2] of the last third of the steps.

    With a fixed price the reward is that of the environment less the price of the cost.
    """
    kernel, reward, cost = world
    env = envs.from_mdp(process(kernel, reward - price * cost))

    def both(batch: Transition) -> Array:
        """The cost of a step, and its reward, which has no limit and is only told."""
        at = batch.obs.argmax(-1), batch.action
        return jnp.stack([cost[at], reward[at]], -1)

    limits = jnp.stack([limit, jnp.asarray(FREE)])

    def make(spec: Spec, hp) -> Agent:
        if kind == "PPO":
            return constrained(ppo.ppo(spec, hp), both, limits, rate)
        return constrained_replay(discrete_sac.discrete_sac, both, limits, rate)(spec, hp)

    if kind == "PPO":
        hp = ppo.Hyperparameters(
            discount=1.0, num_envs=8, rollout_length=32, minibatches=2, learning_rate=1e-3,
            hidden=(32,), entropy_coefficient=0.003,
        )  # fmt: skip
    else:
        hp = discrete_sac.Hyperparameters(
            discount=1.0, num_envs=8, rollout_length=8, updates=8, batch_size=64, hidden=(32,),
            warmup=1_024, buffer_size=8_192, learning_rate=1e-3, target_entropy=0.2,
            target_rate=0.02,
        )  # fmt: skip
    setup = assemble(make, env, hp)
    rounds = steps // (hp.collection.num_envs * hp.collection.rollout_length)
    run, _ = advance(setup.experiment, setup.experiment.init(key), rounds - rounds // 3)
    _, metrics = advance(setup.experiment, run, rounds // 3)
    return jnp.stack([metrics["cost_0"], metrics["cost_1"]])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce constraints", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    number = CHOOSING + chosen.seeds
    known = [optima(seed) for seed in range(number)]
    at = {name: np.array([x[name] for x in known]) for name in known[0]}
    worlds = tuple(jnp.asarray(np.stack(x), jnp.float32)
                   for x in zip(*(drawn(seed) for seed in range(number))))  # fmt: skip
    keys = jax.random.split(jax.random.key(0), number)
    limit, free = jnp.asarray(at["limit"], jnp.float32), jnp.full(number, FREE)
    ways = {"learnt price": (RATES, (0.0,) * 2, limit), "fixed price": ((1.0,) * 2, PRICES, free),
            "no price": ((1.0,), (0.0,), free)}  # fmt: skip
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    rows, half = [], CHOOSING
    for axes, kind in zip(panels, ("PPO", "SAC")):
        one = jax.vmap(partial(learnt, kind, chosen.steps), (None, None, 0, 0, 0))
        run = jax.jit(one)
        for way, (rates, prices, bound) in tqdm(ways.items(), unit=" ways"):
            found = np.stack([np.asarray(run(jnp.float32(r), jnp.float32(p), worlds, bound, keys))
                              for r, p in zip(rates, prices)])  # fmt: skip
            excess = (found[..., 0] - at["limit"]) / (at["free cost"] - at["least cost"])
            gained = (found[..., 1] - at["least"]) / (at["best"] - at["least"])
            # The best by reward in the first processes, of those that keep their limits there.
            kept = excess[:, :half].mean(1) <= SLACK
            order = np.where(kept, gained[:, :half].mean(1), -1e3 - excess[:, :half].mean(1))
            best = int(order.argmax())
            over, share = excess[best, half:], gained[best, half:]
            axes.plot(over, share, "o", label=way)
            (mean, low, high), (gain, worst, top) = interval(over), interval(share)
            rows.append({"agent": kind, "price": way, "excess": mean, "low": low, "high": high,
                         "largest excess": float(over.max()), "reward": gain,
                         "reward, low": worst, "reward, high": top,
                         "rate or price": (rates if way == "learnt price" else prices)[best]}
                        )  # fmt: skip
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.set(xlabel="excess of the cost over its limit", title=kind)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("reward, 1 is the best within the limit")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
