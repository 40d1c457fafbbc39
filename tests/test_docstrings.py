"""The examples in docstrings: every public function has one, and each shows what it says.

The examples of a package share what its own docstring defines, and those of a module what the
module's does. Numbers are compared to three decimals, because the last digits depend on the
processor.
"""

import doctest
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

PACKAGES = ("jaxrl.values", "jaxrl.dp", "jaxrl.returns", "jaxrl.updates", "jaxrl.data",
            "jaxrl.generators", "jaxrl.optimism", "jaxrl.policy_gradients")  # fmt: skip
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.?\d*(?:e[-+]?\d+)?(?![\w])")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Checker(doctest.OutputChecker):
    """Compare numbers to three decimals, and the rest without its spaces."""

    def check_output(self, want, got, optionflags):
        if super().check_output(want, got, optionflags):
            return True
        numbers = [np.array(NUMBER.findall(text), float) for text in (want, got)]
        texts = ["".join(NUMBER.sub("#", text).split()) for text in (want, got)]
        same = len(numbers[0]) == len(numbers[1]) and np.allclose(*numbers, atol=6e-4, rtol=1e-4)
        return same and texts[0] == texts[1]


def modules(package):
    """A package and the modules in it."""
    top = importlib.import_module(package)
    inner = [m.name for m in pkgutil.iter_modules(getattr(top, "__path__", []))]
    return [top, *(importlib.import_module(f"{package}.{name}") for name in inner)]


def functions(module):
    """The functions that a module defines and does not keep to itself."""
    own = lambda x: inspect.isfunction(x) and x.__module__ == module.__name__
    return [x for name, x in vars(module).items() if own(x) and name[0] != "_"]


def run(docstring, name, names):
    """Run the examples of a docstring, which see `names` and may add to them."""
    test = doctest.DocTestParser().get_doctest(docstring, names, name, None, 0)
    report = []
    runner = doctest.DocTestRunner(Checker(), verbose=False, optionflags=FLAGS)
    failed, tried = runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert not failed, "".join(report)
    return tried


@pytest.mark.thorough
@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_shows_what_it_does(package):
    top, *inner = modules(package)
    shared: dict = {}
    run(top.__doc__, package, shared)
    without = []
    with np.printoptions(precision=3, suppress=True):
        for module in inner or [top]:
            names = dict(shared)
            if inner:
                run(module.__doc__, module.__name__, names)
            for function in functions(module):
                tried = run(function.__doc__ or "", function.__qualname__, dict(names))
                if not tried and function.__name__ in getattr(top, "__all__", vars(top)):
                    without.append(function.__name__)
    assert not without


def test_a_wrong_number_is_found():
    checker = Checker()
    assert checker.check_output("[0.333 1.   ]\n", "[0.33333334 1.        ]\n", FLAGS)
    assert not checker.check_output("[0.333 1.   ]\n", "[0.335 1.   ]\n", FLAGS)
    assert not checker.check_output("3.0\n", "[3.]\n", FLAGS)
    assert not checker.check_output("3.0\n", "3.0 3.0\n", FLAGS)


def test_public_functions_are_those_of_the_package_itself():
    found = [function.__name__ for function in functions(importlib.import_module("jaxrl.returns"))]
    assert "gae" in found and "require" not in found
