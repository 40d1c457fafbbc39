"""Advantage-weighted actor-critics: critics of the policy, which clones what they prefer.

The defaults are AWAC of Nair et al. (2020), https://arxiv.org/abs/2006.09359. Critic-regularised
regression, CRR, of Wang et al. (2020), https://arxiv.org/abs/2006.15134, is the same with other
weights: see `agents.AGENTS`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.cloning import (
    binary_weight,
    cloning_loss,
    exponential_weight,
    policy_actors,
    policy_network,
    softmax_weight,
)
from jaxrl.errors import require_known
from jaxrl.fields import FRACTION, POSITIVE, check_fields, number, record, static
from jaxrl.logged import require_one_action
from jaxrl.networks import Own
from jaxrl.normalise import remembering, shown
from jaxrl.pair_values import pair_values
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import descend, every, optimiser_for, polyak, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of AWAC and CRR; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target networks move towards the parameters; 1 copies them."""
    temperature: float = number(2.0, POSITIVE)
    """Temperature by which advantages are divided in softmax and exponential weights."""
    largest_weight: float = number(20.0, POSITIVE)
    """Largest exponential weight of a cloned action."""
    weights: str = static("softmax")
    """Weights of cloned actions: softmax over the batch, exponential, or binary, which is whether
    the advantage is positive."""
    baseline: str = static("mean")
    """What actions have their advantage over: the mean or the max of the policy's actions."""
    samples: int = static(1, POSITIVE)
    """Actions of the policy that the baseline is computed from."""
    target_policy: bool = static(False)
    """Take the next actions of targets from the target network of the policy."""
    target_period: int = static(1, POSITIVE)
    """Gradient steps between two updates of the target networks."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble()
    """Number of critics, and the reduction of their predictions to one."""
    policy: str = static("gaussian")
    """Policy of continuous actions: gaussian, with a mean in bounds and deviations that do not
    depend on the observation, or squashed, which is that of SAC."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(batch_size=1024)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


BASELINES: dict[str, Callable[..., Array]] = {"mean": jnp.mean, "max": jnp.max}
WEIGHTS: dict[str, Callable[[Array, Hyperparameters, Array], Array]] = {
    "softmax": lambda advantage, hp, share: softmax_weight(advantage, hp.temperature, share),
    "exponential": lambda advantage, hp, share: exponential_weight(
        advantage, 1 / hp.temperature, hp.largest_weight
    ),
    "binary": lambda advantage, hp, share: binary_weight(advantage),
}


def awac(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """AWAC or CRR for discrete actions or continuous ones in [-1, 1], with any representation.

    The critics learn r + discount Q(s', a'), with a' of the policy and without an entropy bonus.
    The policy's loss is -w log pi(a | s), where w is a function of the advantage A = Q(s, a) minus
    the mean or the max of Q at `samples` actions of the policy: exp(A / temperature) over its mean
    in the batch, min(exp(A / temperature), largest), or 1{A > 0}.

    `representation`, `network`, which is the policy's, and `optimiser` take the place of what `hp`
    describes. Raises an InputError if the hyperparameters do not fit each other or the actions.
    """
    check(spec, hp)
    seen, layers = shown(spec, hp.normalise_observations), hp.network
    representation = values.critic(hp.critic) if representation is None else representation
    reduced = partial(values.ensemble_critic, representation, hp.ensemble)
    reduced()  # raises
    policy = policy_network(seen, hp.policy, layers, network)
    critics = pair_values(seen, representation, hp.ensemble.members, layers)

    def init(key: Key) -> Tree:
        k_actor, k_critics = jax.random.split(key)
        return {"actor": policy.init(k_actor), "critics": critics.init(k_critics)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_next, k_subset, k_now = jax.random.split(key, 3)
        # Critics: the value of the policy's next action.
        ensemble = reduced(k_subset)
        acting = target["actor"] if hp.target_policy else fixed(params["actor"])
        action = policy.sample(acting, batch.final, k_next)
        future = ensemble.decode(critics.outputs(target["critics"], batch.final, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        theta = critics.outputs(params["critics"], batch.obs, batch.action)
        error = ensemble.loss(theta, targets)
        # Policy: the actions that the critics prefer to its own.
        judged = reduced()

        def worth(key: Key) -> Array:
            own = policy.sample(params["actor"], batch.obs, key)
            return values.mean(judged.decode(critics.outputs(params["critics"], batch.obs, own)))

        baseline = BASELINES[hp.baseline](jax.vmap(worth)(jax.random.split(k_now, hp.samples)), 0)
        advantage = fixed(values.mean(judged.decode(theta)) - baseline)
        weight = WEIGHTS[hp.weights](advantage, hp, batch.weight)
        cloned = cloning_loss(policy.at(params["actor"], batch.obs), batch, weight)
        total = (batch.weight * (error + cloned)).mean()
        metrics = {"critic_loss": error.mean(), "policy_loss": cloned.mean()}
        metrics |= {"value": baseline.mean(), "target_value": values.mean(targets).mean()}
        return total, metrics | {"advantage": advantage.mean(), "clone_weight": weight.mean()}

    follow = every(hp.target_period, polyak(hp.target_rate))
    update = descend(init, loss, optimiser_for(hp, optimiser), follow)
    agent = Agent(*policy_actors(policy), update)
    return remembering(agent, spec, hp)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_known("kind of weights", hp.weights, WEIGHTS)
    require_known("baseline", hp.baseline, BASELINES)
    require_buffer(hp)
