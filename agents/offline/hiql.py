"""Hierarchical policies from values of goals: a subgoal some steps ahead, and the way to it.

Park et al. (2023), "HIQL: Offline goal-conditioned RL with latent states as actions",
https://arxiv.org/abs/2307.11949. Without subgoals it is GCIVL, and with the values of options for
the choice of subgoals OTA of Ahn et al. (2025), "Option-aware temporally abstracted value for
offline goal-conditioned reinforcement learning", https://arxiv.org/abs/2505.12737.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl import networks
from jaxrl.cloning import cloning_loss, policy_network, within
from jaxrl.conditioned import Conditioned
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.goals import (
    Hindsight,
    goal_value_loss,
    goal_values,
    goals_for,
    goals_of,
    optioned,
    progress_weight,
    remembered,
    stored,
    unit,
)
from jaxrl.goals.hindsight import check_hindsight
from jaxrl.logged import require_one_action
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import descend, optimiser_for, polyak, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of HIQL, GCIVL and OTA; those that are not static can be swept."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step, or per option."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    expectile: float = number(0.7, FRACTION)
    """Level of the expectile over steps: 0.5 is the behaviour's value, 1 that of the best."""
    inverse_temperature: float = number(3.0, NOT_NEGATIVE)
    """Factor of the progress towards the subgoal in the exponent of the weights of actions."""
    subgoal_inverse_temperature: float = number(3.0, NOT_NEGATIVE)
    """Factor of the progress towards the goal in the exponent of the weights of subgoals."""
    largest_weight: float = number(100.0, POSITIVE)
    """Largest weight of an action or a subgoal."""
    subgoal_steps: int = static(25, NOT_NEGATIVE)
    """Steps between an observation and its subgoal; 0 acts for the goal itself, which is GCIVL."""
    option_steps: int = static(1, POSITIVE)
    """Steps of an option in the values that choose subgoals, beside which there are those of single
    steps; more than 1 is OTA."""
    representation_size: int = static(10, NOT_NEGATIVE)
    """Size of the representation of goals; 0 takes goals as they are."""
    value_goals: Hindsight = Hindsight(future=0.5, random=0.3, current=0.2, offsets="geometric")
    """Goals for which values are learnt."""
    policy_goals: Hindsight = Hindsight(future=1.0)
    """Goals for which policies are learnt."""
    policy: str = static("gaussian")
    """Policy of continuous actions: gaussian, with a mean in bounds and deviations that do not
    depend on the observation, or squashed, which is that of SAC."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256), layer_norm=True)
    """The network's layers."""


def hiql(spec: Spec, hp: Hyperparameters) -> Agent:
    """HIQL, GCIVL or OTA for discrete actions or continuous ones in [-1, 1], from a data set.

    With w the representation of the subgoal, s_k the observation `subgoal_steps` later, or at the
    goal if that is nearer, and the losses of V of `jaxrl.goals.goal_value_loss`, the losses are

        min(exp(beta_h (V(s_k, g) - V(s, g))), largest) |w(s, s_k) - pi_h(s, g)|^2 / 2,
        -min(exp(beta (V(s', s_k) - V(s, s_k))), largest) log pi(a | s, w(s, s_k)),

    and no gradient of policies reaches the representation. Steps that are taken later teach
    nothing. Raises an InputError if the environment has no goals, or the hyperparameters do not fit
    each other or the actions.
    """
    check(spec, hp)
    goals = goals_of(spec, "hiql")
    layers, size = hp.network, hp.representation_size
    v = goal_values(spec, layers, size=size)
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), spec.observation)
    shape = jax.eval_shape(lambda key: v.represent(v.init(key), *blank), jax.random.key(0))
    aim = spec._replace(observation=Conditioned(spec.observation.obs, shape))
    low = policy_network(aim, hp.policy, layers)
    high = networks.network(spec, shape.shape, (0.01,), **vars(layers))
    far = "far" if hp.option_steps > 1 else "value"

    def init(key: Key) -> Tree:
        k_value, k_far, k_low, k_high = jax.random.split(key, 4)
        params = {"value": v.init(k_value), "actor": low.init(k_low)}
        params |= {"far": v.init(k_far)} if far == "far" else {}
        return params | ({"high": high.init(k_high)} if hp.subgoal_steps else {})

    def subgoal(params: Tree, obs: Conditioned) -> Array:
        """What the policy acts for [..., D], under a goal."""
        if not hp.subgoal_steps:
            return v.represent(params["value"], *obs)
        chosen = high.step(params["high"], (), obs)[0][0]
        return unit(chosen) if size else chosen

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_value, k_policy = jax.random.split(key)
        found = stored(batch)
        obs, after = found.steps.obs.obs, found.steps.final.obs
        wanted = goals_for(k_value, found, goals, hp.value_goals, hp.discount)

        def value_error(name: str, after: Tree) -> Array:
            pair = params[name], target[name]
            return goal_value_loss(
                v.value, *pair, goals, obs, after, wanted.goal, hp.discount, hp.expectile
            )

        def to(name: str, goal: Tree) -> Callable[[Tree], Array]:
            return lambda obs: v.value(params[name], obs, goal)

        values = value_error("value", after)
        if far == "far":
            values = values + value_error("far", optioned(found, wanted, hp.option_steps))
        wanted = goals_for(k_policy, found, goals, hp.policy_goals, hp.discount)
        errors, metrics, aim = jnp.zeros_like(values), {}, wanted.goal
        if hp.subgoal_steps:
            # Subgoals: the observation so many steps later, or at the goal.
            count = jnp.clip(jnp.minimum(hp.subgoal_steps, wanted.steps), 1)
            place = found.later(count - 1).final.obs
            weight, progress = progress_weight(
                to(far, wanted.goal), obs, place, hp.subgoal_inverse_temperature, hp.largest_weight
            )
            right = fixed(v.represent(params["value"], obs, goals.achieved(place)))
            chosen = high.step(params["high"], (), Conditioned(obs, wanted.goal))[0][0]
            errors = weight * jnp.square(right - chosen).sum(-1) / 2
            metrics = {"subgoal_loss": errors.mean(), "subgoal_progress": progress.mean()}
            aim = goals.achieved(found.later(hp.subgoal_steps - 1).final.obs)
        weight, progress = progress_weight(
            to("value", aim), obs, after, hp.inverse_temperature, hp.largest_weight
        )
        seen = Conditioned(obs, fixed(v.represent(params["value"], obs, aim)))
        cloned = cloning_loss(low.at(params["actor"], seen), found.steps, weight)
        total = (batch.weight * (values + errors + cloned)).mean()
        metrics |= {"value_loss": values.mean(), "policy_loss": cloned.mean()}
        return total, metrics | {"progress": progress.mean(), "clone_weight": weight.mean()}

    def explore(view: Tree, obs: Conditioned, key: Key) -> tuple[Array, tuple]:
        seen = Conditioned(obs.obs, subgoal(view.params, obs))
        return within(low.sample(view.params["actor"], seen, key)), ()

    def exploit(view: Tree, obs: Conditioned, key: Key) -> tuple[Array, tuple]:
        seen = Conditioned(obs.obs, subgoal(view.params, obs))
        return low.at(view.params["actor"], seen).mode(), ()

    update = descend(init, loss, optimiser_for(hp), polyak(hp.target_rate))
    return Agent(memoryless(explore), memoryless(exploit), remembered(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    check_hindsight(hp.value_goals)
    check_hindsight(hp.policy_goals)
    require_buffer(hp)
