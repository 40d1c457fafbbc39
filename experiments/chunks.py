"""How many members of a configuration train at once."""

import dataclasses

import jax

from experiments import building, configuration, planning
from experiments.configuration import Configuration
from experiments.learning import learning
from experiments.planning import Plan
from experiments.population import gather, identity, kind_of_data
from experiments.programs import kept
from jaxrl.offline import stored_data

SHARE = 0.5  # of the memory that there is, for what was planned: see `planning.plan_of`


def members_that_fit(config: Configuration) -> int:
    """How many members train at once in the memory that there is; at least one."""
    return max(1, min(config.members, planning.fitting(planned(config), 1, SHARE)))


def planned(config: Configuration) -> Plan:
    """The bytes of one member of a configuration, and of the data set that all members share.

    Traces, but compiles nothing; what was planned is kept with the programs.
    """
    single = dict(sweep={name: column[:1] for name, column in config.sweep.items()}, seeds=1)
    p = gather(dataclasses.replace(config, **single))

    def traced() -> Plan:
        data = []
        if p.config.dataset:
            hp = configuration.hyperparameters(p.config, 0 if p.config.sweep else None)
            exp = building.build(p.config, hp).experiment
            run = jax.eval_shape(exp.init, jax.random.key(0))
            data = stored_data(run, kind_of_data(p.config))
        learn, arguments, _ = learning(p, data)
        jaxpr = learn.trace(*arguments).jaxpr.jaxpr
        return planning.plan_of(p.like, jaxpr, data, p.mesh.size)

    return kept("plan", identity(p.config, 1, p.mesh), traced)
