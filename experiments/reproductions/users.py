"""Two kinds of users who want opposite things: one reward for all, or a latent of each user.

Poddar et al. (2024) hold that rewards which are fitted to the comparisons of all users at once
average over them, and that a latent, inferred from a few comparisons of a user, recovers what that
user wants (VPL). Places are in a square; a share of the users wants to be at its left end, the
others at its right end, and everybody at its top. Each states eight comparisons with noise.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.rewards import boltzmann, partial_return, user_learner, user_model
from jaxrl.rewards.segments import Comparisons
from jaxrl.rewards.users import Latent
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Transition, Tree

TITLE = "Share of right answers about new pairs, by the share of users who want to go right"
SHARES = (0.5, 0.7, 0.9)
PAIRS, USERS, NOISE = 8, 20, 0.1
WAYS = {"one reward for all": (0.0, 0.0), "latent, no divergence": (0.0, 1.0),
        "latent": (0.01, 1.0), "latent, large divergence": (1.0, 1.0)}  # fmt: skip
# the weight of the divergence, and whether the latent is read from the comparisons


@dataclass(frozen=True)
class Options:
    """Fit rewards to the comparisons of users who differ."""

    seeds: int = 6
    """Number of populations of users."""
    steps: int = 400
    """Number of gradient steps."""
    out: Path = Path(".reproductions/users")
    """Folder in which the table, the numbers and the picture are written."""


def asked(key: Key, side: Array, number: int) -> Comparisons:
    """Comparisons [1, N] of places, by a user who wants to go to a side."""
    k_place, k_judge = jax.random.split(key)
    obs = jax.random.uniform(k_place, (2, 1, number, 2), minval=-1.0)
    ones = jnp.ones((1, number))

    def segment(obs: Array) -> Transition:
        reward = side * obs[..., 0] + 0.5 * obs[..., 1]
        return Transition(obs, ones.astype(int), reward, ones, ones < 0, obs, (), ones)

    first, second = segment(obs[0]), segment(obs[1])
    verdict = boltzmann(partial_return(), NOISE)(k_judge, first, second)
    return Comparisons(first, second, verdict.label, verdict.weight)


def accuracy(steps: int, divergence: Array, reads: Array, share: Array, key: Key) -> Array:
    """The share [kinds] of right answers about pairs of new users who want to go left, or right."""
    k_init, k_learn, *k_new = jax.random.split(key, 4)
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(1))
    model = user_model(spec, 2, Layers((32, 32)))
    inferred = model.posterior

    def posterior(params: Tree, own: Comparisons) -> Latent:
        mean, log_std = inferred(params, own)
        return Latent(reads * mean, jnp.where(reads > 0, log_std, -5.0))

    model = model._replace(posterior=posterior)
    update = user_learner(model, optax.adam(3e-3), divergence)
    sides = jnp.where(jnp.arange(USERS) < share * USERS, 1.0, -1.0)

    def step(state, key):
        k_ask, k_fit = jax.random.split(key)
        batch = jax.vmap(asked, (0, 0, None))(jax.random.split(k_ask, USERS), sides, PAIRS)
        return update.apply(state, batch, k_fit)[0], None

    state = update.init(k_init, asked(k_init, sides[0], PAIRS).first)
    params = jax.lax.scan(step, state, jax.random.split(k_learn, steps))[0].params

    def right(key: Key, side: Array) -> Array:
        k_own, k_pairs = jax.random.split(key)
        z = model.posterior(params, asked(k_own, side, PAIRS)).mean
        new = asked(k_pairs, side, 50)
        said = [model.reward(params, x.obs, x.action, z) for x in (new.first, new.second)]
        true = new.first.reward > new.second.reward
        return ((said[0] > said[1]) == true).mean()

    both = [jax.vmap(right, (0, None))(jax.random.split(k, 50), side)
            for k, side in zip(k_new, (-1.0, 1.0))]  # fmt: skip
    return jnp.stack(both).mean(-1)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce users", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    rows = []
    one = partial(accuracy, chosen.steps)
    over = jax.vmap(jax.vmap(one, (None, None, 0, None)), (None, None, None, 0))
    run = jax.jit(over)
    for name, way in tqdm(WAYS.items(), unit=" ways"):
        found = np.asarray(run(*way, jnp.array(SHARES), keys))  # [seeds, shares, kinds]
        for k, (axes, kind) in enumerate(zip(panels, ("left", "right"))):
            band(axes, SHARES, found[..., k], name)
            for i, share in enumerate(SHARES):
                mean, low, high = interval(found[:, i, k])
                rows.append({"reward": name, "share who want right": share, "users who want": kind,
                             "right answers": mean, "low": low, "high": high})  # fmt: skip
            axes.set(xlabel="share of users who want to go right",
                     title=f"new users who want to go {kind}")  # fmt: skip
            axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of right answers")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
