"""Features of data without actions, and what is then learnt with few labels (V-PTR, ICVF).

Four rooms are seen as two coordinates, so that walls are invisible. ICVF learns features from a
random walk without its actions and rewards; then values of actions that are linear in the frozen
features are fitted to a few hundred labelled steps, for one goal after another. The references are
features of a random network of the same kind, those of the same data with successors that are
exchanged at random, as a negative control, and one feature for each cell.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from agents.offline import icvf
from envs.mdps import move
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from jaxrl import advance, dp
from jaxrl.errors import require_positive
from jaxrl.offline import offline
from jaxrl.types import Array, Discrete, Key, Spec, Transition

TITLE = "Share of the way from random actions to the best, by features and number of labelled steps"
SIDE, GAMMA, LANES = 9, 0.95, 16
LABELLED = (50, 100, 200, 400, 800)
FEATURES = ("ICVF", "exchanged successors", "random network", "one for each cell")
HERE = np.array([(i, j) for i in range(SIDE) for j in range(SIDE)
                 if 4 not in (i, j) or (i, j) in ((4, 1), (4, 7), (1, 4), (7, 4))])  # fmt: skip
CELLS = len(HERE)


@dataclass(frozen=True)
class Options:
    """Learn features without actions, and then values with few of them."""

    seeds: int = 4
    """Number of random walks and networks."""
    goals: int = 8
    """Number of goals for each of them."""
    walk: int = 8_000
    """Number of steps without actions."""
    steps: int = 2_000
    """Number of gradient steps of ICVF."""
    out: Path = Path(".reproductions/features")
    """Folder in which the table, the numbers and the picture are written."""


def successors() -> np.ndarray:
    """The successors [S, 4] of cells; walls stop."""
    name = {tuple(cell): i for i, cell in enumerate(HERE.tolist())}
    to = np.zeros((CELLS, 4), int)
    for i, (row, column) in enumerate(HERE.tolist()):
        for action, (down, right) in enumerate([(-1, 0), (0, 1), (1, 0), (0, -1)]):
            cell = divmod(move(row * SIDE + column, down, right, SIDE, SIDE), SIDE)
            to[i, action] = name.get(cell, i)
    return to


def walked(key: Key, steps: int) -> tuple[Array, Array]:
    """The cells [T, LANES] of random walks and those that follow."""
    to = jnp.asarray(successors())
    k_start, k_walk = jax.random.split(key)
    start = jax.random.randint(k_start, (LANES,), 0, CELLS)
    moves = jax.random.randint(k_walk, (steps // LANES, LANES), 0, 4)

    def step(at: Array, action: Array) -> tuple[Array, tuple[Array, Array]]:
        return to[at, action], (at, to[at, action])

    return jax.lax.scan(step, start, moves)[1]


def learnt(chosen: Options, key: Key) -> Array:
    """Features [3, CELLS, K] by ICVF, by ICVF of exchanged successors, and of a random network."""
    k_walk, k_exchange, k_learn = jax.random.split(key, 3)
    see = jnp.asarray(2 * HERE / (SIDE - 1) - 1, jnp.float32)
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(4))
    now, after = walked(k_walk, chosen.walk)
    hp = icvf.Hyperparameters(
        num_envs=LANES, buffer_size=now.size, warmup=now.size, discount=GAMMA, batch_size=64,
        hidden=(64, 64), learning_rate=1e-3, target_rate=0.02, expectile=0.9,
    )  # fmt: skip
    agent, model = icvf.icvf(spec, hp), icvf.model(spec, hp)
    one = jnp.ones(now.shape)

    def features(after: Array) -> tuple[Array, Array]:
        action = jnp.zeros(now.shape, jnp.int32)
        data = Transition(see[now], action, one, one, one < 0, see[after], (), one)
        exp = offline(agent, data)
        first = exp.init(k_learn)
        last, _ = advance(exp, first, chosen.steps)
        views = [agent.update.read(run.learner) for run in (first, last)]
        before, then = (model.features(view.params, see) for view in views)
        return before, then

    mixed = jax.random.permutation(k_exchange, after.reshape(-1)).reshape(after.shape)
    before, then = jax.vmap(features)(jnp.stack([after, mixed]))
    return jnp.stack([then[0], then[1], before[0]])


def fitted(features: Array, number: int, goal: Array, key: Key) -> Array:
    """The share [] of the greedy policy of values that are fitted to labelled steps.

    Fitted Q iteration by ridge regression, with targets between the least and the largest return.
    """
    to = jnp.asarray(successors())
    k_cell, k_act = jax.random.split(key)
    cell = jax.random.randint(k_cell, (number,), 0, CELLS)
    action = jax.nn.one_hot(jax.random.randint(k_act, (number,), 0, 4), 4)
    after = (action * to[cell]).sum(-1).astype(int)
    x = features / (jnp.linalg.norm(features, axis=-1, keepdims=True) + 1e-6)
    x = jnp.concatenate([x, jnp.ones((CELLS, 1))], -1)
    seen = x[cell]
    gram = jnp.einsum("ni,nj,na->aij", seen, seen, action) + 1e-3 * jnp.eye(x.shape[-1])

    def improve(w: Array, _: None) -> tuple[Array, None]:
        future = jnp.clip((x @ w.T).max(-1), -1 / (1 - GAMMA), 0.0)
        aim = -1.0 + GAMMA * jnp.where(after == goal, 0.0, future[after])
        moment = jnp.einsum("ni,na,n->ai", seen, action, aim)
        return jnp.linalg.solve(gram, moment[..., None])[..., 0], None

    w, _ = jax.lax.scan(improve, jnp.zeros((4, x.shape[-1])), None, 100)
    shape = (CELLS, 4, 1)
    mdp = dp.TabularMDP(
        jnp.ones(shape), -jnp.ones(shape), 1.0 - (to[..., None] == goal),
        jnp.ones(CELLS) / CELLS, to[..., None].astype(jnp.int32),
    )  # fmt: skip
    worth = lambda policy: (
        mdp.initial @ (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)
    )
    random = worth(jnp.full((CELLS, 4), 0.25))
    best = mdp.initial @ dp.value_iteration(mdp, GAMMA).theta.max(-1)
    return (worth(jax.nn.one_hot((x @ w.T).argmax(-1), 4)) - random) / (best - random)


def shares(chosen: Options, key: Key) -> Array:
    """The mean shares [features, labelled] over goals."""
    k_learn, k_goals, k_label = jax.random.split(key, 3)
    made = learnt(chosen, k_learn)
    wide = jnp.zeros((CELLS, CELLS)).at[:, : made.shape[-1]].set
    every = jnp.stack([*(wide(x[:, :CELLS]) for x in made), jnp.eye(CELLS)])
    goals = jax.random.choice(k_goals, CELLS, (chosen.goals,), replace=False)
    keys = jax.random.split(k_label, chosen.goals)

    def of(number: int) -> Array:
        one = jax.vmap(lambda x, goal, key: fitted(x, number, goal, key), (None, 0, 0))
        return jax.vmap(lambda x: one(x, goals, keys).mean())(every)

    return jnp.stack([of(number) for number in LABELLED], -1)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce features", Options, arguments)
    require_positive(seeds=chosen.seeds, goals=chosen.goals, walk=chosen.walk, steps=chosen.steps)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    found = np.asarray(jax.jit(jax.vmap(partial(shares, chosen)))(keys))
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    rows = []
    for i, name in enumerate(FEATURES):
        estimate = band(axes, LABELLED, found[:, i], name, marker="o")
        for j, number in enumerate(LABELLED):
            share = dict(zip(("share", "low", "high"), (float(x[j]) for x in estimate)))
            rows.append({"features": name, "labelled steps": number} | share)
    axes.set(xlabel="labelled steps", ylabel="share of the way to the best", xscale="log")
    axes.set_xticks(LABELLED, [str(number) for number in LABELLED])
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
