"""Which objective recovers the state, by how long the noise of observations lasts.

Misra et al. (2024) prove that temporal contrast and forward prediction of videos recover the latent
state if noise is independent in time, and that no objective without actions can if it is exogenous
and lasts. A walker takes random steps in a room of 5 x 5 cells; what is seen is a random nonlinear
function of its cell and of one of 25 signs, which at each step stays with the probability of
`persistence` or is drawn anew. Eight features are learnt by each objective, and judged by how much
a linear probe tells of the walker's coordinates and of which sign there is.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tuned
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import representations as reps
from jaxrl.errors import require_positive
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Transition

TITLE = "What a linear probe of eight features tells of the state and of the noise, by persistence"
SIDE, CELLS, SEEN, SIZE = 5, 25, 48, 8
PERSISTENCES = (0.0, 0.5, 0.95)
CHOOSING = 2  # seeds that choose the learning rate
RATES = (1e-3, 4e-3)
LANES, HIDDEN, AHEAD = 32, Layers((64,)), 3
SPEC = Spec(jax.ShapeDtypeStruct((SEEN,), jnp.float32), Discrete(4))
OBJECTIVES = {
    "temporal contrast": lambda e: reps.temporal_contrast(e, AHEAD),
    "forward, without actions": lambda e: reps.forward_dynamics(e, SPEC, AHEAD, HIDDEN, False),
    "autoencoder": lambda e: reps.autoencoder(e, SPEC, HIDDEN),
    "self-prediction": lambda e: reps.self_prediction(e, SPEC, AHEAD, HIDDEN),
    "contrast of actions": lambda e: reps.action_contrast(e, SPEC, AHEAD, HIDDEN),
    "inverse, one step": lambda e: reps.inverse_dynamics(e, SPEC, 1, HIDDEN),
    "inverse, three steps": lambda e: reps.inverse_dynamics(e, SPEC, AHEAD, HIDDEN),
    "random network": lambda e: reps.weighted_sum([reps.autoencoder(e, SPEC, HIDDEN)], [0.0]),
}


@dataclass(frozen=True)
class Options:
    """Learn features by several objectives, under noise that lasts or does not."""

    seeds: int = 5
    """Number of walks and networks; two others choose the learning rate."""
    walk: int = 4_000
    """Number of steps of a walk."""
    steps: int = 600
    """Number of gradient steps."""
    out: Path = Path(".reproductions/exogenous-noise")
    """Folder in which the table, the numbers and the picture are written."""


def moved(cell: Array, action: Array) -> Array:
    """The cell after a step; walls stop."""
    step = jnp.array([[-1, 0], [0, 1], [1, 0], [0, -1]])[action]
    row, column = jnp.clip(jnp.stack([cell // SIDE, cell % SIDE], -1) + step, 0, SIDE - 1).T
    return row * SIDE + column


def walked(key: Key, steps: int, persistence: Array) -> tuple[Array, Array, Array]:
    """The cells and signs [T + 1, LANES] of random walks, and their actions [T, LANES]."""
    k_start, k_act, k_stay, k_new = jax.random.split(key, 4)
    first = jax.random.randint(k_start, (2, LANES), 0, CELLS)
    shape = (steps // LANES, LANES)
    actions = jax.random.randint(k_act, shape, 0, 4)
    stays = jax.random.uniform(k_stay, shape) < persistence
    drawn = jax.random.randint(k_new, shape, 0, CELLS)

    def step(now: tuple, told: tuple) -> tuple[tuple, tuple]:
        action, stay, new = told
        now = moved(now[0], action), jnp.where(stay, now[1], new)
        return now, now

    _, after = jax.lax.scan(step, (first[0], first[1]), (actions, stays, drawn))
    join = lambda x, rest: jnp.concatenate([x[None], rest])
    return join(first[0], after[0]), join(first[1], after[1]), actions


def coordinates(cell: Array) -> Array:
    """The row and the column [..., 2] of cells."""
    return jnp.stack([cell // SIDE, cell % SIDE], -1).astype(float)


def told(objective: str, chosen: Options, point: tuple[Array, Array], key: Key) -> Array:
    """How much features tell [2] of the coordinates and of the sign, of walks that are new."""
    rate, persistence = point
    k_see, k_walk, k_new, k_learn = jax.random.split(key, 4)
    mix = jax.random.normal(k_see, (2 * CELLS, SEEN))
    cell, sign, action = walked(k_walk, chosen.walk, persistence)

    def see(cell: Array, sign: Array) -> Array:
        hot = [jax.nn.one_hot(x, CELLS) for x in (cell, sign)]
        return jnp.tanh(jnp.concatenate(hot, -1) @ mix)

    obs, ones = see(cell, sign), jnp.ones(action.shape)
    data = Transition(obs[:-1], action, ones, ones, ones < 0, obs[1:], (), ones)
    encoder = reps.encoder(SPEC, SIZE, HIDDEN)
    pretext = OBJECTIVES[objective](encoder)
    params = reps.pretrained(
        encoder, pretext, data, k_learn, steps=chosen.steps, batch_size=64, learning_rate=rate
    )
    cell, sign, _ = (x.reshape(-1) for x in walked(k_new, chosen.walk, persistence))
    features = encoder.apply(params, see(cell, sign))
    share = partial(reps.decoded_share, features)
    return jnp.stack([share(coordinates(cell)), share(jax.nn.one_hot(sign, CELLS))])


def exact(persistence: float) -> tuple[float, float]:
    """What the best eight features of a contrast of one step tell of coordinates and signs."""
    kernel = np.zeros((CELLS, CELLS))
    for action in range(4):
        after = np.asarray(moved(jnp.arange(CELLS), jnp.full(CELLS, action)))
        kernel[np.arange(CELLS), after] += 1 / 4
    noise = persistence * np.eye(CELLS) + (1 - persistence) / CELLS
    features = reps.contrastive_features(jnp.asarray(np.kron(kernel, noise) / CELLS**2), SIZE)
    cell, sign = jnp.divmod(jnp.arange(CELLS**2), CELLS)
    share = lambda x: float(reps.weighted_share(features, x, jnp.ones(CELLS**2)))
    return share(coordinates(cell)), share(jax.nn.one_hot(sign, CELLS))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce exogenous-noise", Options, arguments)
    require_positive(seeds=chosen.seeds, walk=chosen.walk, steps=chosen.steps)
    keys = jax.random.split(jax.random.key(0), CHOOSING + chosen.seeds)
    rates, persistences = (x.reshape(-1) for x in jnp.meshgrid(
        jnp.array(RATES), jnp.array(PERSISTENCES), indexing="ij"))  # fmt: skip
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
    rows = []
    for name in tqdm(OBJECTIVES, unit=" objectives"):
        one = jax.vmap(jax.vmap(partial(told, name, chosen), (None, 0)), (0, None))
        found = np.asarray(jax.jit(one)((rates, persistences), keys))
        found = found.reshape(len(RATES), len(PERSISTENCES), len(keys), 2)
        # The learning rate of each objective and persistence is that of the best state told.
        kept = [tuned(found[:, i, :, 0], CHOOSING)[0] for i in range(len(PERSISTENCES))]
        held = np.stack([found[best, i, CHOOSING:] for i, best in enumerate(kept)], 1)
        for axes, k in zip(panels, range(2)):
            band(axes, PERSISTENCES, held[..., k], name, marker="o")
        for i, persistence in enumerate(PERSISTENCES):
            (state, low, high), (sign, *_) = (interval(held[:, i, k]) for k in range(2))
            rows.append({"objective": name, "persistence": persistence, "state": state, "low": low,
                         "high": high, "sign": sign, "rate": RATES[kept[i]]})  # fmt: skip
    for persistence in PERSISTENCES:
        state, sign = exact(persistence)
        known = {"state": state, "low": state, "high": state, "sign": sign, "rate": "-"}
        name = "exact contrast of one step"
        rows.append({"objective": name, "persistence": persistence} | known)
    for axes, what in zip(panels, ("coordinates of the walker", "sign")):
        axes.set(xlabel="persistence of the noise", title=f"{what}: share of the variance told")
        axes.grid(alpha=0.3)
    panels[1].legend(frameon=False, fontsize="small")
    save(chosen.out, TITLE, rows, figure)
