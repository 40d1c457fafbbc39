"""O-DICE: values by the dual of staying near the data, with an orthogonal second gradient.

State values alone are learnt, from the dual of maximising rewards under a divergence from the
data's visitation, and the policy clones actions by their temporal difference. Source: Mao et al.
(2024), "ODICE: revealing the mystery of distribution correction estimation via orthogonal-gradient
update", https://arxiv.org/abs/2402.00348, and the authors' code,
https://github.com/maoliyuan/ODICE-Pytorch.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.cloning import cloning_loss, policy_actors, policy_network
from jaxrl.divergences import Divergence, divergence
from jaxrl.errors import require_known
from jaxrl.fields import (
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    check_fields,
    number,
    record,
    static,
)
from jaxrl.logged import require_one_action
from jaxrl.networks import Own
from jaxrl.normalise import remembering, shown
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.state_values import state_values
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import (
    GRADIENTS,
    descend,
    optimiser_for,
    polyak,
    require_buffer,
    residual_loss,
    separate,
)

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of O-DICE; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(
        "adamw", learning_rate=2e-4, schedule="constant", weight_decay=1e-4
    )
    """How parameters descend the gradient; the weights of the policy alone decay."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    residual_weight: float = number(0.6, BELOW_ONE)
    """Weight of the conjugate of temporal differences in the values' loss; that of the mean value
    is the rest. The larger it is, the fewer actions are imitated."""
    gradient: str = static("orthogonal")
    """Gradient of temporal differences: semi, by the value of the state; true, also by that of the
    successor; or orthogonal, where the second part has no component along the first."""
    backward: float = number(1.0, NOT_NEGATIVE)
    """Weight of the gradient by the successor's value, if it is orthogonal."""
    divergence: str = static("chi-square")
    """Divergence from the data's visitation whose dual is descended: chi-square or kl."""
    weights: str = static("residual")
    """Weights of cloned actions: residual, the positive part of the temporal difference, or ratio,
    that of the policy's visitation to the data's."""
    largest_weight: float = number(100.0, POSITIVE)
    """Largest weight of a cloned action."""
    policy: str = static("gaussian")
    """Policy of continuous actions: gaussian, with a mean in bounds and deviations that do not
    depend on the observation, or squashed, which is that of SAC."""
    normalise_observations: bool = static(False)
    """Standardise observations with the statistics of the data set."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256), layer_norm=True)
    """The network's layers."""


WEIGHTS: dict[str, Callable[[Divergence, Array], Array]] = {
    "residual": lambda dual, residual: jnp.maximum(residual, 0.0),
    "ratio": lambda dual, residual: dual.ratio(residual),
}


def odice(
    spec: Spec,
    hp: Hyperparameters,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """O-DICE for discrete actions, or for continuous ones in [-1, 1].

    With the temporal difference e = r + discount V(s') - V(s) and the conjugate f* of the
    divergence, the losses of V and of the policy are

        (1 - weight) V(s) + weight f*(e),    -min(max(e, 0), largest) log pi(a | s).

    The gradient of f*(e) is that of `jaxrl.updates.residual_loss`. Where semi gradients
    settle, the mean of w*(e) at each state is (1 - weight) / weight. For chi-square V is therefore
    larger by about 2 (2 weight - 1) / (weight (1 - discount)) than the values of what is
    imitated, and rewards should be large beside (1 - discount) times that. There is one value, in
    place of the authors' two. `network`, which is the policy's, and `optimiser` take the place of
    what `hp` describes. Raises an InputError if the hyperparameters do not fit each other or the
    actions.
    """
    check(spec, hp)
    dual = divergence(hp.divergence)
    seen = shown(spec, hp.normalise_observations)
    policy = policy_network(seen, hp.policy, hp.network, network)
    v = state_values(seen, values.scalar(), **vars(hp.network))

    def init(key: Key) -> Tree:
        k_actor, k_value = jax.random.split(key)
        return {"actor": policy.init(k_actor), "value": v.init(k_value)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        def residual(now: Tree, after: Tree) -> Array:
            future = hp.discount * batch.discount * v.value(after, batch.final)
            return batch.reward + future - v.value(now, batch.obs)

        def conjugate(now: Tree, after: Tree) -> Array:
            return (batch.weight * dual.conjugate(residual(now, after))).mean()

        own, other = params["value"], target["value"]
        error, cosine = residual_loss(conjugate, own, other, hp.gradient, hp.backward)
        value = v.value(own, batch.obs)
        dual_loss = hp.residual_weight * error
        dual_loss += (1 - hp.residual_weight) * (batch.weight * value).mean()
        difference = fixed(residual(own, other))
        weight = jnp.minimum(WEIGHTS[hp.weights](dual, difference), hp.largest_weight)
        cloned = cloning_loss(policy.at(params["actor"], batch.obs), batch, weight)
        total = dual_loss + (batch.weight * cloned).mean()
        metrics = {"value_loss": dual_loss, "policy_loss": cloned.mean(), "value": value.mean()}
        metrics |= {"gradient_cosine": cosine, "residual": difference.mean()}
        return total, metrics | {"clone_weight": weight.mean()}

    steady = replace(hp.optimisation, weight_decay=0.0)
    rule = separate(optimiser_for(replace(hp, optimisation=steady)), actor=optimiser_for(hp))
    update = descend(init, loss, rule if optimiser is None else optimiser, polyak(hp.target_rate))
    agent = Agent(*policy_actors(policy), update)
    return remembering(agent, spec, hp)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_known("gradient", hp.gradient, GRADIENTS)
    require_known("kind of weights", hp.weights, WEIGHTS)
    require_buffer(hp)
