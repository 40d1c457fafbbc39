"""Estimators of policy gradients, each on a small process with an exact answer.

- Momentum: N-PG-IGT and N-HARPG (Fatkhullin et al. 2023) beside plain and averaged gradients, by
  the shortfall of the return after as many episodes, one for each gradient.
- Sampling: PROPS (Corrado and Hanna 2024) and one gradient step (Zhong et al. 2022) beside sampling
  from the policy, by the divergence of a buffer from the policy and the error of a gradient.
- Two sources: HNPG (Zhou et al. 2024) beside its critic of one source alone, in combination locks
  with offline data that cover the best policy and with data that do not.

Every rule has the best of three step sizes, by the mean of its curve over five seeds that are not
reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from jaxrl import dp, optimism, policy_gradients
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Shortfall, sampling error and success of estimators of policy gradients"
TUNING = 5  # seeds by which step sizes are chosen
RATES = (0.03, 0.1, 0.3)
HORIZON = 10  # of the process of the momentum rules


@dataclass(frozen=True)
class Options:
    """Compare estimators of policy gradients on small processes."""

    seeds: int = 20
    """Number of seeds of each rule."""
    episodes: int = 2000
    """Number of episodes that each momentum rule samples."""
    rounds: int = 60
    """Number of policies that each critic of the combination lock leads to."""
    out: Path = Path(".reproductions/policy-gradients")
    """Folder in which the table, the numbers and the picture are written."""


def shortfalls(name: str, episodes: int, rate: Array, key: Key) -> Array:
    """The best return minus that of the softmax policy, before each of the sampled gradients."""
    mdp = envs.tabular_mdp("garnet", states=5, actions=3, seed=3)
    play, best = optimism.tabular_play(mdp, HORIZON), optimism.best_return(mdp, HORIZON)
    repeated = lambda theta: jnp.broadcast_to(jax.nn.softmax(theta), (HORIZON, *theta.shape))
    k_rule, k_steps = jax.random.split(key)
    falling = lambda step: rate / jnp.sqrt(1.0 + step)
    eta = lambda step: (2 / (step + 2)) ** 0.8
    descent = optax.scale_by_learning_rate(falling)
    rules: dict[str, Any] = {
        "gradient": optax.chain(optax.normalize_by_update_norm(), descent),
        "average of ten": optax.chain(optax.ema(0.9), optax.normalize_by_update_norm(), descent),
        "N-PG-IGT": policy_gradients.normalised_transport(falling, eta),
        "N-HARPG": policy_gradients.normalised_hessian_momentum(falling, eta, k_rule),
    }
    rule = rules[name]

    def surrogate(theta: Array, key: Key) -> Callable[[Array], Array]:
        """Minus the return of an episode under theta, as a function with its derivatives."""
        steps = play(repeated(jax.lax.stop_gradient(theta)), key)

        def of(at: Array) -> Array:
            log_prob = jax.nn.log_softmax(at)[steps.state, steps.action]
            return -policy_gradients.differentiable_return(log_prob, steps.reward, steps.discount)

        return of

    def step(carry: tuple[Array, Any], key: Key) -> tuple[tuple[Array, Any], Array]:
        theta, state = carry
        k_gradient, k_curvature = jax.random.split(key)
        at = policy_gradients.sampling_params(state, theta) if name == "N-PG-IGT" else theta
        slope = jax.grad(surrogate(at, k_gradient))(at)
        more: dict[str, Any] = {}
        if name == "N-HARPG":
            more["curvature"] = lambda at, direction: policy_gradients.hessian_vector(
                surrogate(at, k_curvature), at, direction
            )
        change, state = rule.update(slope, state, theta, **more)
        shortfall = best - optimism.episode_return(mdp, repeated(theta))
        return (theta + change, state), shortfall

    # N-HARPG samples an episode for the gradient and another one for the Hessian.
    gradients = episodes // 2 if name == "N-HARPG" else episodes
    start = jnp.zeros((5, 3))
    carry = start, rule.init(start)
    return jax.lax.scan(step, carry, jax.random.split(k_steps, gradients))[1]


def sampled(name: str, number: int, rate: Array, key: Key) -> Array:
    """The sampling error of a growing buffer, and that of its policy gradient: [2, number]."""
    theta = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1]]))
    reward = jnp.array([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [0.5, -1.0, 3.0]])
    log_prob = lambda at, obs, action: jax.nn.log_softmax(at)[obs, action]
    states, actions = (x.reshape(-1) for x in jnp.indices((3, 3)))

    def value(theta: Array) -> Array:
        """A choice between two rooms, or neither, and then one in the room."""
        pi = jax.nn.softmax(theta)
        return pi[0, 0] * (pi[1] @ reward[1]) + pi[0, 1] * (pi[2] @ reward[2])

    def estimate(counts: Array) -> Array:
        """The policy gradient by the frequencies of the buffer, with exact returns to go."""
        pi = jax.nn.softmax(theta)
        worth = reward.at[0].set(jnp.array([pi[1] @ reward[1], pi[2] @ reward[2], 0.0]))
        score = lambda at: (counts * jax.nn.log_softmax(at) * worth).sum() / counts[0].sum()
        return jax.grad(score)(theta)

    def behaviour(counts: Array) -> Array:
        weight = counts.reshape(-1)
        total = jnp.maximum(counts.sum(), 1.0)
        buffer = log_prob, theta, states, actions
        if name == "one step":
            return policy_gradients.least_sampled(*buffer, step=rate * total, weight=weight)
        if name == "PROPS":
            return policy_gradients.proximal_sampling(
                *buffer, step=0.1 * rate * total, iterations=8, clip=0.3, largest=0.3, weight=weight
            )
        return theta

    exact = jax.grad(value)(theta)

    def episode(counts: Array, key: Key) -> tuple[Array, tuple[Array, Array]]:
        k_first, k_second = jax.random.split(key)
        logits = behaviour(counts)
        first = jax.random.categorical(k_first, logits[0])
        room = first + 1
        second = jax.random.categorical(k_second, logits[jnp.minimum(room, 2)])
        counts = counts.at[0, first].add(1.0)
        counts = counts.at[jnp.minimum(room, 2), second].add(1.0 * (first < 2))
        error = policy_gradients.sampling_error(counts, jax.nn.softmax(theta))
        return counts, (error, jnp.linalg.norm(estimate(counts) - exact))

    keys = jax.random.split(key, number)
    return jnp.stack(jax.lax.scan(episode, jnp.zeros((3, 3)), keys)[1])


def lock(length: int, actions: int = 10) -> dp.TabularMDP:
    """A combination lock: one of ten actions goes on, others pay 0.1 once and lead nowhere."""
    states = 2 * length + 1  # right so far, wrong, and over
    p = np.zeros((states, actions, states))
    r, d = np.zeros_like(p), np.ones_like(p)
    rng = np.random.default_rng(0)
    for step in range(length):
        right, last = rng.integers(actions), step == length - 1
        p[step, :, states - 1 if last else length + step + 1] = 1.0
        r[step] = 0.1
        p[step, right] = 0.0
        p[step, right, states - 1 if last else step + 1] = 1.0
        r[step, right] = float(last)
        p[length + step, :, states - 1 if last else length + step + 1] = 1.0
    p[-1, :, -1] = 1.0
    return dp.from_arrays(p, r, d, np.eye(states)[0])


def locked(length: int, covered: bool, share: float, rounds: int, rate: Array, key: Key) -> Array:
    """The return of the policy in each round, with a critic of two sources.

    `share` is that of the temporal differences off-policy in its loss. Offline data are of the best
    policy with a random action once in an episode, or of all other actions.
    """
    mdp = lock(length)
    states, actions = mdp.transition.shape[:2]
    play = optimism.tabular_play(mdp, length)
    best = optimism.greedy_policy(dp.finite_horizon(mdp, length))
    behaviour = (1 - 1 / length) * best + 1 / (length * actions)
    if not covered:
        behaviour = (best < 1) / (best < 1).sum(-1, keepdims=True)
    k_data, k_rounds = jax.random.split(key)
    data = jax.vmap(play, (None, 0), 1)(behaviour, jax.random.split(k_data, 200))  # [H, N]
    # Features of a time are the pairs of an action and whether all went right so far.
    every = jnp.eye(2 * actions).reshape(2, actions, -1)
    wrong = lambda state: (state >= length).astype(jnp.int32)
    offline = dp.LinearBatch(
        every[wrong(data.state), data.action], data.reward, data.discount,
        every[wrong(data.following)],
    )  # fmt: skip

    def one(theta: Array, key: Key) -> tuple[Array, Array]:
        policy = jax.nn.softmax(theta)  # [S, A], as each state has its own time
        repeated = jnp.broadcast_to(policy, (length, states, actions))
        own = jax.vmap(play, (None, 0), 1)(repeated, jax.random.split(key, 50))
        to_go = jnp.cumsum(own.reward[::-1], 0)[::-1]
        online = policy_gradients.Returns(every[wrong(own.state), own.action], to_go)
        weights = policy_gradients.two_source_critic(
            online, offline, policy[data.following], share, 1e-4
        )
        # The natural gradient of a table adds the values of each state, at its own time.
        at = jnp.arange(length)
        change = jnp.zeros_like(theta).at[at].set(weights[:, :actions])
        change = change.at[length + at].set(weights[:, actions:])
        return theta + rate * change, optimism.episode_return(mdp, repeated)

    start = jnp.zeros((states, actions))
    return jax.lax.scan(one, start, jax.random.split(k_rounds, rounds))[1]


def tuned(
    run: Callable[[Array, Key], Array],
    seeds: int,
    better: Callable[[np.ndarray], np.ndarray],
    rates: tuple[float, ...] = RATES,
) -> tuple[float, np.ndarray]:
    """The step size that is better in the mean over seeds, and the curves of the other seeds."""
    keys = jax.random.split(jax.random.key(0), seeds + TUNING)
    found = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(jnp.array(rates), keys)
    found = np.asarray(found)
    best = int(better(found[:, :TUNING].mean(1)).argmax())
    return rates[best], found[best, TUNING:]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce policy-gradients", Options, arguments)
    require_positive(seeds=given.seeds, episodes=given.episodes, rounds=given.rounds)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    rows: list[dict[str, Any]] = []

    def add(task: str, rule: str, rate: float | str, of: str, values: np.ndarray) -> None:
        mean, low, high = interval(values)
        row = {"task": task, "rule": rule, "step size": rate, "measure": of, "mean": mean}
        rows.append(row | {"low": low, "high": high})

    lowest = lambda curves: -curves.mean(-1)
    for name in ("gradient", "average of ten", "N-PG-IGT", "N-HARPG"):
        rate, curve = tuned(partial(shortfalls, name, given.episodes), given.seeds, lowest)
        at = np.unique(np.geomspace(1, curve.shape[1], 60).astype(int)) - 1
        episodes = (at + 1) * given.episodes // curve.shape[1]
        band(left, episodes, curve[:, at], name)
        last = curve[:, -max(curve.shape[1] // 10, 1) :].mean(1)
        add("momentum", name, rate, f"shortfall after {given.episodes} episodes", last)
    for name in ("policy itself", "one step", "PROPS"):
        run = partial(sampled, name, 300)
        rates = (0.3, 1.0, 3.0)
        rate, found = tuned(run, 10 * given.seeds, lambda x: lowest(x[:, 0]), rates)
        at = np.unique(np.geomspace(1, 300, 40).astype(int)) - 1
        band(middle, at + 1, found[:, 0, at], name)
        rate = "" if name == "policy itself" else rate
        for number in (30, 300):
            for of, values in zip(("divergence", "gradient error"), np.moveaxis(found, 1, 0)):
                add("sampling", name, rate, f"{of}, {number} episodes", values[:, number - 1])
    for length, covered in ((8, True), (2, False)):
        task = (
            f"lock of {length}, data {'of the best policy' if covered else 'of all other actions'}"
        )
        for name, share in (("on-policy alone", 0.0), ("offline alone", 1.0), ("HNPG", 0.5)):
            run = partial(locked, length, covered, share, given.rounds)
            rate, curve = tuned(run, given.seeds, lambda x: x.mean(-1), (1.0, 3.0, 10.0))
            band(right, np.arange(given.rounds), curve, f"{name}, {length}")
            add(task, name, rate, f"return after {given.rounds} rounds", curve[:, -1])
    left.set(xscale="log", yscale="log", xlabel="episodes", title="shortfall of the return")
    middle.set(xscale="log", yscale="log", xlabel="episodes", title="divergence of the buffer")
    right.set(xlabel="rounds of 50 episodes", title="return in combination locks")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    save(given.out, TITLE, rows, figure)
