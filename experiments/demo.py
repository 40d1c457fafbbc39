"""`make demo`: sixteen PPO agents learn CartPole inside one compiled function."""

import shutil
import sys
import time
from pathlib import Path

from experiments import cli, results

FOLDER = Path("runs/demo")
SEEDS, SOLVED = 16, 475


def main() -> int:
    """Train, draw, save and animate; returns 1 if a seed did not solve the task."""
    start = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    command = f"train ppo --env CartPole-v1 --seeds {SEEDS} --steps 3e5"
    command += f" --out {FOLDER}"
    print(f"jaxrl {command}")
    status = cli.main(command.split())
    if status:
        return status
    rows = results.read_metrics(FOLDER)
    worst = min(row["return_mean"] for row in rows if row["env_steps"] == rows[-1]["env_steps"])
    print(
        f"Finished in {time.perf_counter() - start:.0f} s; the lowest of {SEEDS} seeds has return "
        f"{worst:.0f} of 500."
    )
    print(f"Look at {FOLDER}/learning_curve.png and {FOLDER}/best_agent.gif; "
          f"`jaxrl evaluate {FOLDER}` plays more episodes.")  # fmt: skip
    return 0 if worst >= SOLVED else 1


if __name__ == "__main__":
    sys.exit(main())
