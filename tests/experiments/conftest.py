"""One small training run that several tests look at."""

import os
from pathlib import Path

import pytest

from experiments import programs
from experiments.cli import main
from tests.experiments.runs import command


@pytest.fixture(scope="session", autouse=True)
def kept_programs() -> None:
    """Commands share the programs that they compile, as they do in processes of their own."""
    programs.keep(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]) / "programs")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of PPO after 4 updates, evaluated twice."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    assert main([*command("ppo", 4, 2, folder), "--log", "tensorboard", "jsonl"]) == 0
    return folder
