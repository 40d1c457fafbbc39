"""The registry of suites: names without packages, and one sentence where a package is missing."""

import importlib.util
import subprocess
import sys

import pytest

import envs
from envs import suites
from experiments import listing
from jaxrl.errors import InputError

PACKAGES = [suite.package for suite in suites.SUITES.values()]


@pytest.fixture
def nothing_installed(monkeypatch):
    found = importlib.util.find_spec
    hide = lambda name, *rest: None if name in PACKAGES else found(name, *rest)
    monkeypatch.setattr(importlib.util, "find_spec", hide)


def test_names_have_the_prefix_of_their_suite_and_are_told_apart():
    names = envs.names()
    assert len(set(names)) == len(names)
    for prefix in suites.SUITES:
        own = suites.module(prefix).names()
        assert own and all(name.startswith(f"{prefix}/") for name in own)
        assert set(own) <= set(names)


def test_listing_names_imports_no_package():
    program = f"import sys, envs; envs.names(); print([p for p in {PACKAGES} if p in sys.modules])"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert output.stdout.strip() == "[]", output.stderr


@pytest.mark.parametrize("prefix", suites.SUITES)
def test_a_missing_package_is_told_with_its_extra(prefix, nothing_installed):
    name = suites.module(prefix).names()[0]
    package, extra, _ = suites.SUITES[prefix]
    with pytest.raises(InputError) as raised:
        envs.make(name)
    assert str(raised.value) == f"{name} needs the package {package}: pip install 'jaxrl[{extra}]'."


def test_a_name_that_is_nearly_right_is_corrected(nothing_installed):
    with pytest.raises(InputError, match="did you mean brax/ant"):
        envs.make("brax/ants")


def test_listings_mark_what_is_not_installed(nothing_installed):
    prefix = next(prefix for prefix, suite in suites.SUITES.items() if suite.extra)
    name, extra = suites.module(prefix).names()[0], suites.SUITES[prefix].extra
    (_, line) = listing.environments([name])
    assert line.split(None, 1) == [name, f"pip install 'jaxrl[{extra}]'"]
    lines = listing.environment_names([name])
    assert lines[-2:] == [f"After pip install 'jaxrl[{extra}]':", name]


def test_only_suites_with_a_renderer_draw():
    assert suites.draws("brax/ant") and suites.pages("brax/ant")
    assert not suites.draws("CartPole-v1") and not suites.pages("CartPole-v1")
    with pytest.raises(InputError, match="no renderer"):
        suites.frames("CartPole-v1", {}, ())
