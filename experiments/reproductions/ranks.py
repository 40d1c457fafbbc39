"""The rank of a critic's features, left alone, kept within the Bellman equation's bound, or raised.

He et al. (2024), "Adaptive regularization of representation rank as an implicit constraint of
Bellman equation" (BEER), claim that features which are no more alike than the Bellman equation
allows give better values and returns than an unconstrained critic or one of the highest rank. DDPG
learns Pendulum without a penalty, with BEER's, and with one that raises the participation ratio of
the features, a smooth rank. Coefficients of both penalties are the same.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import beer, td3
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import make_train
from jaxrl.environments import scale_actions
from jaxrl.errors import require_positive
from jaxrl.networks import Critics, critic_ensemble
from jaxrl.rank import effective_rank, excess_similarity
from jaxrl.settings import Collection, Layers, Replay
from jaxrl.types import Agent, Array, Env, Key, Spec, Transition, Tree

TITLE = "DDPG on Pendulum by what is asked of the rank of its critic's features"
COEFFICIENTS = (1e-3, 10.0)
STEPS, COUNTED = 200, 100  # of an episode, and those after which enough of the return is seen
EVALUATIONS = 10


@dataclass(frozen=True)
class Options:
    """Train DDPG with penalties on the rank of its critic's features."""

    seeds: int = 5
    """Number of seeds of each run."""
    steps: float = 4e3
    """Number of environment steps of each run."""
    out: Path = Path(".reproductions/ranks")
    """Folder in which the table, the numbers and the picture are written."""


HP = beer.Hyperparameters(
    discount=0.95,
    collection=Collection(warmup=1_000),
    replay=Replay(batch_size=64, buffer_size=10_000),
    network=Layers(hidden=(64, 64)),
).replace(learning_rate=1e-3)


def highest(spec: Spec, hp: beer.Hyperparameters) -> Agent:
    """DDPG with a penalty on the logarithm of the participation ratio of the features, negated."""

    def penalty(
        critics: Critics, params: Tree, target: Tree, batch: Transition, action: Array
    ) -> Array:
        features = critics.linear(params, batch.obs, batch.action)[0][:, 0, :-1]  # [B, H]
        second = features.T @ features / len(features)
        ratio = jnp.square(jnp.trace(second)) / jnp.maximum(jnp.square(second).sum(), 1e-12)
        return jnp.full(len(features), -hp.rank_penalty * jnp.log(jnp.maximum(ratio, 1e-6)))

    return td3.td3(spec, hp, penalty=penalty)


def measured(env: Env, hp: beer.Hyperparameters, view: Tree, key: Key) -> dict[str, Array]:
    """Rank of features, errors of values and excess of similarity on episodes of the policy."""
    agent, critics = beer.beer(env.spec, hp), critic_ensemble(env.spec, 1, 1, hp.network)
    keys = jax.random.split(key, 8)
    state, first = jax.vmap(env.init)(keys)

    def step(carry: tuple, _: None) -> tuple:
        state, obs = carry
        action, _, _ = agent.exploit.step(view, (), obs, key)
        state, now = jax.vmap(env.step)(state, action, keys)
        return (state, now.final), (obs, action, now.reward, now.final)

    _, (obs, action, reward, final) = jax.lax.scan(step, (state, first.obs), None, STEPS)
    back = lambda later, r: ((now := r + hp.discount * later), now)
    returns = jax.lax.scan(back, jnp.zeros(8), reward, reverse=True)[1][:COUNTED]
    params = view.params["critics"]
    value = critics.apply(params, obs[:COUNTED], action[:COUNTED])[..., 0]
    features, weights = critics.linear(params, obs[:-1], action[:-1])
    following = critics.linear(params, final[:-1], action[1:])[0]
    over = lambda x: x[:, :, 0].reshape(-1, x.shape[-1])
    excess = excess_similarity(
        over(features), over(following), weights[0, :, 0], reward[:-1].reshape(-1),
        jnp.full(reward[:-1].size, hp.discount),
    )  # fmt: skip
    return {
        "rank": effective_rank(over(features)[:, :-1]),
        "bias": (value - returns).mean(),
        "error": jnp.sqrt(jnp.square(value - returns).mean()),
        "beyond": (excess > 0).mean(),
    }


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce ranks", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    env, keys = envs.make("Pendulum-v1"), jax.random.split(jax.random.key(0), chosen.seeds)
    observe = partial(measured, scale_actions(env), HP)
    runs = {
        "BEER": (beer.beer, (0.0, *COEFFICIENTS)),
        "highest rank": (highest, COEFFICIENTS),
    }
    figure, parts = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    rows = []
    for name, (make, coefficients) in runs.items():
        train = make_train(make, env, HP, chosen.steps, EVALUATIONS, 8, observe=observe)
        at = lambda c, key, train=train: train(key, HP.replace(rank_penalty=c)).metrics
        run = jax.jit(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))
        metrics = jax.tree.map(np.asarray, run(jnp.array(coefficients), keys))
        for i, coefficient in enumerate(coefficients):
            told = f"{name}, {coefficient:g}" if coefficient else "no penalty"
            row = {"run": name if coefficient else told, "coefficient": coefficient}
            for part, axes, of in zip(
                ("return", "rank", "error"), parts, ("evaluation_return", "rank", "error")
            ):
                mean, low, high = interval(metrics[of][i, :, -3:].mean(1))
                row |= {part: mean, f"{part} low": low, f"{part} high": high}
                band(axes, metrics["env_steps"][i, 0], metrics[of][i], told)
            for of in ("bias", "beyond"):
                row |= {of: float(metrics[of][i, :, -3:].mean())}
            rows.append(row)
    labels = ("evaluation return", "effective rank of features", "error of values")
    for axes, what in zip(parts, labels):
        axes.set(xlabel="environment steps", ylabel=what)
        axes.grid(alpha=0.3)
    parts[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
