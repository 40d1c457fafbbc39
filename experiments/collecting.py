"""Collecting transitions of random or trained agents, for data sets."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import configuration
from experiments.datasets import split
from experiments.evaluation import best_member, restore_member
from jaxrl.environments import auto_reset, scale_actions, vectorize
from jaxrl.errors import require
from jaxrl.rollouts import random_actions, rollout
from jaxrl.types import Box, Env, Spec, Transition, memoryless

LANES = 16


def gather(
    env: Env, sources: list[str], steps: int, seed: int, sampled: bool
) -> list[dict[str, np.ndarray]]:
    """Episodes of `steps` transitions in all, in equal shares from each source.

    A source is `random`, or the results folder of an agent in the same environment, whose best
    member acts, greedily or as it explores. The last episode of each lane is truncated.
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
        act = lambda view, obs, key: (random_actions(lane.spec, LANES, key, obs), ())
        actor, view = memoryless(act), ()
    else:
        folder = Path(source)
        config = configuration.load(folder)
        hp, run = restore_member(config, folder, best_member(config, folder))
        setup = configuration.build(config, hp)
        require(
            same_spaces(configuration.make_env(config).spec, env.spec),
            f"{source} holds an agent for {config.env}, whose observations or actions are not "
            "those of this environment.",
        )
        require(
            jax.tree.structure(setup.env.spec.observation)
            == jax.tree.structure(env.spec.observation),
            f"{source} holds {config.agent}, which sees more than the environment shows, so it "
            "cannot collect a data set.",
        )
        lane, view = setup.env, setup.agent.update.read(run.learner)
        actor = setup.agent.explore if sampled else setup.agent.exploit

    def run_lanes(key: jax.Array, view: Any) -> Transition:
        k_init, k_roll = jax.random.split(key)
        lanes = auto_reset(vectorize(lane, LANES))
        start = (*lanes.init(k_init), actor.init(LANES))
        return rollout(lanes, actor, view, start, k_roll, length)[1]

    return jax.device_get(jax.jit(run_lanes)(key, view))._replace(extras=())


def same_spaces(a: Spec, b: Spec) -> bool:
    """Whether observations and actions have the same shapes, types and bounds."""
    types = lambda spec: jax.tree.map(lambda x: (x.shape, str(x.dtype)), spec.observation)
    if types(a) != types(b) or type(a.action) is not type(b.action):
        return False
    pairs = [(np.asarray(x), np.asarray(y)) for x, y in zip(a.action, b.action)]
    return all(x.shape == y.shape and np.allclose(x, y) for x, y in pairs)
