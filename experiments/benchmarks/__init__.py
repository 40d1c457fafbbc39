"""Measurements that take too long for a test: each module is run by `jaxrl benchmark NAME`.

What agents learn:

- `learning`: final returns of agents with their presets, each above a threshold.
- `at-scale`: published agents on the tasks that they were published on.
- `suites`: learning curves in environments of other packages.
- `perfect-play`: agents that search in noughts and crosses, judged by the exact solution.
- `offline-returns`: what offline agents learn from the same data sets, beside Unifloral's.
- `precision`: learning with products of matrices in fewer bits, beside float32.
- `presets`: searched hyperparameters, judged on seeds that the search has not seen.
- `tuning`: population-based training beside fixed learning rates.
- `references`: returns of environments between which scores are normalised.

How fast, beside other libraries:

- `speed`: environment steps per second of training.
- `offline`, `goals`: gradient steps per second of learning from data, and to reach goals.
- `environments`: steps per second of environments of other packages, beside their own loops.
- `buffers`: replay buffers beside flashbax and others.
- `dynamic-programming`: exact solvers beside numpy, scipy and other libraries.
- `trials`: trials per hour of a search for hyperparameters, beside Optuna over rejax.
- `beginnings`: imports, tracing and compilation before training begins.
- `accelerator`: all of it on a GPU or TPU, beside peers on the same card.

Where the time goes:

- `shares`: the share of an agent's time that its bare parts take by themselves.
- `roofline`: operations and bytes of networks, beside what the machine attains.
- `growth`: the cost of a round as lanes, seeds, units, buffers and others grow.
- `imagination`: imagined steps beside bare forward passes of the same networks.
- `communication`, `scaling`: one learner on several devices, and what a model predicts of more.
- `prefetch`: replay in host memory beside replay on the device.
- `data`: the time and memory that a data set takes.
- `verify`: whether each environment of a suite keeps its promises, trains and is drawn.
"""
