"""Environments: `make(name, **params)`, adapters, exact processes, games, and transforms.

A chain for training reads from the inside out:

    env = envs.make("CartPole-v1", length=0.7)
    env = envs.auto_reset(envs.vectorize(envs.episode_statistics(env), 64))
"""

from envs.actions import chunked
from envs.catalogue import make, names, tabular_mdp
from envs.check import check
from envs.games import matrix_game, nim, tic_tac_toe
from envs.goals import bit_flips, grid_maze, point_hazards, point_maze
from envs.gymnax_adapter import from_gymnax
from envs.maze import proc_maze
from envs.oscillators import lotka_volterra, van_der_pol
from envs.pan_flute import pan_flute
from envs.suites.brax import from_brax
from envs.tabular import TabularMDP, from_mdp
from envs.transforms import (
    action_repeat,
    cast_observation,
    clip_actions,
    distracted,
    flatten_observation,
    frame_stack,
    mask_observation,
    reward_transform,
    sticky_actions,
)
from jaxrl.environments import (
    auto_reset,
    auto_reset_from_pool,
    bound_actions,
    episode_statistics,
    scale_actions,
    time_limit,
    vectorize,
)
from jaxrl.goals import goaled
from jaxrl.rewards import costly
from jaxrl.steering import decoded

__all__ = [
    "TabularMDP",
    "action_repeat",
    "auto_reset",
    "auto_reset_from_pool",
    "bit_flips",
    "bound_actions",
    "cast_observation",
    "check",
    "chunked",
    "clip_actions",
    "costly",
    "decoded",
    "distracted",
    "episode_statistics",
    "flatten_observation",
    "frame_stack",
    "from_brax",
    "from_gymnax",
    "from_mdp",
    "goaled",
    "grid_maze",
    "lotka_volterra",
    "make",
    "mask_observation",
    "matrix_game",
    "names",
    "nim",
    "pan_flute",
    "point_hazards",
    "point_maze",
    "proc_maze",
    "reward_transform",
    "scale_actions",
    "sticky_actions",
    "tabular_mdp",
    "tic_tac_toe",
    "time_limit",
    "van_der_pol",
    "vectorize",
]
