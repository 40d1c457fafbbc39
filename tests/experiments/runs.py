"""Small training runs from the command line, here or in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from experiments import checkpoints, configuration
from experiments.population import gather

SMALL_REPLAY = "--buffer-size 64 --warmup 16 --batch-size 8 --num-envs 2 --rollout-length 4"
SMALL = {
    "ppo": "ppo --env CartPole-v1 --num-envs 4 --rollout-length 16 --minibatches 2 --epochs 2",
    "dqn": f"dqn --env CartPole-v1 {SMALL_REPLAY}",
    "sac": f"sac --env Pendulum-v1 {SMALL_REPLAY}",
}
UPDATE = {"ppo": 64, "dqn": 8, "sac": 8}  # environment steps
COMMON = "--hidden 8 8 --seeds 2 --episodes 3 --max-episode-steps 500"
CLOCK = ("wall_time", "steps_per_second")


def command(agent: str, updates: int, evaluations: int, out: Path) -> list[str]:
    """The arguments of a small training run without an animation."""
    steps = f"--steps {updates * UPDATE[agent]} --evaluations {evaluations} --out {out}"
    return f"train {SMALL[agent]} {COMMON} {steps} --no-animation".split()


def start(arguments: list[str]) -> subprocess.Popen:
    """The command `jaxrl` in a new process."""
    words = [sys.executable, "-m", "experiments", *arguments]
    root = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv` as they are written, without what clocks say."""
    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def state(folder: Path) -> list[np.ndarray]:
    """Every array in the last checkpoint of a results folder."""
    like = gather(configuration.load(folder)).like
    runs = checkpoints.restore(folder, like)[1]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(checkpoints.plain(runs))]


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: contents and time of change."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
