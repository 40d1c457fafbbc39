"""The command `jaxrl`: train, evaluate, sweep, plot, list, benchmark, reproduce."""

import os
import sys

USAGE = """usage: jaxrl COMMAND [OPTIONS]

Reinforcement learning as compositions of pure functions.

commands:
  train      train an agent in an environment, many seeds at once
  sweep      train at all points of a grid of hyperparameters at once
  evaluate   play complete episodes with a trained agent, and record one
  dataset    collect what random or trained agents do, to learn from offline
  plot       draw the learning curves of results folders
  list       name the agents, environments and presets
  benchmark  measure learning, speed, buffers, imagination or dynamic programming
  reproduce  try a paper's claim again, and draw what came of it

`jaxrl COMMAND --help` explains the options of a command."""

COMMANDS = ("train", "sweep", "evaluate", "dataset", "plot", "list", "benchmark", "reproduce")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code: 2 for bad input, 130 after Ctrl-C."""
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who read has gone, as `head` does; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def run(arguments: list[str]) -> int:
    """Run the command that the arguments name; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    from experiments import commands
    from experiments.training import Diverged, Interrupted
    from jaxrl.errors import InputError, unknown

    try:
        if arguments[0] not in COMMANDS:
            raise unknown("command", arguments[0], COMMANDS)
        getattr(commands, f"{arguments[0]}_command")(arguments[1:])
    except InputError as error:
        print(f"jaxrl: {error}", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"jaxrl: {error}", file=sys.stderr)
        return 1
    except (Interrupted, KeyboardInterrupt) as error:
        print(f"jaxrl: {error or 'Stopped.'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
