"""A results folder belongs to one process at a time."""

import contextlib
import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.results import named
from jaxrl.errors import InputError

NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[str]:
    """Hold the lock of a folder; yields a sentence if a dead owner's was taken over, else "".

    The lock is a file with the host, the process and the time at which it began. Raises an
    InputError if another process holds it, or one of another host, of which nothing can be known.
    """
    path, sentence = folder / NAME, ""
    for _ in range(10):
        if acquire(path):
            break
        owner = read(path)
        if alive(owner):
            raise InputError(
                f"{folder} is in use by process {owner.get('pid')} on {owner.get('host')} since "
                f"{owner.get('since')}: wait for it or stop it; if no such process exists, delete "
                f"{path}."
            )
        if take_away(path, owner):
            sentence = (
                f"{folder} was in use by process {owner.get('pid', 'unknown')}, which has ended "
                "without releasing it; it is taken over."
            )
    else:
        raise InputError(f"{path} changes all the time: another process takes over {folder}.")
    try:
        yield sentence
    finally:
        if read(path) == identity(os.getpid()) | {"since": read(path).get("since")}:
            path.unlink(missing_ok=True)


def acquire(path: Path) -> bool:
    """Make the lock file, whole and only if there is none; whether that was possible."""
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = json.dumps(identity(os.getpid()) | {"since": since})
    new = path.with_name(f"{path.name}-{os.getpid()}")
    try:
        try:
            new.write_text(text)
            try:
                os.link(new, path)
            except FileExistsError:
                return False
            except OSError:  # no hard links in this file system
                with path.open("x") as file:
                    file.write(text)
            return True
        finally:
            new.unlink(missing_ok=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise named(error, path) from None


def identity(pid: int) -> dict[str, Any]:
    """What tells a process from all others: its host, its number, and when it began."""
    return {"host": platform.node(), "pid": pid, "began": began(pid)}


def began(pid: int) -> int | None:
    """When a process of this host began, in the kernel's ticks; None where that is not told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The name of the process, in parentheses, may itself contain anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return None


def read(path: Path) -> dict[str, Any]:
    """The owner that a lock file names, {} if the file is gone or torn."""
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def alive(owner: dict[str, Any]) -> bool:
    """Whether the owner of a lock may still be running; a torn lock has no owner."""
    pid = owner.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        return False
    if owner.get("host") != platform.node():
        return True
    if not running(pid):
        return False
    return None in (owner.get("began"), began(pid)) or owner["began"] == began(pid)


def running(pid: int) -> bool:
    """Whether a process of this host runs."""
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x100000, False, pid)  # SYNCHRONIZE
        ended = not handle or ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return not ended
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    with contextlib.suppress(OSError, IndexError):  # a zombie does no harm
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def take_away(path: Path, owner: dict[str, Any]) -> bool:
    """Remove the lock of a dead owner; False if another process was quicker."""
    aside = path.with_name(f"{path.name}-{os.getpid()}-dead")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise named(error, path) from None
    if read(aside) != owner:  # someone else took over between reading and moving
        with contextlib.suppress(OSError):
            os.link(aside, path)
        aside.unlink(missing_ok=True)
        return False
    aside.unlink(missing_ok=True)
    return True
