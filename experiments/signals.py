"""Signals that stop a run after everything is saved."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
]


@contextlib.contextmanager
def caught_signals() -> Iterator[list[str]]:
    """Note a first Ctrl-C, SIGTERM or SIGUSR1, so that everything is saved before stopping.

    The names of the signals received are in the list. A second Ctrl-C stops at once.
    """
    received: list[str] = []

    def note(number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not received:
            again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
            print(f"\nReceived {name}: saving, then stopping{again}.", file=sys.stderr)
        received.append(name)

    before = []
    try:
        for one in SIGNALS:
            before.append((one, signal.signal(one, note)))
    except ValueError:  # not in the main thread, as in some notebooks
        yield received
        return
    try:
        yield received
    finally:
        for one, handler in before:
            signal.signal(one, handler)
