"""A profile of some updates of a training run, for TensorBoard and Perfetto."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import jax

SECOND = 2  # pieces of training: the first is of a single update, and longer than others


def profiler(
    folder: Path | None, say: Callable[[str], None]
) -> Callable[[], AbstractContextManager[None]]:
    """A context for each piece of training, of which the second is recorded into a folder.

    Without a folder nothing is. What is recorded is said in a sentence.
    """
    entered = [0]

    @contextlib.contextmanager
    def recorded() -> Iterator[None]:
        entered[0] += 1
        if folder is None or entered[0] != SECOND:
            yield
            return
        told = jax.profiler.ProfileOptions()
        told.python_tracer_level = 0  # not the calls of Python, which are many
        with jax.profiler.trace(str(folder), create_perfetto_trace=True, profiler_options=told):
            yield
        say(
            f"A profile of these updates is in {folder}: open it by tensorboard --logdir {folder}, "
            "or perfetto_trace.json.gz in it at ui.perfetto.dev."
        )

    return recorded
