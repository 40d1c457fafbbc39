"""Values of reaching outcomes while acting for intents, learnt from observations alone.

V(s, g, z) is minus the discounted number of steps from state s to the outcome g of a policy that
wants to reach z. No action is seen: the expectile of a temporal difference prefers the steps that
are good for the intent. Its features of states serve what is learnt later with actions and rewards.
Source: Ghosh et al. (2023), "Reinforcement learning from passive data via latent intentions",
https://arxiv.org/abs/2304.04782, and the authors' code, https://github.com/dibyaghosh/icvf_release.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.buffers import Buffer, fetch
from jaxrl.goals.hindsight import ahead
from jaxrl.networks import blank, inputs
from jaxrl.networks.encoders import torso
from jaxrl.networks.layers import MLP, Dense
from jaxrl.settings import Layers
from jaxrl.state_values import expectile_weight
from jaxrl.types import Array, Key, Spec, Transition, Tree

fixed = jax.lax.stop_gradient

RANDOM, FUTURE = 0.3, 0.5
"""Shares of goals that are any observation, and a later one of the episode; others are reached."""


class IntentionValues(NamedTuple):
    """Several values of states, outcomes and intents, which are observations."""

    init: Callable[[Key], Tree]
    value: Callable[[Tree, Tree, Tree, Tree], Array]  # (params, obs, outcome, intent) -> [..., H]
    features: Callable[[Tree, Tree], Array]  # (params, obs [..., *]) -> [..., hidden[-1]]


class Intended(NamedTuple):
    """Steps [B], and what they are judged for."""

    obs: Tree  # [B, *observation]
    final: Tree  # [B, *observation]
    outcome: Tree  # [B, *observation]
    intent: Tree  # [B, *observation]
    reached: Array  # [B] bool, whether the outcome is this very step
    satisfied: Array  # [B] bool, whether the intent is this very step


class Multilinear(nn.Module):
    """The value (A (t * x))'(B (t * y)) of features x and y [..., K], with t made of those of z."""

    hidden: tuple[int, ...]
    activation: str

    @nn.compact
    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        """Values [...] of features [..., K] of states, outcomes and intents."""
        size = x.shape[-1]
        t = Dense(size, 1.0)(MLP(self.hidden, self.activation)(z))
        return (Dense(size, 1.0)(t * x) * Dense(size, 1.0)(t * y)).sum(-1)


def intention_values(spec: Spec, layers: Layers = Layers(), heads: int = 2) -> IntentionValues:
    """Multilinear values V(s, g, z) = phi(s)' T(z) psi(g) in `heads` independent copies.

    phi and psi are encoders of observations, and T(z) = diag(t) A'B diag(t), where t is a
    network's function of psi(z). The features are those of phi in the first copy.
    """
    encoder = torso(spec.observation, **vars(layers))
    head = Multilinear((layers.hidden or (64,))[-1:], layers.activation)
    encode = lambda params, obs: cast(Array, encoder.apply(params, inputs(spec, encoder, obs)))

    def init_one(key: Key) -> Tree:
        k_state, k_outcome, k_head = jax.random.split(key, 3)
        example = inputs(spec, encoder, blank(spec))
        params = {"state": encoder.init(k_state, example)}
        params |= {"outcome": encoder.init(k_outcome, example)}
        x = encode(params["state"], blank(spec))
        return params | {"head": head.init(k_head, x, x, x)}

    def one(params: Tree, obs: Tree, outcome: Tree, intent: Tree) -> Array:
        x, y, z = (
            encode(params[name], of)
            for name, of in (("state", obs), ("outcome", outcome), ("outcome", intent))
        )
        return cast(Array, head.apply(params["head"], x, y, z))

    init = lambda key: jax.vmap(init_one)(jax.random.split(key, heads))
    value = jax.vmap(one, (0, None, None, None), -1)
    first = lambda tree: jax.tree.map(lambda x: x[0], tree)
    return IntentionValues(init, value, lambda params, obs: encode(first(params["state"]), obs))


def intention_loss(
    value: Callable[[Tree, Tree, Tree, Tree], Array],
    params: Tree,
    target: Tree,
    steps: Intended,
    discount: float | Array,
    level: float | Array,
) -> Array:
    """The loss [B] of values of outcomes, weighted by the advantage of the step for its intent.

    With the reward r_g = -1 and the discount gamma, or 0 and 0 where the step is the goal itself,

        |level - 1{A < 0}| (r_g + gamma V'(s', g, z) - V(s, g, z))^2 / 2,
        A = r_z + gamma min V'(s', z, z) - mean V'(s, z, z),

    summed over heads, each of which regresses on its own target network V'. In a deterministic
    environment V(s, z, z) tends to the optimal value as the level tends to 1.

    Args:
      value: (params, obs, outcome, intent) -> [B, H], of an `IntentionValues` or a table.
      params: the parameters that are learnt.
      target: those of the target network.
      steps: transitions with outcomes and intents.
      discount: gamma.
      level: that of the expectile, in [0, 1].

    Source: Ghosh et al. (2023), section 4; the minimum and the mean are those of the authors' code.
    """

    def future(done: Array, goal: Tree) -> Array:
        going = 1.0 - done[:, None]
        return going * (discount * value(target, steps.final, goal, steps.intent) - 1.0)

    wanted = future(steps.satisfied, steps.intent).min(-1)
    advantage = wanted - value(target, steps.obs, steps.intent, steps.intent).mean(-1)
    aim = fixed(future(steps.reached, steps.outcome))
    error = jnp.square(aim - value(params, steps.obs, steps.outcome, steps.intent)).sum(-1)
    return fixed(expectile_weight(advantage, level)) * error / 2


def intended(batch: Transition, stored: Buffer, key: Key) -> Intended:
    """Steps [B] of a `placed` data set, with outcomes and intents that are drawn from it.

    The buffer began with the data set, and only what is drawn is read from it. Each of the two is
    any stored observation, a later one of the same episode, or that of the step, in shares of 0.3,
    0.5 and 0.2; half of the outcomes are the intents. Source: the authors' code.
    """
    k_intent, k_outcome, k_same = jax.random.split(key, 3)
    now, end = (jnp.maximum(x, 0) for x in batch.extras)
    lanes = stored.words.shape[1]
    number = max(stored.warmup * lanes, 1)

    def drawn(key: Key) -> Array:
        """The numbers [B] of stored steps."""
        k_kind, k_any, k_later = jax.random.split(key, 3)
        kind = jax.random.uniform(k_kind, now.shape)
        anywhere = jax.random.randint(k_any, now.shape, 0, number)
        step = ahead(k_later, jnp.maximum((end - now) // lanes, 1))
        later = jnp.minimum(now + lanes * step, jnp.maximum(end, now))
        return jnp.select([kind < RANDOM, kind < RANDOM + FUTURE], [anywhere, later], now)

    intent = drawn(k_intent)
    same = jax.random.bernoulli(k_same, 0.5, now.shape)
    outcome = jnp.where(same, intent, drawn(k_outcome))
    see = lambda index: fetch(stored, index).obs
    return Intended(
        batch.obs, batch.final, see(outcome), see(intent), outcome == now, intent == now
    )
