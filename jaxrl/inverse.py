"""Inverse models: the action that led from one observation to the next, from those that are known.

    inverse = inverse_model(spec, data, key, known)
    data = jaxrl.data.labelled(data, inverse, known)

labels the steps of a data set whose actions are unknown, so that any agent learns from all of them.
Source: Zheng et al. (2023), "Semi-supervised offline reinforcement learning with action-free
trajectories", https://arxiv.org/abs/2210.06518.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxrl.cloning import cloning_loss, policy_network, within
from jaxrl.errors import require_fraction, require_positive
from jaxrl.logged import require_one_action
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree, listed


def inverse_model(
    spec: Spec,
    data: Transition,
    key: Key,
    known: Array | None = None,
    *,
    layers: Layers = Layers(),
    steps: int = 1_000,
    batch_size: int = 128,
    learning_rate: float | Array = 1e-3,
    held_out: float = 0.1,
    checks: int = 20,
) -> Callable[[Tree, Tree], Array]:
    """The mode of a model p(a | s, s'), by maximum likelihood on the known steps of a data set.

    Its parameters are those of the lowest loss on steps that were held out, looked at `checks`
    times during the descent. Where several actions have the same effect, a mean of them may have
    another one.

    Args:
      spec: of the environment.
      data: a data set [T, B, ...]; actions that are not known may be anything.
      key: of the initial parameters, the steps that are held out, and batches.
      known: [T, B] bool, where the action is known; everywhere by default.
      layers: of the network.
      steps: the number of gradient steps of Adam, a multiple of `checks` or rounded down to one.
      batch_size: of one of them.
      learning_rate: of one of them.
      held_out: the share of the known steps that is held out.
      checks: how often the loss of these is looked at.

    Returns:
      A function (obs [..., *], final [..., *]) -> actions [..., *].

    Raises:
      InputError: if there are several actions at once, or a number is outside its range.
    """
    require_one_action(spec)
    require_positive(steps=steps, batch_size=batch_size, checks=checks)
    require_fraction(held_out=held_out)
    k_init, k_split, k_learn = jax.random.split(key, 3)
    pair = spec._replace(observation=(spec.observation, spec.observation), mask=None)
    policy = policy_network(pair, "gaussian", layers)
    rows = listed(data._replace(extras=(), signals=()))
    rows = rows._replace(obs=(rows.obs, rows.final))
    weight = rows.weight if known is None else rows.weight * known.reshape(-1)
    held = jax.random.uniform(k_split, weight.shape) < held_out
    total = jnp.cumsum(jnp.where(held, 0.0, weight))

    def loss(params: Tree, batch: Transition) -> Array:
        return cloning_loss(policy.at(params, batch.obs), batch)

    def judged(params: Tree) -> Array:
        """The mean loss of what is held out."""
        share = jnp.where(held, weight, 0.0)
        each = jnp.where(share > 0, loss(params, rows), 0.0)
        return (share * each).sum() / jnp.maximum(share.sum(), 1e-8)

    rule = optax.adam(learning_rate)

    def one(state: tuple, key: Key) -> tuple[tuple, None]:
        params, opt = state
        # A step is drawn with a probability that is proportional to its weight.
        drawn = total[-1] * jax.random.uniform(key, (batch_size,))
        index = jnp.minimum(jnp.searchsorted(total, drawn, side="right"), len(total) - 1)
        batch = jax.tree.map(lambda x: x[index], rows)
        change, opt = rule.update(jax.grad(lambda p: loss(p, batch).mean())(params), opt, params)
        return (optax.apply_updates(params, change), opt), None

    def stretch(carry: tuple, keys: Key) -> tuple[tuple, None]:
        state, best, lowest = carry
        state, _ = jax.lax.scan(one, state, keys)
        now = judged(state[0])
        # With nothing held out every loss is zero, and the last parameters are taken.
        better = now <= lowest
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state[0], best)
        return (state, best, jnp.where(better, now, lowest)), None

    params = policy.init(k_init)
    start = ((params, rule.init(params)), params, jnp.full((), jnp.inf))
    keys = jax.random.split(k_learn, (checks, max(steps // checks, 1)))
    (_, best, _), _ = jax.lax.scan(stretch, start, keys)
    return lambda obs, final: within(policy.at(best, (obs, final)).mode())
