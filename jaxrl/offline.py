"""Learning from a data set, without an environment."""

import jax
import jax.numpy as jnp

from jaxrl.types import Agent, Counter, Experiment, Key, Run, Transition, count


def offline(agent: Agent, data: Transition) -> Experiment:
    """Learn from `data` [T, B, ...] alone, which fills the agent's replay; nothing is added.

    A step of the experiment is a round of learning, with as many gradient steps as one has online.
    The agent must replay, and have room for all of it.
    """
    none = jax.tree.map(lambda x: x[:0], data)

    def init(key: Key) -> Run:
        k_learn, k_run = jax.random.split(key)
        return Run(agent.update.init(k_learn, data), (), k_run, count())

    def step(run: Run) -> tuple[Run, dict]:
        key = jax.random.fold_in(run.key, run.step.value)
        learner, metrics = agent.update.apply(run.learner, none, key)
        metrics = jax.tree.map(jnp.mean, metrics) | {"episodes": jnp.zeros(())}
        return Run(learner, (), run.key, Counter(run.step.value + 1)), metrics

    return Experiment(init, step)
