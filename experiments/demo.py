"""`make demo`: sixteen PPO agents learn CartPole inside one compiled function."""

import os
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("NPROC", "8")

from experiments import commands, configuration, options
from experiments.render import animate

FOLDER = Path("runs/demo")
SEEDS, SOLVED = 16, 475


def main() -> int:
    """Train, draw, save and animate; returns 1 if a seed did not solve the task."""
    start = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    arguments = ["--env", "CartPole-v1", "--seeds", str(SEEDS)]
    defaults = options.defaults_for("ppo", arguments)
    kind = options.schema(options.Resumable, "ppo", defaults, lists=False)
    chosen = options.parse("demo", kind, arguments)
    config = options.configuration("ppo", chosen, {})
    configuration.validate(config)
    configuration.save(config, FOLDER)
    rows = commands.run(config, FOLDER)
    best = max(range(len(rows)), key=lambda i: rows[i]["return_mean"])
    animate(config, FOLDER, best, 1_000_000, FOLDER / "best_agent.gif")
    worst = min(row["return_mean"] for row in rows)
    print(f"The best agent plays in {FOLDER / 'best_agent.gif'}.")
    print(
        f"All in {time.perf_counter() - start:.0f} s; the lowest of {SEEDS} seeds has return "
        f"{worst:.0f} of 500."
    )
    return 0 if worst >= SOLVED else 1


if __name__ == "__main__":
    sys.exit(main())
