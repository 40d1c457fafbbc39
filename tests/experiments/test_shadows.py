"""A package that is called as one of ours is named in one sentence, with its place."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import shadows
from experiments.cli import reported

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["agents", "envs"])
def test_a_package_that_hides_ours_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('it must not be imported')")
    program = "import sys; from experiments.cli import main; sys.exit(main(['list', 'agents']))"
    words = [sys.executable, "-c", program]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("jaxrl: ") and done.stderr.count("\n") == 1
    assert str(tmp_path / name) in done.stderr and "virtual environment" in done.stderr


def test_our_own_packages_hide_nothing():
    assert shadows.hidden() == ""


def test_a_package_that_was_installed_over_ours_is_named(monkeypatch, capsys):
    owners = {"agents": ["other-agents", "jaxrl"], "jaxrl": ["jaxrl"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    assert reported(ImportError("cannot import name 'AGENTS' from 'agents'")) == 2
    told = capsys.readouterr().err
    assert "other-agents" in told and str(ROOT / "agents") in told and told.count("\n") == 1


def test_other_errors_of_imports_keep_their_traceback(monkeypatch, capsys):
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: {"jaxrl": ["jaxrl"]})
    assert reported(ImportError("no such thing")) == 1
    assert "no such thing" in capsys.readouterr().err
