"""Transitions of agents at work, for data sets."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import configuration
from experiments.datasets import split
from experiments.evaluation import restore_member
from jaxrl.environments import auto_reset, scale_actions, vectorize
from jaxrl.errors import require
from jaxrl.loop import random_actions, rollout
from jaxrl.types import Box, Env, Spec, Transition, memoryless

LANES = 16


def gather(
    env: Env, sources: list[str], steps: int, seed: int, sampled: bool
) -> list[dict[str, np.ndarray]]:
    """Episodes of `steps` transitions in all, in equal shares from each source.

    A source is `random`, or a results folder of an agent in the same environment, whose first
    member acts, greedily or as it explores. The last episode of each lane is cut.
    """
    episodes, each = [], -(-steps // (len(sources) * LANES))
    for i, source in enumerate(sources):
        key = jax.random.fold_in(jax.random.key(seed), i)
        data = played(env, source, each, key, sampled)
        for lane in range(LANES):
            episodes += split(jax.tree.map(lambda x, lane=lane: x[:, lane], data))
    return episodes


def played(env: Env, source: str, length: int, key: jax.Array, sampled: bool) -> Transition:
    """Transitions [length, LANES, ...] of one source."""
    if source == "random":
        lane = scale_actions(env) if isinstance(env.spec.action, Box) else env
        act = lambda view, obs, key: (random_actions(lane.spec, LANES, key), ())
        actor, view = memoryless(act), ()
    else:
        config = configuration.load(Path(source))
        hp, run = restore_member(config, Path(source), 0)
        setup = configuration.build(config, hp)
        same = same_spaces(setup.env.spec, env.spec)
        require(same, f"{source} is of an agent in {config.env}, which is another environment.")
        lane, view = setup.env, setup.agent.update.read(run.learner)
        actor = setup.agent.explore if sampled else setup.agent.exploit

    def run_lanes(key: jax.Array, view: Any) -> Transition:
        k_init, k_roll = jax.random.split(key)
        lanes = auto_reset(vectorize(lane, LANES))
        start = (*lanes.init(k_init), actor.init(LANES))
        return rollout(lanes, actor, view, start, k_roll, length)[1]

    return jax.device_get(jax.jit(run_lanes)(key, view))._replace(extras=())


def same_spaces(a: Spec, b: Spec) -> bool:
    """Whether two environments show and take arrays of the same shapes."""
    shape = lambda spec: (
        jax.tree.map(lambda x: x.shape, spec.observation),
        getattr(spec.action, "num", None) or spec.action.shape,  # pyright: ignore
    )
    return shape(a) == shape(b)
