"""Models of the world, learnt or true: what a rollout needs to be imagination.

model        a Model, and transforms of it: penalties, ends, known rewards; branched rollouts
dynamics     networks that predict: a point or a Gaussian, one or an ensemble
ensemble     the Model of an ensemble, by a choice among what its members propose
factored     networks that predict parts of an observation: bits and classes
fitting      how a dynamics learns: statistics, bootstrap, holdout
losses       what it is to be good at: likelihood, several steps, values
sparse       SINDy: sparse regression on a library of functions
consistency  a learnt reward of successors that look real: what chooses among candidates
diagnostics  how good a model is, and for what
tabular      counts of finite processes
chance       afterstates, and outcomes of known probabilities
abstract     states that mean what they predict: the model of MuZero
latent       categorical states on a backbone: the model of Dreamer
trajectories all steps of a rollout at once by diffusion, led by a policy
"""

from jaxrl.models.chance import ChanceModel, drawn, tabular_chance
from jaxrl.models.dynamics import Dynamics, deterministic_mlp, gaussian_mlp, predict
from jaxrl.models.ensemble import (
    average,
    best_scored,
    dispersed,
    ensemble_model,
    median,
    random_member,
    trajectory_member,
)
from jaxrl.models.factored import factored_mlp, factored_model, factored_update
from jaxrl.models.fitting import fitted
from jaxrl.models.losses import (
    iterative_value_aware,
    likelihood,
    multi_step,
    squared_error,
    value_gradient_weighted,
)
from jaxrl.models.model import (
    Model,
    branched,
    halted,
    known_reward,
    known_termination,
    lane,
    penalised,
    starting_from,
    terminating,
    true_model,
    truncated,
)
from jaxrl.models.sparse import (
    Bounds,
    distilled,
    drawn_within,
    observed_bounds,
    polynomials,
    sparse_dynamics,
    sparse_model,
    thresholded_ridge,
    waves,
)
from jaxrl.models.survival import logistic_survival, survival_probability
from jaxrl.models.trajectories import Scale, Trajectories, scale_of, trajectories

__all__ = [
    "Bounds",
    "ChanceModel",
    "Dynamics",
    "Model",
    "Scale",
    "Trajectories",
    "average",
    "best_scored",
    "branched",
    "deterministic_mlp",
    "dispersed",
    "distilled",
    "drawn",
    "drawn_within",
    "ensemble_model",
    "factored_mlp",
    "factored_model",
    "factored_update",
    "fitted",
    "gaussian_mlp",
    "halted",
    "iterative_value_aware",
    "known_reward",
    "known_termination",
    "lane",
    "likelihood",
    "logistic_survival",
    "median",
    "multi_step",
    "observed_bounds",
    "penalised",
    "polynomials",
    "predict",
    "random_member",
    "scale_of",
    "sparse_dynamics",
    "sparse_model",
    "squared_error",
    "starting_from",
    "survival_probability",
    "tabular_chance",
    "terminating",
    "thresholded_ridge",
    "trajectories",
    "trajectory_member",
    "true_model",
    "truncated",
    "value_gradient_weighted",
    "waves",
]
