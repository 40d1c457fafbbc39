"""ReBRAC, TD3 whose actor and critics pay for distances to the data (Tarasov et al. 2023).

Source: "Revisiting the minimalist approach to offline reinforcement learning",
https://arxiv.org/abs/2305.09836.
"""

from dataclasses import replace

import optax

from agents import td3
from agents.offline.td3_bc import distance, normalised
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, number, record, static
from jaxrl.networks import Own
from jaxrl.normalise import remembering, shown
from jaxrl.settings import Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Spec, Transition
from jaxrl.updates import require_buffer, with_next_actions


@record
class Hyperparameters(td3.Hyperparameters):
    """The hyperparameters of ReBRAC: those of TD3, and of its two penalties."""

    actor_penalty: float = number(0.01, NOT_NEGATIVE)
    """Weight of the squared distance to the data's action in the actor's loss."""
    critic_penalty: float = number(0.01, NOT_NEGATIVE)
    """Weight of the squared distance to the data's next action in targets."""
    critic_layer_norm: bool = static(True)
    """Use layer normalisation in the critics, whether or not the actor has it."""
    optimisation: Optimisation = Optimisation(schedule="constant")
    """How parameters descend the gradient."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target networks move towards the parameters; 1 copies them."""
    actor_reduction: str = static("minimum")
    """Critics that the actor climbs: the first, or a reduction of all, a name of
    ensemble.reduction."""
    replay: Replay = Replay(batch_size=1024)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(256, 256, 256))
    """The network's layers."""


def rebrac(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3 with penalties b |pi(s) - a|^2 of the actor and c |a' - a'_data|^2 of the next value.

    The actor's loss is b |pi(s) - a|^2 - min Q(s, pi(s)) / mean |min Q|, and the target is
    r + discount (min Q(s', a') - c |a' - a'_data|^2), with norms that are sums over dimensions. A
    step whose next action is not known has no weight, unless it terminates. Layers are normalised
    before their activation functions, and not after as in the authors' code. The other arguments
    are those of `td3.td3`. Raises an InputError as it does, or for n-step returns.
    """
    require(hp.n_step == 1, f"rebrac learns from one-step returns: leave n_step {hp.n_step} at 1.")
    td3.check(spec, hp)
    require_buffer(hp, 2)

    def loss(value: Array, action: Array, batch: Transition) -> Array:
        return hp.actor_penalty * distance(action, batch.action) - normalised(value, batch)

    def cost(batch: Transition, action: Array) -> Array:
        return hp.critic_penalty * distance(action, batch.extras)

    seen = shown(spec, hp.normalise_observations)
    layers = replace(hp.network, layer_norm=hp.critic_layer_norm)
    agent = td3.learner(
        seen, hp, representation, actor_loss=loss, cost=cost, critic_layers=layers,
        network=network, optimiser=optimiser,
    )  # fmt: skip
    agent = agent._replace(update=with_next_actions(agent.update))
    return remembering(agent, spec, hp, 2)
