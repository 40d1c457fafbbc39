"""One of two processes that train together, of which the second is told to stop."""

import os
import signal
import sys

from experiments import commands, training
from tests.experiments.runs import command


def main(port: str, process: str, folder: str) -> None:
    """Train in the folder, until both processes are stopped after five of six updates."""
    together = ["--distributed", f"coordinator=localhost:{port},processes=2,process={process}"]
    together += ["--devices", "data=2,members=2"]
    learn = training.learn

    def one(program, p, state, memory, updates):
        if process == "1" and state.updates == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(program, p, state, memory, updates)

    training.CHUNK, training.learn = 0.0, one  # pieces of one update each
    try:
        commands.train_command([*command("dqn", 8, 2, folder)[1:], *together])
    except training.Interrupted as stopped:
        print(stopped)


if __name__ == "__main__":
    main(*sys.argv[1:])
