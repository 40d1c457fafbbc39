"""What the command `jaxrl` prints about itself."""

import contextlib
import io
import os
from unittest import mock

from experiments.cli import COMMANDS, main

SHOWN = {"train": ("train", "ppo"), "sweep": ("sweep", "ppo")}


def printed(*words: str) -> str:
    """What a command with `--help` prints, in lines of 96 characters."""
    text = io.StringIO()
    wide, caught = mock.patch.dict(os.environ, COLUMNS="96"), contextlib.suppress(SystemExit)
    with wide, caught, contextlib.redirect_stdout(text):
        main([*words, "--help"])
    return text.getvalue().strip()


def commands() -> str:
    """The help texts of all commands."""
    parts = [f"```text\n{printed()}\n```"]
    for command in COMMANDS:
        parts.append(f"## {command}\n\n```text\n{printed(*SHOWN.get(command, (command,)))}\n```")
    return "\n\n".join(parts)
