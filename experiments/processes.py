"""Several processes, on one machine or on many hosts, that train one run together.

All of them run the same command. JAX's own runtime connects them: arrays of a run are spread over
the devices of all processes, and only the first process writes files. What depends on a clock or
on a signal is decided together, so that all take the same steps.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import distributed  # it has the only barrier that does not wait for ever
from jax.experimental import multihost_utils

from jaxrl.errors import InputError, require
from jaxrl.types import Tree, is_key

PATIENCE = 60  # seconds that processes wait for each other at the beginning and at the end
STARTS, ENDS = itertools.count(), itertools.count()  # a barrier has a name of its own
NAMES = ("coordinator", "processes", "process")
USED = (
    "--distributed takes auto, or all of coordinator=HOST:PORT,processes=N,process=I with I from 0 "
    "to N - 1, not {!r}."
)


def parsed(text: str) -> dict[str, Any]:
    """The arguments of `jax.distributed.initialize` that `--distributed` means; {} for auto.

    Raises an InputError of one sentence for anything else.
    """
    if text == "auto":
        return {}
    given = dict(word.strip().partition("=")[::2] for word in text.split(","))
    whole = sorted(given) == sorted(NAMES) and ":" in given["coordinator"]
    numbers = whole and given["processes"].isdecimal() and given["process"].isdecimal()
    require(numbers and int(given["process"]) < int(given["processes"]), USED.format(text))
    return {
        "coordinator_address": given["coordinator"],
        "num_processes": int(given["processes"]),
        "process_id": int(given["process"]),
    }


def begin(text: str, patience: int = PATIENCE) -> None:
    """Join the other processes; an InputError of one sentence if that does not succeed.

    With auto, JAX finds them by the environment of SLURM, Open MPI, Cloud TPU or Kubernetes.
    """
    arguments = parsed(text)
    if jax.distributed.is_initialized():
        return
    # A process that died is told of where it is missed, and not by ending the others at once.
    jax.config.update("jax_enable_recoverability", True)
    timeouts = {
        "initialization_timeout": patience,
        "heartbeat_timeout_seconds": patience,
        "shutdown_timeout_seconds": patience,
    }
    try:
        jax.distributed.initialize(**arguments, **timeouts)
    except ValueError:
        raise InputError(
            "--distributed auto found no cluster, such as SLURM's or Open MPI's, in the "
            "environment: give coordinator=HOST:PORT,processes=N,process=I."
        ) from None
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise InputError(
            f"The processes did not all connect within {patience} seconds: {reason[:200]}."
        ) from None


def several() -> bool:
    """Whether more than one process trains."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def first() -> bool:
    """Whether this is the process that writes files."""
    return not several() or jax.process_index() == 0


def agreed(own: Sequence[float], any_of: Sequence[bool] = ()) -> tuple[list[float], list[bool]]:
    """The numbers of the first process, and whether any process says so, for each of `any_of`."""
    if not several():
        return [*own], [*any_of]
    table = np.asarray(multihost_utils.process_allgather(np.asarray([*own, *any_of], np.float64)))
    numbers = [float(x) for x in table[0, : len(own)]]
    return numbers, [bool(x) for x in table[:, len(own) :].any(0)]


def fetched(tree: Tree) -> Tree:
    """Arrays of all processes as numpy arrays, typed keys excepted; the tree itself for one.

    All processes must call it.
    """
    if not several():
        return tree

    def one(x: Any) -> Any:
        if is_key(x):
            return jax.random.wrap_key_data(one(jax.random.key_data(x)))
        whole = not isinstance(x, jax.Array) or x.is_fully_addressable
        return np.asarray(x if whole else multihost_utils.process_allgather(x, tiled=True))

    return jax.tree.map(one, tree)


def meet(place: str, patience: int) -> bool:
    """Wait until all processes are at a place, which has a name; whether they came in time.

    Nothing has to be sent between devices for that: it is the runtime's service that waits.
    """
    client: Any = distributed.global_state.client
    try:
        client.wait_at_barrier(f"jaxrl {place}", timeout_in_ms=1000 * patience)
    except Exception:  # of the service, of several kinds
        return False
    return True


def begin_together(patience: int = 600) -> None:
    """Wait until all processes have compiled, because connections wait for less than that takes.

    Says in one sentence, and ends, if one of them does not come. Does nothing in a process alone.
    """
    if several() and not meet(f"start {next(STARTS)}", patience):
        abandon(f"Another process died or did not compile within {patience} seconds.")


def end(patience: int = PATIENCE) -> None:
    """Wait until all processes have come to the end of the run.

    Otherwise the runtime would wait at exit for a process that has died. Says in one sentence, and
    ends, if one of them does not come. Does nothing in a process that is alone.
    """
    if several() and not meet(f"end {next(ENDS)}", patience):
        abandon(f"Another process died or did not reach the end within {patience} seconds.")


@contextlib.contextmanager
def together(*ends: type[Exception]) -> Iterator[None]:
    """Work that all processes finish together, or all leave by one of the exceptions `ends`."""
    try:
        yield
    except ends:
        end()
        raise
    end()


def abandon(sentence: str, code: int = 1) -> NoReturn:
    """Print a sentence and leave at once, without waiting for the other processes."""
    print(f"jaxrl: {sentence}", file=sys.stderr)
    leave(code)


def leave(code: int) -> NoReturn:
    """End this process at once with an exit code, without waiting for the other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
