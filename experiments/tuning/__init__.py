"""`jaxrl tune`: hyperparameters that a search proposes in batches, each trained in one program.

- `space`: the search space, of words of the command line.
- `study`: what proposes points and is told their scores: Optuna, in a file.
- `batches`: one batch of points as a vmapped training run.
- `search`: random search, Optuna's estimator, and successive halving.
- `evolution`: population-based training.
- `pictures`: what matters most, and which points were good.
- `command`: the command line.
"""
