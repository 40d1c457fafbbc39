"""Which factors latent world models keep, among distractors that last: InfoPower and RePo.

Bharadhwaj et al. (2022), "InfoPower", claim that empowerment makes models keep first what actions
control, also where no reward tells; Zhu et al. (2023), "RePo", that a bound on what the past does
not tell of latents makes models resilient to distractors. A place on a ring of three goes left,
stays or goes right, as the action says but for slips; a sign of three stays with the probability of
`persistence` or is drawn anew; what is seen is a random nonlinear function of both. In a narrow
model, whose latent has room for one of them, nothing is paid. In a wide one there is room for both,
and one of the places pays: reconstruction and RePo are compared there. All ways to fill a narrow
latent, 3^9, are compared exactly.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from agents import dreamer, info_power, repo
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.models.latent import World, world
from jaxrl.networks.backbones import backbone
from jaxrl.representations import mutual_information
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Transition

TITLE = "Share of the place and of the sign that latent classes tell, by persistence of the sign"
SIDE, SEEN, LENGTH, LANES, SLIP = 3, 24, 8, 32, 0.2
PERSISTENCES = (0.0, 0.9, 1.0)
SPEC = Spec(jax.ShapeDtypeStruct((SEEN,), jnp.float32), Discrete(SIDE))
GROUPS = {"narrow, unpaid": 1, "wide, paid": 2}
WIDE = ("reconstruction", "RePo")  # what is learnt where there is room for both
COMMON: dict[str, Any] = dict(size=32, classes=SIDE, network=Layers((64,), "swish"), free=0.0)
COMMON |= dict(model_learning_rate=3e-3)
# A place costs 0.5 nats a step, which is what slips leave unknown of it.
OBJECTIVES: dict[str, tuple[Any, Any]] = {
    "reconstruction": (dreamer.reconstructive, dreamer.Hyperparameters(**COMMON)),
    "RePo": (repo.predictive, repo.Hyperparameters(**COMMON, information=0.6)),
    "information alone": (
        info_power.prioritised,
        info_power.Hyperparameters(**COMMON, empowerment=0.0, information=3.0),
    ),
    "InfoPower": (
        info_power.prioritised,
        info_power.Hyperparameters(**COMMON, empowerment=5.0, information=0.5),
    ),
}


@dataclass(frozen=True)
class Options:
    """Learn world models by several objectives, and see which factors they keep."""

    seeds: int = 5
    """Number of seeds of each model."""
    steps: int = 600
    """Number of gradient steps of each model, on 32 sequences of eight steps each."""
    out: Path = Path(".reproductions/empowerment")
    """Folder in which the table, the numbers and the picture are written."""


def kernels(persistence: float) -> np.ndarray:
    """The joint law [X, A, X'] of states, place * 3 + sign, random actions and successors."""
    kept = np.eye(SIDE)
    place = np.stack([np.roll(kept, a - 1, 1) for a in range(SIDE)], 1)  # [C, A, C']
    place = (1 - SLIP) * place + SLIP / SIDE
    sign = persistence * kept + (1 - persistence) / SIDE
    both = np.einsum("cap,dq->cdapq", place, sign)
    return both.reshape(SIDE**2, SIDE, SIDE**2) / SIDE**3


def entropies(p: np.ndarray) -> np.ndarray:
    """The entropies [M] of laws [M, ...], in nats."""
    p = p.reshape(len(p), -1)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(1)


def exact(persistence: float) -> dict[str, np.ndarray]:
    """Of all maps [3^9] from states to three classes: what they tell, and their informations.

    `information` is H(Z) - H(Z' | Z, A), and `empowerment` I(A; Z' | Z).
    """
    maps = np.indices((SIDE,) * SIDE**2).reshape(SIDE**2, -1).T
    hot = np.eye(SIDE)[maps]  # [M, X, Z]
    after = np.einsum("xay,myw->mxaw", kernels(persistence), hot)
    joint = np.einsum("mxz,mxaw->mzaw", hot, after)
    of = lambda *axes: entropies(joint.sum(axes) if axes else joint)
    alone = of(2, 3)
    told = {"information": alone - (of() - of(3)), "empowerment": of(3) - alone - of() + of(2)}
    by_sign, whole = hot.reshape(-1, SIDE, SIDE, SIDE).mean(1) / SIDE, np.log(SIDE)  # [M, D, Z]
    sign = whole + alone - entropies(by_sign)
    return told | {"place": (alone - sign) / whole, "sign": sign / whole}


def walked(key: Key, see: Array, persistence: Array, pays: float) -> Transition:
    """Sequences [LENGTH, LANES, ...] of random actions from random states."""
    k_start, k_act, k_slip, k_stay, k_new = jax.random.split(key, 5)
    start = jax.random.randint(k_start, (2, LANES), 0, SIDE)
    shape = (LENGTH, LANES)
    action = jax.random.randint(k_act, shape, 0, SIDE)
    slips = jax.random.uniform(k_slip, (*shape, 2))
    stays = jax.random.uniform(k_stay, shape) < persistence
    drawn = jax.random.randint(k_new, shape, 0, SIDE)
    turns = jnp.where(slips[..., 0] < SLIP, jnp.floor(slips[..., 1] * SIDE), action).astype(int)

    def step(now: tuple, told: tuple) -> tuple[tuple, tuple]:
        turn, stay, new = told
        now = (now[0] + turn - 1) % SIDE, jnp.where(stay, now[1], new)
        return now, now

    _, after = jax.lax.scan(step, (start[0], start[1]), (turns, stays, drawn))
    place, sign = (jnp.concatenate([x[None], y]) for x, y in zip(start, after))
    obs, ones = see[place * SIDE + sign], jnp.ones(shape)
    reward = pays * (place[1:] == 0)
    last = jnp.zeros(shape, bool).at[-1].set(True)
    return Transition(obs[:-1], action, reward, ones, last, obs[1:], (), ones)


def shares(mind: World, params: Any, see: Array) -> Array:
    """What the classes tell [2] of the place if the sign is known, and of the sign, exactly.

    Both are shares of log 3, and their sum is the information of both in the classes.
    """
    p = jnp.exp(mind.posterior(params, jnp.zeros(()), see))  # [X, G, C]
    joint = p[:, 0]
    for group in range(1, p.shape[1]):
        joint = (joint[..., None] * p[:, group, None]).reshape(len(p), -1)
    joint = joint / SIDE**2
    sign = mutual_information(joint.reshape(SIDE, SIDE, -1).sum(0))
    return jnp.stack([mutual_information(joint) - sign, sign]) / jnp.log(SIDE)


def learnt(objective: str, setting: str, steps: int, persistence: Array, key: Key) -> Array:
    """The shares [2] that a model tells after so many gradient steps."""
    learn, hp = OBJECTIVES[objective]
    hp = hp.replace(groups=GROUPS[setting])
    carry = partial(backbone, "gru", size=hp.size)
    mind = world(
        SPEC, carry, hp.groups, hp.classes, hp.network.hidden, balance=hp.balance, free=hp.free
    )
    k_see, k_init, k_run = jax.random.split(key, 3)
    of_place, of_sign = jax.random.normal(k_see, (2, SIDE, SEEN))
    see = jnp.tanh(of_place[:, None] + of_sign).reshape(SIDE**2, SEEN)
    update, pays = learn(mind, hp), float(setting == "wide, paid")

    def step(state: Any, key: Key) -> tuple[Any, None]:
        k_walk, k_learn = jax.random.split(key)
        batch = walked(k_walk, see, persistence, pays), ()
        return update.apply(state, batch, k_learn)[0], None

    state, _ = jax.lax.scan(step, update.init(k_init, None), jax.random.split(k_run, steps))
    return shares(mind, update.read(state), see)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce empowerment", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    keys, rows = jax.random.split(jax.random.key(0), chosen.seeds), []
    figure, panels = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharey=True)
    parts = ("place", "sign")
    with tqdm(total=len(OBJECTIVES) + len(WIDE), unit=" models") as bar:
        for (setting, groups), line in zip(GROUPS.items(), panels):
            for name in OBJECTIVES if groups == 1 else WIDE:
                run = jax.vmap(jax.vmap(partial(learnt, name, setting, chosen.steps), (None, 0)),
                               (0, None))  # fmt: skip
                found = np.asarray(jax.jit(run)(jnp.array(PERSISTENCES), keys))
                for k, axes in enumerate(line):
                    band(axes, PERSISTENCES, found[..., k].T, name, marker="o")
                for persistence, each in zip(PERSISTENCES, found):
                    (place, low, high), (sign, least, most) = map(interval, each.T)
                    rows.append({"model": setting, "objective": name, "persistence": persistence,
                                 "place": place, "low": low, "high": high, "sign": sign,
                                 "sign low": least, "sign high": most})  # fmt: skip
                bar.update()
            for axes, part in zip(line, parts):
                axes.set(xlabel="persistence of the sign", title=f"{setting}: share of the {part}")
                axes.grid(alpha=0.3)
    for persistence in PERSISTENCES:
        told = exact(persistence)
        for what in ("information", "empowerment"):
            best = int(told[what].round(9).argmax())
            place, sign = (abs(float(told[part][best].round(9))) for part in parts)
            rows.append({"model": "exact, narrow", "objective": what, "persistence": persistence,
                         "place": place, "low": place, "high": place, "sign": sign,
                         "sign low": sign, "sign high": sign})  # fmt: skip
    panels[0, 1].legend(frameon=False, fontsize="small")
    save(chosen.out, TITLE, rows, figure)
