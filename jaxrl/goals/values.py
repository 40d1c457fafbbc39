"""Values of reaching goals, learnt from data without rewards, and what policies learn from them.

V(s, g) is minus the discounted number of steps from s to g: with gamma below 1 and d steps,

    V(s, g) = -(1 - gamma^d) / (1 - gamma),

which is 0 at the goal. The loss is `jaxrl.goals.intentions.intention_loss` for one goal, which is
GCIVL: its expectile is over steps and not over actions alone, so that it is optimistic where the
dynamics are random. With `optioned` steps one reward and one discount are of several steps, which
is the value of OTA.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxrl.cloning import exponential_weight
from jaxrl.goals.environments import goals_of
from jaxrl.goals.hindsight import Wanted
from jaxrl.goals.intentions import Intended, intention_loss
from jaxrl.goals.stored import Stored
from jaxrl.networks.inputs import flat, scaled
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.settings import Layers
from jaxrl.types import Array, Goals, Key, Spec, Tree

fixed = jax.lax.stop_gradient


class GoalValues(NamedTuple):
    """Several values of observations, without goals, and of goals."""

    init: Callable[[Key], Tree]
    value: Callable[[Tree, Tree, Tree], Array]  # (params, obs [..., *], goal [..., *]) -> [..., H]
    represent: Callable[[Tree, Tree, Tree], Array]
    # represent: (params, obs [..., *], goal [..., *]) -> [..., D] of length sqrt(D)


def goal_values(spec: Spec, layers: Layers = Layers(), heads: int = 2, size: int = 0) -> GoalValues:
    """Values V(s, rep(s, g)) in `heads` independent copies, by networks of flat inputs.

    The representation [size] of a goal is a network's function of it and of the observation, of
    length sqrt(size), which the copies share. With a `size` of 0 it is the goal itself. Raises an
    InputError if the spec has no goals. Source of the representation: Park et al. (2023), "HIQL:
    Offline goal-conditioned RL with latent states as actions", https://arxiv.org/abs/2307.11949.
    """
    goals = goals_of(spec, "values of goals")
    shapes = (spec.observation.obs, goals.goal)
    torso = MLP(tuple(layers.hidden), layers.activation, layers.layer_norm)
    head, encoder = Tower(torso, 1), Tower(torso, max(size, 1))
    see = lambda shape, x: flat(shape, scaled(shape, x))
    both = lambda obs, goal: jnp.concatenate([see(shapes[0], obs), see(shapes[1], goal)], -1)
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def represent(params: Tree, obs: Tree, goal: Tree) -> Array:
        if not size:
            return see(shapes[1], goal)
        return unit(cast(Array, encoder.apply(params["goal"], both(obs, goal))))

    def init(key: Key) -> Tree:
        k_goal, k_heads = jax.random.split(key)
        params = {"goal": initialise(encoder, k_goal, both(*blank)) if size else ()}
        x = joined(params, *blank)
        one = lambda key: initialise(head, key, x)
        return params | {"heads": jax.vmap(one)(jax.random.split(k_heads, heads))}

    def joined(params: Tree, obs: Tree, goal: Tree) -> Array:
        return jnp.concatenate([see(shapes[0], obs), represent(params, obs, goal)], -1)

    def value(params: Tree, obs: Tree, goal: Tree) -> Array:
        x = joined(params, obs, goal)
        each = lambda params: cast(Array, head.apply(params, x))[..., 0]
        return jax.vmap(each, out_axes=-1)(params["heads"])

    return GoalValues(init, value, represent)


def unit(x: Array) -> Array:
    """Vectors [..., D] of the same directions and the length sqrt(D)."""
    square = jnp.square(x).sum(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-8)) * x.shape[-1] ** 0.5


def optioned(found: Stored, wanted: Wanted, steps: int) -> Tree:
    """The successors [N, *observation] of options: `steps` steps later, without their goals.

    An option ends earlier where its goal is a later step of the same episode that is nearer, and
    at the end of the episode. It does not end at a goal of another place that it passes. With one
    step they are the successors of the transitions.
    """
    if steps == 1:
        return found.steps.final.obs
    length = jnp.clip(jnp.minimum(steps, wanted.steps), 1)
    return found.later(length - 1).final.obs


def goal_value_loss(
    value: Callable[[Tree, Tree, Tree], Array],
    params: Tree,
    target: Tree,
    goals: Goals,
    obs: Tree,
    after: Tree,
    goal: Tree,
    discount: float | Array,
    level: float | Array,
) -> Array:
    """The loss [N] of values of goals: expectiles of -1 + gamma V'(s', g), and 0 at the goal.

        |level - 1{A < 0}| (r + gamma V'(s', g) - V(s, g))^2 / 2,
        A = r + gamma min V'(s', g) - mean V'(s, g),

    summed over heads, with r = -1 and gamma = 0 = r where s has reached g. Where the environment
    is deterministic and the level tends to 1, V is that of the shortest path in the data. With
    successors of options of n steps each pays -1 and costs one gamma, and d is ceil(d / n).

    Args:
      value: (params, obs, goal) -> [N, H], of a `GoalValues` or a table.
      params: the parameters that are learnt.
      target: those of the target network.
      goals: what it is to reach a goal.
      obs: observations [N, *], without goals.
      after: their successors, or those of options.
      goal: the goals [N, *].
      discount: gamma.
      level: that of the expectile, in [0, 1].

    Source: the value of Park et al. (2023), https://arxiv.org/abs/2307.11949, and with options
    Ahn et al. (2025), "Option-aware temporally abstracted value for offline goal-conditioned
    reinforcement learning", https://arxiv.org/abs/2505.12737.
    """
    there = goals.reached(goals.achieved(obs), goal)
    steps = Intended(obs, after, goal, goal, there, there)
    of_one = lambda params, obs, outcome, intent: value(params, obs, outcome)
    return intention_loss(of_one, params, target, steps, discount, level)


def progress_weight(
    value: Callable[[Tree], Array],
    obs: Tree,
    after: Tree,
    inverse_temperature: float | Array,
    largest: float | Array,
) -> tuple[Array, Array]:
    """The weights min(exp(beta A), largest) [N] of steps towards a goal, and their progress A [N].

    A = V(after) - V(obs) is the mean over the heads of `value(obs)` [N, H], whose goal is fixed.
    Rewards and discounts are left out, since they are the same for all steps. Source: the authors'
    code of Park et al. (2023), https://github.com/seohongpark/HIQL.
    """
    progress = fixed((value(after) - value(obs)).mean(-1))
    return exponential_weight(progress, inverse_temperature, largest), progress
