"""Latent policies in games of two to five players, and how far from an equilibrium they are.

Zhang et al. (2023), https://arxiv.org/abs/2108.12988, hold that policies with latents of the game
and of a mode, which maximise a constrained mutual information, reach a Nash equilibrium in every
game of evaluation if the latent space is large enough, and that a few gradient steps adapt smaller
ones (MRA). Players of different weights choose one of three resources that are the worse, the more
use them. A policy sees its own weight and attends to those of the others; what resources cost, it
knows by a latent of the game alone. Modes are told apart by a discriminator (DIAYN), under the
constraint that nobody gains much by a deviation from the best mode of a game, which a multiplier
enforces; that mode counts in new games too. All gains are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.conditioned import Conditioned
from jaxrl.equilibria import congestion_payoffs, deviation_gains, deviation_values
from jaxrl.errors import require_positive
from jaxrl.networks.layers import MLP, Dense
from jaxrl.networks.sets import Others
from jaxrl.rewards.skills import SkillReward, Skills, metra_loss, skill_reward
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Transition, Tree
from jaxrl.updates import descend

TITLE = "Largest gain by a deviation, in the mean over new games, before and after gradient steps"
PLAYERS, ACTIONS, GAMES, BATCH, NEW = 5, 3, 256, 16, 32
LEARNT, ALLOWED, SLACK = (2, 4), 0.02, 0.01  # numbers of players; gains that the constraint allows
TESTS = (2, 4, 3, 5)  # numbers of players in new games: as learnt, between, and beyond
STEPS = (0, 3, 30)  # of adaptation
SIZE, RATES = 8, (3e-4, 1e-3, 3e-3, 0.03, 0.1)  # the largest latent, and step sizes of adaptation


class Point(NamedTuple):
    """One kind of policies."""

    latent: Any  # dimensions of the latent of the game that are used
    learning: Any = 3e-3  # initial step size, 0 for networks that do not learn


ARMS = {  # by the number of modes
    1: {"no latent": Point(0), "game 1": Point(1), "game 2": Point(2), "game 4": Point(4),
        "game 8": Point(8), "not trained": Point(8, 0.0)},
    4: {"4 modes": Point(0), "game 8, 4 modes": Point(8)},
}  # fmt: skip
Play = Callable[[Tree, Any, Array], Array]
"""(params, game, mode [K]) -> policies [N, A] of all players."""

fixed = jax.lax.stop_gradient


@dataclass(frozen=True)
class Options:
    """Learn policies for many games at once, and play new ones."""

    seeds: int = 4
    """Number of sets of games and of networks; as many others choose the size of adapting steps."""
    steps: int = 1_500
    """Number of gradient steps, on 16 games each."""
    out: Path = Path(".reproductions/varying-players")
    """Folder in which the table, the numbers and the picture are written."""


class Game(NamedTuple):
    """Weights of players, 0 for absent ones, and costs of resources."""

    weights: Array  # [..., N]
    costs: Array  # [..., 2, A] of nobody, and of each unit of weight

    def payoffs(self) -> Array:
        """The payoffs [N, A, ..., A] of one game."""
        return congestion_payoffs(self.weights, *self.costs)


def drawn(players: Array | int, key: Key) -> Game:
    """A random game of a number of players."""
    k_weights, k_costs = jax.random.split(key)
    weights = jax.random.uniform(k_weights, (PLAYERS,), minval=0.5, maxval=1.5)
    low, high = jnp.array([[0.0], [0.3]]), jnp.array([[2.0], [1.0]])
    costs = jax.random.uniform(k_costs, (2, ACTIONS), minval=low, maxval=high)
    return Game(jnp.where(jnp.arange(PLAYERS) < players, weights, 0.0), costs)


class Policies(nn.Module):
    """The policies of all players of a game, by a latent of the game and a mode."""

    @nn.compact
    def __call__(self, game: Game, mode: Array, latent: Array) -> Array:
        """Logits [N, A] in a mode [K], by so many dimensions of the latent of the game."""
        seen = Others(32)(game.weights[:, None], game.weights > 0)
        code = cast(Array, MLP((32, 32))(game.costs.reshape(-1)))
        code = jnp.where(jnp.arange(SIZE) < latent, jnp.tanh(Dense(SIZE, 1.0)(code)), 0.0)
        wide = jnp.broadcast_to(jnp.concatenate([code, mode]), (PLAYERS, SIZE + len(mode)))
        return Dense(ACTIONS, 0.01)(MLP((32, 32))(jnp.concatenate([seen, wide], -1)))


def gains(game: Game, policy: Array) -> Array:
    """What each player [N] gains by a deviation from policies [N, A] of one game.

    The gradient is that of each player's own payoff by its own policy.
    """
    payoffs = game.payoffs()
    return deviation_gains(payoffs, policy, deviation_values(payoffs, fixed(policy)))


def told_apart(told: SkillReward, params: Tree, game: Game, policies: Array, key: Key) -> tuple:
    """The bound [K] of the information that joint actions have about the modes, and its fit [].

    For each mode joint actions of `policies` [K, N, A] are drawn, and each player's own action is
    replaced by all of its actions in turn, so that the gradient is exact but for the others'.
    """
    modes, eye = jnp.eye(len(policies)), jnp.eye(ACTIONS)
    here = game.weights > 0
    whole = eye[jax.random.categorical(key, jnp.log(policies + 1e-8))] * here[:, None]  # [K, N, A]
    swap = jnp.eye(PLAYERS)[:, None, :, None] * here[:, None]  # [N, 1, N, 1]
    tried_out = whole[:, None, None] * (1 - swap) + swap * eye[:, None]  # [K, N, A, N, A]

    def shown(actions: Array) -> Array:
        told = jnp.concatenate([game.weights, game.costs.reshape(-1)])
        flat = actions.reshape(*actions.shape[:-2], -1)
        return jnp.concatenate([flat, jnp.broadcast_to(told, (*flat.shape[:-1], len(told)))], -1)

    seen = shown(tried_out)
    skill = jnp.broadcast_to(modes[:, None, None], (*seen.shape[:-1], len(modes)))
    bonus = told.pay(fixed(params), seen, seen, skill)  # [K, N, A]
    bound = ((policies * bonus).sum(-1) * here).sum(-1) / here.sum()
    one, end = jnp.ones(len(modes)), Conditioned(shown(whole), modes)
    batch = Transition(end, one, one, one, one < 0, end, (), one)
    return bound, told.loss(params, (), batch, key)[0]


def new_gain(play: Play, own: Tree, modes: int, rate: Array, game: Game) -> Array:
    """The largest gain [STEPS] in a game, in its best mode, as that descends the players' gains."""
    largest = lambda own, mode: gains(game, play(own, game, mode)).max()
    every = jax.vmap(largest, (None, 0))(own, jnp.eye(modes))
    best = jnp.eye(modes)[every.argmin()]
    slope = jax.grad(lambda own: gains(game, play(own, game, best)).sum())

    def step(own: Tree, _: None) -> tuple[Tree, Array]:
        after = jax.tree.map(lambda x, g: x - rate * g, own, slope(own))
        return after, largest(own, best)

    return jax.lax.scan(step, own, None, max(STEPS) + 1)[1][np.array(STEPS)]


def found(modes: int, chosen: Options, point: Point, key: Key) -> Array:
    """The largest gain [RATES, TESTS + 1, STEPS] of any player, in the mean over new games.

    The last entry of the second axis is of the games that were learnt from.
    """
    net, eye = Policies(), jnp.eye(modes)

    def play(params: Tree, game: Game, mode: Array) -> Array:
        return jax.nn.softmax(cast(Array, net.apply(params, game, mode, point.latent)))

    size = PLAYERS * ACTIONS + PLAYERS + 2 * ACTIONS
    spec = Spec(jax.ShapeDtypeStruct((size,), jnp.float32), Discrete(1))
    told = skill_reward(spec, Skills("diayn", modes), Layers((32,)))
    k_games, k_new, k_init, k_learn = jax.random.split(key, 4)
    numbers = jnp.array(LEARNT)[jnp.arange(GAMES) % len(LEARNT)]
    games = jax.vmap(drawn)(numbers, jax.random.split(k_games, GAMES))

    def init(key: Key) -> dict:
        k_net, k_told = jax.random.split(key)
        one = jax.tree.map(lambda x: x[0], games)
        return {"policy": net.init(k_net, one, eye[0], point.latent), "told": told.init(k_told),
                "log_multiplier": jnp.log(10.0)}  # fmt: skip

    def loss(params: Any, target: Tree, batch: Any, key: Key) -> tuple[Array, dict]:
        def each(game: Game, key: Key) -> tuple[Array, Array, Array]:
            policies = jax.vmap(partial(play, params["policy"], game))(eye)
            gain = jax.vmap(partial(gains, game))(policies).sum(-1)
            if modes == 1:
                return jnp.zeros(1), gain, jnp.zeros(())
            bound, fit = told_apart(told, params["told"], game, policies, key)
            return bound, gain, fit

        bound, gain, fit = jax.vmap(each)(batch, jax.random.split(key, BATCH))
        bound, gain = bound.mean(-1), gain.min(-1)  # one mode of each game is to be an equilibrium
        room = jnp.minimum(SLACK, ALLOWED - gain)
        total, metrics = metra_loss(params["log_multiplier"], bound, room, jnp.ones_like(gain))
        return total + fit.mean(), metrics

    rate = optax.cosine_decay_schedule(1.0, chosen.steps)
    update = descend(init, loss, optax.adam(lambda step: point.learning * rate(step)))

    def step(state: Any, key: Key) -> tuple[Any, None]:
        k_batch, k_update = jax.random.split(key)
        index = jax.random.randint(k_batch, (BATCH,), 0, GAMES)
        return update.apply(state, jax.tree.map(lambda x: x[index], games), k_update)[0], None

    start = update.init(k_init, cast(Any, games))
    state, _ = jax.lax.scan(step, start, jax.random.split(k_learn, chosen.steps))
    new = [jax.vmap(partial(drawn, number))(jax.random.split(key, NEW))
           for number, key in zip(TESTS, jax.random.split(k_new, len(TESTS)))]  # fmt: skip
    every = jax.tree.map(lambda *x: jnp.stack(x), *new, jax.tree.map(lambda x: x[:NEW], games))

    def judged(rate: Array) -> Array:
        one = partial(new_gain, play, state.params["policy"], modes, rate)
        return jax.vmap(jax.vmap(one))(every).mean(1)

    return jax.vmap(judged)(jnp.array(RATES))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce varying-players", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    every = {}
    for modes, arms in tqdm(ARMS.items(), unit=" numbers of modes"):
        scores = scored(partial(found, modes, chosen), list(arms.values()), chosen.seeds)
        every |= dict(zip(arms, np.moveaxis(scores, 2, 1)))  # [RATES, 2 seeds, TESTS + 1, STEPS]
    figure, panels = plt.subplots(1, len(STEPS), figsize=(13, 4), layout="constrained", sharey=True)
    rows, rest, kinds = [], {}, [*(f"{n} players" for n in TESTS), "learnt from"]
    for name, scores in every.items():
        best, _ = tuned(-scores[:, :, : len(TESTS)])
        rest[name] = scores[best, chosen.seeds :]
        for t, kind in enumerate(kinds):
            mean, low, high = interval(rest[name][:, t, 0])
            after = {f"after {n}": float(rest[name][:, t, i].mean())
                     for i, n in enumerate(STEPS) if n}  # fmt: skip
            rows.append({"latents": name, "games": kind, "gain": mean, "low": low, "high": high,
                         **after, "step size": RATES[best]})  # fmt: skip
    for i, (axes, steps) in enumerate(zip(panels, STEPS)):
        for t, kind in enumerate(kinds):
            ends = np.array([interval(x[:, t, i]) for x in rest.values()]).T
            axes.errorbar(range(len(rest)), ends[0], (ends[0] - ends[1], ends[2] - ends[0]),
                          marker="o", capsize=3, linewidth=0.8, label=kind)  # fmt: skip
        axes.set(title=f"after {steps} gradient steps" if steps else "at once", ylim=(0, None))
        axes.set_xticks(range(len(rest)), list(rest), rotation=40, ha="right")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("largest gain by a deviation")
    panels[0].legend(frameon=False, fontsize=8)
    save(chosen.out, TITLE, rows, figure)
