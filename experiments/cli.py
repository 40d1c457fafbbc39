"""The command `jaxrl`: which command is run, and how every kind of error is reported."""

import gc
import importlib.metadata
import os
import platform
import sys
import traceback
from pathlib import Path

from experiments import shadows

USAGE = """usage: jaxrl COMMAND [OPTIONS]

Reinforcement learning as compositions of pure functions.

commands:
  train      Train one agent in one environment, with many seeds in one program.
  sweep      Train one agent at every point of a grid of hyperparameters.
  launch     Train the parts of a sweep as jobs of a cluster.
  tune       Search for good hyperparameters, in batches that train as one program.
  evaluate   Play complete episodes with a trained agent, and optionally record one.
  export     Write a trained policy to one file that needs only jax to run.
  dataset    Collect transitions of random or trained agents for offline learning.
  plot       Draw the learning curves of several results folders in one picture.
  compare    Compare the results of several methods by statistics with intervals.
  dashboard  Show all runs below a folder in a web page of this machine.
  list       List the agents, the environments and the presets.
  benchmark  Measure learning, speed, buffers, imagination or dynamic programming.
  reproduce  Repeat the experiment behind a published claim, and give a verdict.

options:
  -h, --help  Print this text.
  --version   Print the versions of jaxrl, jax and Python.

`jaxrl COMMAND --help` explains the options of a command."""

COMMANDS = (
    "train",
    "sweep",
    "launch",
    "tune",
    "evaluate",
    "export",
    "dataset",
    "plot",
    "compare",
    "dashboard",
    "list",
    "benchmark",
    "reproduce",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    The code is 0 on success, 2 for bad input, 130 after Ctrl-C, and 1 for anything else: a run
    that diverged, a file that cannot be read or written, or a fault of the program.
    """
    # To trace makes many small objects that stay: to look for garbage among them as often as by
    # default took 0.1 of the 5.4 s of processor time before PPO learns.
    gc.set_threshold(100_000, 20, 100)
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # The reader has closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if code and (processes := sys.modules.get("experiments.processes")) and processes.several():
        processes.leave(code)  # the runtime would wait for processes that may have died
    return code


def run(arguments: list[str]) -> int:
    """Run the command that the arguments name and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        python, jax = platform.python_version(), importlib.metadata.version("jax")
        print(f"jaxrl {version()} (jax {jax}, Python {python})")
        return 0
    hidden = shadows.hidden()
    if hidden:
        print(f"jaxrl: {hidden}", file=sys.stderr)
        return 2
    try:
        from experiments import commands
        from jaxrl.errors import require_known

        require_known("command", arguments[0], COMMANDS)
        getattr(commands, f"{arguments[0]}_command")(arguments[1:])
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        return reported(error)
    return 0


def reported(error: BaseException) -> int:
    """Print an error to stderr and return its exit code.

    Errors of a person's input, of training and of files are one sentence. Everything else is a
    fault of the program and keeps its traceback.
    """
    if isinstance(error, ImportError) and (sentence := shadows.overwritten()):
        print(f"jaxrl: {sentence}", file=sys.stderr)
        return 2
    from jax.errors import JaxRuntimeError

    from experiments import processes
    from experiments.training import Diverged, Interrupted
    from jaxrl.errors import InputError

    if isinstance(error, InputError):
        text, code = str(error), 2
    elif isinstance(error, Interrupted | KeyboardInterrupt):
        text, code = str(error) or "Stopped.", 130
    elif isinstance(error, Diverged):
        text, code = str(error), 1
    elif isinstance(error, OSError):
        text, code = file_sentence(error), 1
    elif isinstance(error, JaxRuntimeError) and processes.several():
        text, code = (
            "Another process has died or cannot be reached "
            f"({str(error).strip().splitlines()[0][:120]}): what was saved can be continued with "
            "--resume.",
            1,
        )
    elif isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        text, code = (
            "The memory of the device is not enough for this run: try fewer --seeds, or a smaller "
            "--buffer-size, --num-envs or --hidden.",
            1,
        )
    else:
        traceback.print_exception(error)
        text, code = (
            f"This is a fault of jaxrl {version()} and not of the command: please report it "
            "together with the lines above.",
            1,
        )
    print(f"jaxrl: {text}", file=sys.stderr)
    return code


def file_sentence(error: OSError) -> str:
    """Describe an error of the file system in one sentence that names the file.

    Errors of writing, such as a full disk, do not carry the name of their file: then the nearest
    path that the traceback knows is named.
    """
    name = error.filename
    for frame, _ in traceback.walk_tb(error.__traceback__) if name is None else ():
        places = [frame.f_locals.get(local) for local in ("folder", "path")]
        name = next((str(place) for place in places[::-1] if isinstance(place, Path)), name)
    reason = (error.strerror or str(error) or type(error).__name__).strip().rstrip(".")
    reason = reason.splitlines()[0]
    return f"{name or 'A file'}: {reason[:1].lower()}{reason[1:]}."


def version() -> str:
    """The version of jaxrl, or "(not installed)" where it runs from a folder of sources."""
    try:
        return importlib.metadata.version("jaxrl")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
