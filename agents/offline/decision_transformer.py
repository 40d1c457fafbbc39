"""Cloning of sequences that are conditioned on the return to go (Chen et al. 2021).

A network with a memory reads what was seen, done and still to be earned, and learns which action
followed. It acts for a target, from which each reward is taken off. In a stochastic environment it
takes luck for skill. Source: "Decision Transformer: Reinforcement learning via sequence modeling",
https://arxiv.org/abs/2106.01345. There a step is three tokens with a learnt embedding of the time;
here it is one, of the return to go, the observation and the action before it, and attention decays
with the distance in time.
"""

from functools import partial

import distrax
import jax
import jax.numpy as jnp
import optax

from agents.offline import bc
from jaxrl import networks, returns
from jaxrl.cloning import POLICIES, cloning_loss, within
from jaxrl.conditioned import Conditioned, conditioned, return_to_go
from jaxrl.errors import require, require_known
from jaxrl.fields import POSITIVE, number, record, static
from jaxrl.networks import Own, action_size, flat_action
from jaxrl.normalise import replaying, shown
from jaxrl.policies import allowed, policy_family
from jaxrl.settings import Optimisation, Recurrent, Replay
from jaxrl.types import (
    Actor,
    Agent,
    Array,
    Box,
    Env,
    Key,
    Spec,
    Transition,
    Tree,
    Update,
)
from jaxrl.updates import Learner, descend, enriched, optimiser_for, replayed, require_buffer


@record
class Hyperparameters(bc.Hyperparameters):
    """The hyperparameters of a decision transformer: those of cloning, and of returns to go."""

    target: float = number(0.0)
    """Return that the agent acts for, undiscounted."""
    return_scale: float = number(1.0, POSITIVE)
    """Number by which returns to go are divided before the network sees them."""
    sequence_length: int = static(20, POSITIVE)
    """Steps of a sequence that it learns from."""
    optimisation: Optimisation = Optimisation(
        optimiser="adamw", learning_rate=1e-4, weight_decay=1e-4, max_gradient_norm=0.25
    )
    """How parameters descend the gradient."""
    replay: Replay = Replay(batch_size=64)
    """How stored experience is learnt from."""
    network: Recurrent = Recurrent(hidden=(128,), memory="transformer", window=20)
    """The layers before the memory, and the memory."""


def world(env: Env, hp: Hyperparameters) -> Env:
    """The environment of one lane, whose observations show the return still to be earned."""
    start = lambda key, obs: jnp.asarray(hp.target, jnp.float32)
    return conditioned(env, return_to_go(start))


def told(data: Transition, hp: Hyperparameters) -> Transition:
    """A data set [T, B, ...] of the environment itself, as the agent sees it.

    The context of a step is the sum of the rewards from there to the end of its episode.
    """
    one, none = jnp.ones_like(data.reward), jnp.zeros_like(data.reward)
    total = returns.lambda_returns(data.reward, one, data.last, none, 1.0)
    plain = lambda obs: obs.obs if isinstance(obs, Conditioned) else obs
    return data._replace(
        obs=Conditioned(plain(data.obs), total),
        final=Conditioned(plain(data.final), total - data.reward),
    )


def decision_transformer(
    spec: Spec,
    hp: Hyperparameters,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """Cloning of pi(a_t | R_t, s_t, a_{t-1}, R_{t-1}, ...), for `Conditioned` observations.

    Actions are discrete, or continuous ones in [-1, 1]. Sequences are cut where episodes end. Only
    a data set teaches it: steps that are taken later have no weight, since they did not earn what
    they were to earn. `network`, with a memory, and `optimiser` take the place of what `hp`
    describes. Raises an InputError as `bc` does, or if observations have no return to go.
    """
    check(spec, hp)
    seen = shown(spec, hp.normalise_observations)
    box = spec.action
    family = POLICIES[hp.policy](box) if isinstance(box, Box) else policy_family(box)
    before = jax.ShapeDtypeStruct((action_size(spec),), jnp.result_type(float))
    wider = seen._replace(observation=(seen.observation, before), mask=None)
    net = networks.network(wider, (family.size,), (0.01,), **vars(hp.network), own=network)

    def tokens(obs: Conditioned, before: Array) -> Tree:
        scaled = (obs.context / hp.return_scale).astype(obs.context.dtype)
        return obs._replace(context=scaled), before

    def policy(params: Tree, outputs: Array, obs: Tree) -> distrax.Distribution:
        return family.distribution(outputs, params["free"], allowed(spec, obs))

    def init(key: Key) -> Tree:
        return {"actor": {"network": net.init(key), "free": family.free}}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        own, late = params["actor"], jax.tree.map(lambda x: x[1:], batch)
        done = flat_action(spec, jax.tree.map(lambda x: x[:-1], batch.action))
        done = jnp.where(batch.last[:-1, :, None], 0.0, done)
        blank = net.memory(late.reward.shape[1])
        (outputs,), _ = net.unroll(own["network"], blank, tokens(late.obs, done), late.last)
        error = cloning_loss(policy(own, outputs, late.obs), late, loss=hp.loss)
        total = (late.weight * error).mean()
        return total, {"policy_loss": total}

    def act(sampled: bool, view: Learner, memory: tuple, obs: Tree, key: Key) -> tuple:
        own, (past, done) = view.params["actor"], memory
        (outputs,), past = net.step(own["network"], past, tokens(obs, done))
        chosen = policy(own, outputs, obs)
        action = within(chosen.sample(seed=key) if sampled else chosen.mode())
        return action, (past, flat_action(spec, action)), ()

    best = partial(bc.best_episodes, share=hp.best_share)

    def remember(update: Update) -> Update:
        stored = replayed(update, hp, hp.sequence_length + 1)
        known = lambda data: told(best(data) if hp.best_share < 1 else data, hp)
        return enriched(stored, known, weightless)

    start = lambda size: (net.memory(size), jnp.zeros((size, *before.shape)))
    explore, exploit = (Actor(start, partial(act, sampled)) for sampled in (True, False))
    agent = Agent(explore, exploit, descend(init, loss, optimiser_for(hp, optimiser)))
    return replaying(agent, spec, remember, hp.normalise_observations)


def weightless(steps: Transition) -> Transition:
    """Steps that teach nothing."""
    return steps._replace(weight=jnp.zeros_like(steps.weight))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    bc.check(spec, hp)
    require_known("policy", hp.policy, POLICIES)
    require(
        hp.network.memory != "none",
        "decision-transformer reads sequences: set memory to one of gru, lstm, state-space or "
        "transformer.",
    )
    require(
        isinstance(spec.observation, Conditioned),
        "decision-transformer needs observations with a return to go: transform the environment "
        "by `jaxrl.conditioned.conditioned`.",
    )
    require_buffer(hp, hp.sequence_length + 1)
