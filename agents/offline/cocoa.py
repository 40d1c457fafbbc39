"""COCOA: conservative Q-learning on anchors near the data and differences from them.

Policy and critics are bilinear in what is made of an observation's anchor and of the difference
from it: see `jaxrl.anchors`. Source: Song et al. (2024), "Compositional conservatism: a
transductive approach in offline reinforcement learning", https://arxiv.org/abs/2404.04682. There
the models and the policy that seeks anchors are learnt first and then fixed; here they are learnt
along. The authors put the same on IQL, MOPO and MOBILE; any agent that takes an encoder of its
policy and of its critics can be anchored.
"""

from dataclasses import replace
from functools import partial

import optax

from agents import sac
from agents.offline import cql
from jaxrl.anchors import Transducer, anchored, seeker
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.normalise import shown
from jaxrl.settings import Layers
from jaxrl.types import Agent, Array, Spec


@record
class Hyperparameters(cql.Hyperparameters):
    """The hyperparameters of COCOA: those of CQL, and of the anchors."""

    direction_scale: float = number(0.8, NOT_NEGATIVE)
    """Factor of actions of the data, by which imagined trajectories go away from them."""
    direction_noise: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of the noise on these actions."""
    model_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the models and the policy that seeks anchors."""
    horizon: int = static(1, POSITIVE)
    """Steps in the model from an observation to its anchor."""
    reverse_horizon: int = static(5, POSITIVE)
    """Steps of an imagined trajectory away from the data."""
    members: int = static(5, POSITIVE)
    """Number of networks in each of the two ensembles that are the models."""
    elites: int = static(3, POSITIVE)
    """Number of members of least error that are used."""
    model_hidden: tuple[int, ...] = static((200, 200), POSITIVE)
    """Units of each hidden layer of the models."""
    seeker_hidden: tuple[int, ...] = static((100, 100), POSITIVE)
    """Units of each hidden layer of the policy that seeks anchors."""
    pair_hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer of the networks of anchors and of differences; as many products as
    the last has are the inputs of the layers of CQL's networks."""
    rank: int = static(4, POSITIVE)
    """Number of terms of each product of what is made of an anchor and of a difference."""


def cocoa(
    spec: Spec, hp: Hyperparameters, *, optimiser: optax.GradientTransformation | None = None
) -> Agent:
    """CQL whose policy and critics see an anchor and a difference instead of an observation.

    `optimiser` takes the place of what `hp` describes for CQL. Raises an InputError as `cql` does,
    for observations that are not one vector, or if the actor should see a part of them.
    """
    sac.check(spec, hp)
    require(not hp.actor_sees, "cocoa's actor sees whole observations: leave actor_sees empty.")
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    seen, layers = shown(spec, hp.normalise_observations), hp.network
    found = seeker(
        seen, optax.adam(hp.model_learning_rate), horizon=hp.horizon, length=hp.reverse_horizon,
        scale=hp.direction_scale, noise=hp.direction_noise, members=hp.members, elites=hp.elites,
        model_hidden=hp.model_hidden, layers=Layers(hidden=hp.seeker_hidden),
    )  # fmt: skip
    size = hp.pair_hidden[-1] if hp.pair_hidden else 64
    pairs = Transducer(hp.pair_hidden, size, hp.rank, layers.hidden, layers.activation)
    own = replace(hp, encoder=pairs)
    make = partial(cql.learner, found.spec, own, None, critic_encoder=pairs, optimiser=optimiser)

    def remembered(weight: float | Array) -> Agent:
        return cql.remembering(anchored(make(weight), found), spec, hp)

    return cql.fading(remembered, hp)
