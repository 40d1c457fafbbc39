"""Representations of observations: self-supervised objectives, learners and probes.

    encoder = representations.encoder(spec, 16)
    pretext = representations.inverse_dynamics(encoder, spec, steps=3)
    params = representations.pretrained(encoder, pretext, data, key)

- `encoders`: encoders, objectives as records, pairs that follow each other, sums of objectives.
- `contrast`: InfoNCE over time, over views and of sequences of actions (CURL, TACO).
- `prediction`: inverse and forward dynamics, self-prediction, joint embeddings (ACT-JEPA), rewards,
  and reconstruction as a control. An encoder that never learns is the other control.
- `learning`: encoders that learn from data, beside an agent, or within its network.
- `probes`: what features tell of a known state, and exact features of a contrast.

`jaxrl.bisimulation`, `jaxrl.intentions` and `agents.proto_value` learn features in other ways.
"""

from jaxrl.representations.contrast import (
    action_contrast,
    information_noise_contrast,
    instance_contrast,
    symmetric_contrast,
    temporal_action_contrast,
    temporal_contrast,
)
from jaxrl.representations.encoders import (
    Encoder,
    Pairs,
    Pretext,
    encoder,
    pairs,
    torso_encoder,
    weighted_sum,
)
from jaxrl.representations.learning import (
    auxiliary,
    featured,
    pretrained,
    representation_learner,
    represented,
)
from jaxrl.representations.prediction import (
    action_chunks,
    action_joint_embedding,
    autoencoder,
    forward_dynamics,
    inverse_dynamics,
    joint_embedding,
    reward_prediction,
    self_prediction,
)
from jaxrl.representations.probes import (
    contrastive_features,
    decoded_share,
    mutual_information,
    ridge,
    weighted_share,
)

__all__ = [
    "Encoder",
    "Pairs",
    "Pretext",
    "action_chunks",
    "action_contrast",
    "action_joint_embedding",
    "autoencoder",
    "auxiliary",
    "contrastive_features",
    "decoded_share",
    "encoder",
    "featured",
    "forward_dynamics",
    "information_noise_contrast",
    "instance_contrast",
    "inverse_dynamics",
    "joint_embedding",
    "mutual_information",
    "pairs",
    "pretrained",
    "representation_learner",
    "represented",
    "reward_prediction",
    "ridge",
    "self_prediction",
    "symmetric_contrast",
    "temporal_action_contrast",
    "temporal_contrast",
    "torso_encoder",
    "weighted_share",
    "weighted_sum",
]
