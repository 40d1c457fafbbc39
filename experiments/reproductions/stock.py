"""One network that obeys the risk it is commanded, beside the exact optimum (Pires et al. 2025).

On a 4 x 4 grid there is a garden, which pays a sure 1 for each step spent in it, and next to it a
mine, which pays 5 or takes 2 by chance. The aim is the CVaR of the return over nine steps: the mean
of its worst share. A stock makes it a matter of dynamic programming, exactly in a table and
approximately in a network that is trained for all stocks at once; both choose the stock to begin
with for the level that they are asked for. What came of it: the network obeys, and is exact or
nearly so where it must be careful, but too careful where it may dare.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import stocked
from envs.mdps import move
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from jaxrl import advance, assemble, dp, evaluate, values
from jaxrl.action_values import action_values
from jaxrl.conditioned import Conditioned
from jaxrl.errors import require_positive
from jaxrl.stock import Stock
from jaxrl.types import Array, Key

TITLE = "CVaR of the return at each level: exact optimum, one commanded network, and risk-neutral"
SIDE, TIME, MINE, GARDEN, STAY = 4, 9, 3, 7, 4
LEVELS = (0.05, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0)
STOCKS = np.arange(-40.0, 31.0)
SHORTFALL = values.expected_utility(lambda z: jnp.minimum(z, 0.0))


@dataclass(frozen=True)
class Options:
    """Train a stock-conditioned network and ask it for different levels of risk."""

    seeds: int = 5
    """Number of networks, each evaluated at every level."""
    rounds: int = 12_000
    """Number of training rounds, of 32 environment steps and 4 gradient steps."""
    episodes: int = 2_000
    """Number of episodes from which the CVaR of a network is estimated."""
    out: Path = Path(".reproductions/stock")
    """Folder in which the table, the numbers and the picture are written."""


def mine() -> dp.TabularMDP:
    """The grid, in states of time and cell; moves are up, down, left, right and stay."""
    cells = SIDE * SIDE
    shape = (TIME, cells, 5, 2)
    p, r, d = np.full(shape, 0.5), np.zeros(shape), np.ones(shape)
    successors = np.zeros(shape, np.int32)
    for cell in range(cells):
        for action, (down, right) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)]):
            to = move(cell, down, right, SIDE, SIDE)
            for time in range(TIME):
                successors[time, cell, action] = min(time + 1, TIME - 1) * cells + to
    r[:, MINE, STAY] = [5.0, -2.0]
    r[:, GARDEN, STAY] = 1.0
    d[-1] = 0.0
    flat = [x.reshape(TIME * cells, 5, 2) for x in (p, r, d, successors)]
    return dp.from_arrays(*flat[:3], np.eye(TIME * cells)[0], flat[3])


def exact() -> tuple[np.ndarray, np.ndarray]:
    """The greatest CVaR of any policy, and that of the best mean, at each level."""
    mdp, stocks = mine(), jnp.asarray(STOCKS, jnp.float32)
    grid = values.uniform_support(-20.0, 50.0, 71)  # every return is an atom of it
    states = mdp.transition.shape[0]
    wide = dp.stock_augmented(mdp, stocks, 1.0)
    select = dp.stock_greedy(SHORTFALL, stocks, states)
    solve = partial(dp.distributional_value_iteration, gamma=1.0, max_iterations=TIME)
    family = values.categorical(grid)
    theta = jax.jit(lambda mdp: solve(mdp, representation=family, select=select).theta)(wide)
    distribution = family.decode(theta[: stocks.size])  # of the first state, at every stock
    distribution = distribution._replace(atoms=distribution.atoms + stocks[:, None, None])
    score = SHORTFALL(distribution).max(-1)
    best = [dp.best_stock_for_cvar(score, stocks, level)[0] for level in LEVELS]
    neutral = family.decode(jax.jit(lambda mdp: solve(mdp, representation=family).theta)(mdp)[0])
    chosen = jax.tree.map(lambda x: x[values.mean(neutral).argmax()], neutral)
    return np.array(best), np.array([values.cvar(level)(chosen) for level in LEVELS])


def commanded(hp: stocked.Hyperparameters, chosen: Options, key: Key) -> Array:
    """The CVaR [levels] of the returns of one network, conditioned on each level."""
    env = envs.from_mdp(mine())
    make = lambda initial: stocked.world(env, hp.replace(initial_stock=initial))
    setup = assemble(stocked.stocked_dqn, make(0.0), hp)
    k_train, k_play = jax.random.split(key)
    run, _ = advance(setup.experiment, setup.experiment.init(k_train), chosen.rounds)
    view = setup.agent.update.read(run.learner)
    spec, family = setup.env.spec, values.critic(hp.critic)
    q = action_values(spec, family, SHORTFALL, **vars(hp.network), dueling=hp.dueling)
    stocks = jnp.arange(hp.lowest_stock, hp.highest_stock + 1)
    first = jnp.tile(jax.nn.one_hot(0, spec.observation.obs.shape[0]), (stocks.size, 1))
    score = q.scores(view.params, Conditioned(first, Stock(stocks))).max(-1)

    def play(level: Array) -> Array:
        _, index = dp.best_stock_for_cvar(score, stocks, level)
        world = make(stocks[index])
        returns = evaluate(world, setup.agent.exploit, view, k_play, chosen.episodes).returns
        return values.cvar(level)(
            values.ReturnDistribution(returns, jnp.full(returns.shape, 1 / returns.size))
        )

    return jax.lax.map(play, jnp.array(LEVELS))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce stock", Options, arguments)
    require_positive(seeds=chosen.seeds, rounds=chosen.rounds, episodes=chosen.episodes)
    hp = stocked.Hyperparameters(
        objective=values.Objective("shortfall", 0.0), critic=values.Critic("quantile", atoms=32),
        discount=1.0, lowest_stock=-30.0, highest_stock=20.0, epsilon=0.3, hidden=(128, 128),
        learning_rate=5e-4, decay_steps=chosen.rounds * 32, num_envs=8, rollout_length=4, updates=4,
        batch_size=128, buffer_size=65_536, target_period=1, target_rate=0.01,
    )  # fmt: skip
    best, neutral = exact()
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    found = np.asarray(jax.jit(jax.vmap(partial(commanded, hp, chosen)))(keys))
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.plot(LEVELS, best, marker="o", label="exact optimum, a policy for each level")
    label = f"one network, commanded ({chosen.seeds} seeds)"
    mean, low, high = band(axes, LEVELS, found, label, marker="s")
    axes.plot(LEVELS, neutral, marker="^", label="the policy of the best mean")
    axes.set(xlabel="level: the share of worst returns", ylabel="their mean")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    columns = zip(LEVELS, best, mean, low, high, neutral)
    names = ("level", "optimum", "network", "low", "high", "risk-neutral")
    rows = [dict(zip(names, (float(x) for x in row))) for row in columns]
    save(chosen.out, TITLE, rows, figure)
