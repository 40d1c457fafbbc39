"""Diagnostics of models: errors over several steps, calibration, Bellman gaps, reach."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.models.dynamics import Prediction
from jaxrl.models.model import Model, branched, reached, starting_from
from jaxrl.networks import flat
from jaxrl.types import Actor, Array, Key, Transition, Tree


def error_curve(model: Model, batch: Transition, key: Key) -> Array:
    """The mean squared error [L] of predictions over L steps, on sequences [L, B, ...].

    The model continues from its own predictions, under the actions that were taken. Steps after
    the end of an episode do not count; errors are summed over the coordinates of the observation.
    """
    spec = model.spec.observation
    first = jax.tree.map(lambda x: x[0], batch.obs)
    k_init, k_roll = jax.random.split(key)
    state, _ = starting_from(model, first).init(k_init)

    def step(state: Tree, inputs: tuple) -> tuple[Tree, Array]:
        row, key = inputs
        state, now = model.step(state, row.action, key)
        wrong = flat(spec, now.final) - flat(spec, row.final)
        return state, jnp.square(wrong).sum(-1)

    keys = jax.random.split(k_roll, batch.reward.shape[0])
    _, errors = jax.lax.scan(step, state, (batch, keys))
    counted = reached(jnp.ones_like(batch.reward), batch.last) * batch.weight
    errors = jnp.where(counted > 0, errors, 0.0)
    return (counted * errors).sum(1) / jnp.where(counted.sum(1) > 0, counted.sum(1), 1)


def visited_value(
    model: Model,
    actor: Actor,
    view: Tree,
    value: Callable[[Tree, Array], Array],
    obs: Tree,
    key: Key,
    length: int,
) -> Array:
    """The mean [] of `value(obs, action)` [B] over rollouts of `length` steps from obs [B, *].

    It ranks policies by what a critic says of where they go, without acting in the environment.
    After a termination nothing follows, and steps count as 0. Source: the offline evaluation of Lei
    et al. (2024), https://arxiv.org/abs/2311.03351; the authors' code leaves these steps out of the
    mean, so that early terminations are not penalised.
    """
    steps, _ = branched(model, actor, view, obs, key, length)
    return (steps.weight * jax.vmap(value)(steps.obs, steps.action)).mean()


def coverage(seen: Prediction, target: Array, levels: Array) -> Array:
    """The share [M, Q] of targets [B, D + 1] within the central intervals of `levels` [Q].

    A calibrated model has coverage equal to the level. Source: Kuleshov et al. (2018), section 3.
    """
    z = jnp.abs(target - seen.mean) / jnp.maximum(seen.std, 1e-12)
    inside = jax.scipy.special.erf(z / jnp.sqrt(2.0))  # the smallest level that covers the target
    return jax.vmap(lambda level: (inside <= level).mean((-1, -2)), out_axes=-1)(levels)


def bellman_gap(
    model: Model,
    truth: Model,
    value: Callable[[Tree], Array],
    obs: Tree,
    action: Array,
    discount: float | Array,
    key: Key,
    draws: int = 16,
) -> Array:
    """|T_model V - T V| at observations and actions [B, *], by `draws` outcomes of each model.

    `value(obs [B, *]) -> [B]`. The gap is zero for a correct model, and for one whose errors do
    not change the value.
    """

    def backup(which: Model, key: Key) -> Array:
        def one(key: Key) -> Array:
            k_enter, k_step = jax.random.split(key)
            _, now = which.step(which.enter(obs, k_enter), action, k_step)
            return now.reward + discount * now.discount * value(now.final)

        return jax.vmap(one)(jax.random.split(key, draws)).mean(0)

    k_model, k_truth = jax.random.split(key)
    return jnp.abs(backup(model, k_model) - backup(truth, k_truth))


def edge_of_reach(transition: Array, data: Array, steps: int) -> Array:
    """The states [S] that rollouts of `steps` steps from the `data` [S] reach only at their end.

    Values there are used as targets and never learnt. `transition` [S, A, S] has the
    probabilities of a finite process. Source: Sims et al. (2024), definition 1.
    """
    require_positive(steps=steps)
    leads = (transition > 0).any(1)

    def grow(inside: Array, _: None) -> tuple[Array, Array]:
        return inside | (leads & inside[:, None]).any(0), inside

    last, before = jax.lax.scan(grow, data.astype(bool), None, steps)
    return last & ~before[-1]


def value_variance(values: Array, where: Array) -> Array:
    """The variance [] between members of values [M, *S], averaged where `where` [*S] holds.

    Ensembles of critics disagree at the edge of reach, where nothing is learnt, and agree within
    it. The result is zero if `where` holds nowhere. Source: Sims et al. (2024).
    """
    return (values.var(0) * where).sum() / jnp.maximum(where.sum(), 1)
