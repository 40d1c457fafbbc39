"""Policies for rewards that are known only after learning.

- `measures`: losses of factorised successor measures, of orthonormal features, and the excess of
  values of actions that are not in the data.
- `tasks`: vectors z that name tasks: how they are drawn, and inferred from rewards or from states
  to imitate.
- `universal`: networks of the successor features of all tasks, and the policies of these.
- `features`: what successor features are of: Hilbert, Laplacian or random features.
"""

from jaxrl.zero_shot.features import (
    FEATURES,
    Features,
    centred,
    features,
    hilbert_distance,
    hilbert_features,
    hilbert_loss,
    laplacian_features,
    random_features,
    toward,
)
from jaxrl.zero_shot.measures import excess, measure_loss, orthonormality_loss
from jaxrl.zero_shot.tasks import (
    Informed,
    Moments,
    Tasks,
    drawn_tasks,
    goal_tasks,
    imitated_task,
    informed,
    on_sphere,
    projected_task,
    random_tasks,
    regressed_task,
)
from jaxrl.zero_shot.universal import (
    Others,
    Universal,
    exploring,
    measure_excess,
    pursuing,
    task_value,
    universal,
    value_excess,
)

__all__ = [
    "FEATURES",
    "Features",
    "Informed",
    "Moments",
    "Others",
    "Tasks",
    "Universal",
    "centred",
    "drawn_tasks",
    "excess",
    "exploring",
    "features",
    "goal_tasks",
    "hilbert_distance",
    "hilbert_features",
    "hilbert_loss",
    "imitated_task",
    "informed",
    "laplacian_features",
    "measure_excess",
    "measure_loss",
    "on_sphere",
    "orthonormality_loss",
    "projected_task",
    "pursuing",
    "random_features",
    "random_tasks",
    "regressed_task",
    "task_value",
    "toward",
    "universal",
    "value_excess",
]
