"""Stock augmentation: carry along what has been earned so far, and maximise a statistic of all.

The stock c starts an episode at a chosen c_0 and moves by c' = (c + r) / gamma, so that
gamma**t * (c_t + G_t) is the same at every time t: c_0 + G_0. Acting at each step for the best
statistic K of c + G then optimises K of c_0 + G_0, which no policy of the state alone can do,
if K is indifferent to mixtures and to gamma (see `with_stock`). Nothing else depends on the stock,
so one transition trains every value of it. Source: Pires et al. (2025), "Optimizing return
distributions with distributional dynamic programming".
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array, Env, Key, TimeStep, Transition, Tree, Update
from jaxrl.values import ReturnDistribution, Statistic


class Stocked(NamedTuple):
    """An observation and the stock it is made with."""

    obs: Tree  # [..., *observation]
    stock: Tree  # [...] one number each; in a spec its shape


def with_stock(statistic: Statistic, stock: Array) -> Statistic:
    """The statistic K of stock + Z, for stocks [...] and distributions [..., *, N].

    What a stock-augmented agent is greedy in. That it then optimises K of the whole return takes
    of K that it is

    - indifferent to mixtures: if K prefers each of some distributions to its counterpart, or likes
      them as much, it does so of their mixtures with the same weights. Expected utilities are,
      and so are lexicographic pairs of them; CVaR, variance and quantiles are not, and the policy
      that is best from here may not be part of the one that is best from the start.
    - indifferent to gamma: K ranks distributions as it ranks them multiplied by gamma, for each
      step scales what is still to come. Positively homogeneous utilities are (x, -|x|, -x**2,
      min(0, x)), whether x >= 0 is, and with gamma = 1 anything is; exponential utility and
      min(x, 0.5) are not.
    - Lipschitz, in the 1-Wasserstein distance, for values after finitely many backups to be near
      the optimum of an infinite horizon. Whether x >= 0 is not, though over a finite horizon it
      needs not be.
    """

    def shifted(distribution: ReturnDistribution) -> Array:
        axes = distribution.atoms.ndim - stock.ndim
        shift = stock.reshape(stock.shape + (1,) * axes)
        return statistic(distribution._replace(atoms=shift + distribution.atoms))

    return shifted


def next_stock(
    stock: Array,
    reward: Array,
    discount: float | Array,
    bounds: tuple[float, float] = (-jnp.inf, jnp.inf),
) -> Array:
    """The stock (c + r) / discount, clipped to `bounds`, and c + r where the discount is 0.

    All are [...]. `discount` is gamma, or over several steps what they make of it. Where the
    episode ends there is nothing left to scale.
    """
    ends = jnp.asarray(discount) == 0
    moved = (stock + reward) / jnp.where(ends, 1.0, discount)
    return jnp.clip(moved, *bounds)


def stocked(
    env: Env,
    gamma: float | Array,
    initial: float | Array | Callable[[Key], Array] = 0.0,
    bounds: tuple[float, float] = (-jnp.inf, jnp.inf),
) -> Env:
    """Show the stock with the observation: `Stocked(obs, stock [])`, of one lane.

    `initial` is the stock at the start of an episode, or draws it from a key. Apply below
    auto-reset, so that each episode starts with its own. A stock other than 0 grows as
    gamma**-t: `bounds` keep it where a network was trained. Raises `InputError` if gamma is not
    above zero.
    """
    require_positive(gamma=gamma)

    def show(ts: TimeStep, stock: Array) -> TimeStep:
        return ts._replace(obs=Stocked(ts.obs, stock), final=Stocked(ts.final, stock))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        env_key, stock_key = jax.random.split(key)
        state, ts = env.init(env_key)
        stock = initial(stock_key) if callable(initial) else initial
        stock = jnp.clip(jnp.asarray(stock, jnp.float32), *bounds)
        return (state, stock), show(ts, stock)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        inner, stock = state
        inner, ts = env.step(inner, action, key)
        stock = next_stock(stock, ts.reward, gamma * ts.discount, bounds)
        return (inner, stock), show(ts, stock)

    shape = Stocked(env.spec.observation, jax.ShapeDtypeStruct((), jnp.float32))
    return Env(init, step, env.spec._replace(observation=shape))


def relabelled(
    update: Update,
    gamma: float | Array,
    draw: Callable[[Key, Array], Array],
    bounds: tuple[float, float] = (-jnp.inf, jnp.inf),
) -> Update:
    """Learn from transitions between `Stocked` observations as if their stock had been another.

    `draw` makes of a key and the stocks [...] of a batch the stocks [...] to learn for; those of
    the successors follow from the rewards. For transitions, each on its own, of one step or folded
    by `n_step` outside of this: not for sequences. `gamma` and `bounds` are those of `stocked`.
    """

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        draw_key, learn_key = jax.random.split(key)
        stock = draw(draw_key, batch.obs.stock)
        later = next_stock(stock, batch.reward, gamma * batch.discount, bounds)
        batch = batch._replace(
            obs=batch.obs._replace(stock=stock), final=batch.final._replace(stock=later)
        )
        return update.apply(state, batch, learn_key)

    return update._replace(apply=apply)
