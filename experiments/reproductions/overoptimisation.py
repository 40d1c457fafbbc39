"""Proxy and gold: what optimising a learnt reward is worth, by how hard it is optimised.

Gao et al. (2023) fit reward models to labels of a gold reward, and find that the gold reward first
rises with the optimisation of the proxy and then falls, later with more labels. Coste et al. (2024)
find that pessimistic ensembles mitigate that. Here actions are normal in eight dimensions, the gold
reward is a random network minus a bowl, and the best of n actions by the proxy is taken, whose
divergence from the policy is log n - (n - 1) / n.
"""

from collections.abc import Callable
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
from jaxrl import values
from jaxrl.errors import require_positive
from jaxrl.rewards import boltzmann, bradley_terry, partial_return, preference_fitted, reward_model
from jaxrl.rewards.segments import Comparisons
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Transition

TITLE = "Gold reward of the best of n actions by a proxy, in deviations of the policy's gold reward"
SIZE, DRAWS = 8, (1, 4, 16, 64, 256, 1024, 4096)
LABELS = (50, 200, 1000)
REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "one network": lambda each: each[..., 0],
    "mean of 5": lambda each: each.mean(-1),
    "minimum of 5": lambda each: values.mean(values.minimum(values.dirac(each))),
    "mean less deviation": lambda each: values.mean(
        values.lower_confidence(1.0)(values.dirac(each))
    ),
}


@dataclass(frozen=True)
class Options:
    """Optimise learnt rewards, and look at the reward that they stand for."""

    seeds: int = 12
    """Number of gold rewards, each with its own labels."""
    fits: int = 300
    """Number of gradient steps of a reward model."""
    rounds: int = 8
    """Number of times that the best of n is taken, for each seed."""
    out: Path = Path(".reproductions/overoptimisation")
    """Folder in which the table, the numbers and the picture are written."""


def gold_reward(key: Key) -> Callable[[Array], Array]:
    """A random smooth reward [...] of actions [..., 8], in deviations over normal actions.

    It is a network minus a bowl.
    """
    k_in, k_out, k_normal = jax.random.split(key, 3)
    inner = jax.random.normal(k_in, (SIZE, 32)) / np.sqrt(SIZE)
    outer = jax.random.normal(k_out, (32,))
    plain = lambda x: jnp.tanh(x @ inner) @ outer - 0.3 * jnp.square(x).sum(-1)
    reference = plain(jax.random.normal(k_normal, (4096, SIZE)))
    return lambda x: (plain(x) - reference.mean()) / reference.std()


def one_step(action: Array, reward: Array) -> Transition:
    """Segments [1, N, ...] of one action each."""
    ones = jnp.ones((1, len(reward)))
    blank = jnp.zeros((1, len(reward), 1))
    return Transition(blank, action[None], reward[None], ones, ones > 0, blank, (), ones)


def curves(labels: int, chosen: Options, key: Key) -> Array:
    """The proxy's and the gold reward [reductions, 2, draws] of the best of n."""
    k_gold, k_data, k_label, k_fit, k_play = jax.random.split(key, 5)
    spec = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-jnp.ones(SIZE), jnp.ones(SIZE)))
    model = reward_model(spec, values.Ensemble(5, "average"), Layers((32, 32)), bound=10.0)
    gold = gold_reward(k_gold)
    first, second = (one_step(x, gold(x)) for x in jax.random.normal(k_data, (2, labels, SIZE)))
    verdict = boltzmann(partial_return(), 0.5)(k_label, first, second)
    data = Comparisons(first, second, verdict.label, verdict.weight)
    update = preference_fitted(model, bradley_terry(), optax.adamw(3e-3, weight_decay=1e-2))

    def step(state, key):
        index = jax.random.randint(key, (64,), 0, labels)
        pick = lambda segments: jax.tree.map(lambda x: x[:, index], segments)
        batch = Comparisons(pick(data.first), pick(data.second), data.label[index],
                            data.weight[index])  # fmt: skip
        return update.apply(state, batch, key)[0], None

    keys = jax.random.split(k_fit, chosen.fits + 1)
    params = jax.lax.scan(step, update.init(keys[0], first), keys[1:])[0].params

    def round_(_, key):
        x = jax.random.normal(key, (max(DRAWS), SIZE))
        each, true = model.each(params, jnp.zeros((len(x), 1)), x), gold(x)
        found = []
        for reduce in REDUCTIONS.values():
            said = reduce(each)
            best = jnp.array([said[:n].argmax() for n in DRAWS])
            found.append(jnp.stack([said[best], true[best]]))
        return None, jnp.stack(found)

    keys = jax.random.split(k_play, chosen.rounds)
    return jax.lax.scan(round_, None, keys)[1].mean(0)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce overoptimisation", Options, arguments)
    require_positive(seeds=chosen.seeds, fits=chosen.fits, rounds=chosen.rounds)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    divergence = np.log(DRAWS) - (np.array(DRAWS) - 1) / np.array(DRAWS)
    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
    rows = []
    for axes, labels in zip(panels, tqdm(LABELS, unit=" numbers of labels")):
        run = jax.jit(jax.vmap(partial(curves, labels, chosen)))
        for name, both in zip(REDUCTIONS, np.moveaxis(np.asarray(run(keys)), 0, 2)):
            proxy, found = both
            band(axes, divergence, found, name)
            last, low, high = interval(found[:, -1])
            peak = found.mean(0).argmax()
            fall, fall_low, fall_high = interval(found[:, -1] - found[:, peak])
            rows.append({"labels": labels, "proxy reward": name,
                         "highest gold": float(found.mean(0).max()),
                         "gold at n = 4096": last, "low": low, "high": high,
                         "fall from its best": fall, "fall low": fall_low, "fall high": fall_high,
                         "proxy at n = 4096": float(proxy[:, -1].mean())})  # fmt: skip
        axes.set(xlabel="KL(best of n, policy)", title=f"{labels} labels")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("gold reward")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
