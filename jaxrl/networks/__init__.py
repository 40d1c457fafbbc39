"""Networks, and what they are made of.

- `network`: `Network`, a record of pure functions that may have a memory; sequences read again.
- `heads`: the network that suits a spec, of the names of its layers, encoder and memory.
- `own`: a person's own network in its place; networks that see a part of the observation.
- `critics`: ensembles of critics of observations and continuous actions.
- `inputs`: observations and actions as the arrays that networks take.
- `layers`, `encoders`, `sets`, `backbones`: the modules, those of images and trees, those of sets
  such as other players, the memories.
"""

from jaxrl.networks.critics import Critics, critic_ensemble
from jaxrl.networks.heads import Heads, Outputs, dueling, network
from jaxrl.networks.inputs import (
    action_size,
    blank,
    blank_action,
    flat,
    flat_action,
    inputs,
    joined,
    scaled,
)
from jaxrl.networks.network import Network, feedforward, recurrent, reread
from jaxrl.networks.own import Own, See, features, owned, paired, partly

__all__ = [
    "Critics",
    "Heads",
    "Network",
    "Outputs",
    "Own",
    "See",
    "action_size",
    "blank",
    "blank_action",
    "critic_ensemble",
    "dueling",
    "features",
    "feedforward",
    "flat",
    "flat_action",
    "inputs",
    "joined",
    "network",
    "owned",
    "paired",
    "partly",
    "recurrent",
    "reread",
    "scaled",
]
