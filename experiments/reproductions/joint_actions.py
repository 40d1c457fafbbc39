"""Soft values of joint actions whose digits see those before them, beside digits that do not.

Liu et al. (2025): auto-regressive advantages represent any joint soft value, and independent ones
for each dimension do not. Both are fitted by soft temporal differences to the transitions of a
policy that acts at random: in a bandit that rewards two dimensions for agreeing, and in random
processes of joint actions. Each has the best of three learning rates, by five seeds that are not
reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import envs
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, optimism
from jaxrl.errors import require_positive
from jaxrl.joint_actions import Digits, all_digits, joint_values
from jaxrl.types import Array, Discrete, Key, Spec

TITLE = "Share of the way from random joint actions to the best, and the error of soft values"
TUNING = 5  # seeds by which learning rates are chosen
RATES = (1e-3, 3e-3, 1e-2)
TEMPERATURE, GAMMA, BATCH = 0.1, 0.8, 64


@dataclass(frozen=True)
class Options:
    """Compare digits of joint actions that see each other with digits that do not."""

    seeds: int = 10
    """Number of seeds of each representation."""
    steps: int = 3000
    """Number of gradient steps, on 64 transitions each."""
    out: Path = Path(".reproductions/joint-actions")
    """Folder in which the table, the numbers and the picture are written."""


class Task(NamedTuple):
    """A process of joint actions, and how its actions are made of digits."""

    mdp: dp.TabularMDP
    digits: Digits


def agreeing() -> Task:
    """A bandit of two dimensions, each of two digits from coarse to fine, that must agree."""
    digits = Digits(4, 2)
    every = np.asarray(all_digits(digits))
    # The first half of each dimension, and then the half of that.
    reward = 0.5 * (every[:, 0] == every[:, 1]) + 0.5 * (every[:, 2] == every[:, 3])
    one = np.ones((1, len(every), 1))
    return Task(dp.from_arrays(one, reward[None], 0 * one, np.ones(1)), digits)


def random(seed: int = 0) -> Task:
    """A random process of four states, whose actions are three digits of three bins."""
    digits = Digits(3, 3)
    return Task(envs.tabular_mdp("garnet", states=4, actions=27, branching=2, seed=seed), digits)


TASKS: dict[str, Callable[[], Task]] = {"agreement of two dimensions": agreeing, "random": random}


def learnt(task: Task, sees_before: bool, steps: int, rate: Array, key: Key) -> dict[str, Array]:
    """The share of the way to the best soft policy, and the error of the values, over time."""
    mdp, digits = task
    states, actions = mdp.transition.shape[:2]
    spec = Spec(jax.ShapeDtypeStruct((states,), jnp.float32), Discrete(actions))
    q = joint_values(spec, digits, TEMPERATURE, (64, 64), "relu", sees_before)
    every, obs = all_digits(digits), jnp.eye(states)
    reward, discount = (jnp.broadcast_to(x, mdp.transition.shape) for x in mdp[1:3])
    exact = dp.soft_value_iteration(mdp, GAMMA, TEMPERATURE).theta
    k_init, k_steps = jax.random.split(key)
    params = q.init(k_init)
    rule = optax.adam(rate)

    def table(params: Any) -> Array:
        pairs = jnp.broadcast_to(obs[:, None], (states, actions, states))
        chosen = jnp.broadcast_to(every, (states, *every.shape))
        value, advantage = q.outputs(params, pairs, chosen)
        return value + advantage.sum(-1)

    def soft_return(theta: Array) -> Array:
        policy = jax.nn.softmax(theta / TEMPERATURE)
        return mdp.initial @ (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)

    low, high = soft_return(jnp.zeros((states, actions))), soft_return(exact)

    def step(carry: tuple, key: Key) -> tuple:
        params, target, opt = carry
        k_s, k_a, k_next = jax.random.split(key, 3)
        s = jax.random.randint(k_s, (BATCH,), 0, states)
        a = jax.random.randint(k_a, (BATCH,), 0, actions)
        following = jax.vmap(optimism.draw)(
            mdp.transition[s, a], jax.random.uniform(k_next, (BATCH,))
        )
        future, _ = q.outputs(target, obs[following], every[a])
        place = s, a, following
        goal = reward[place] + GAMMA * discount[place] * future

        def loss(params: Any) -> Array:
            value, advantage = q.outputs(params, obs[s], every[a])
            return ((value + advantage.sum(-1) - goal) ** 2).mean()

        change, opt = rule.update(jax.grad(loss)(params), opt)
        params = optax.apply_updates(params, change)
        return (params, optax.incremental_update(params, target, 0.02), opt), None

    def part(carry: tuple, keys: Key) -> tuple:
        carry, _ = jax.lax.scan(step, carry, keys)
        theta = table(carry[0])
        share = (soft_return(theta) - low) / (high - low)
        return carry, {"share": share, "error": jnp.abs(theta - exact).mean()}

    keys = jax.random.split(k_steps, (20, steps // 20))
    return jax.lax.scan(part, (params, params, rule.init(params)), keys)[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce joint-actions", Options, arguments)
    require_positive(seeds=given.seeds, steps=given.steps // 20)
    figure, pair = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    rows = []
    keys = jax.random.split(jax.random.key(0), given.seeds + TUNING)
    for axes, (name, make) in zip(pair, TASKS.items()):
        for label, sees in (("auto-regressive", True), ("independent", False)):
            run = partial(learnt, make(), sees, given.steps)
            found = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(jnp.array(RATES), keys)
            shares, errors = (np.asarray(found[x]) for x in ("share", "error"))
            best = int(shares[:, :TUNING].mean((1, 2)).argmax())
            at = (np.arange(20) + 1) * (given.steps // 20)
            band(axes, at, shares[best, TUNING:], label)
            share, low, high = interval(shares[best, TUNING:, -1])
            rows.append(
                {"task": name, "digits": label, "learning rate": RATES[best], "share": share,
                 "low": low, "high": high, "mean error": float(errors[best, TUNING:, -1].mean())}
            )  # fmt: skip
        axes.set(xlabel="gradient steps", title=name)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    pair[0].set_ylabel("share of the way to the best")
    save(given.out, TITLE, rows, figure)
