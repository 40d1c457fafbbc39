"""The pages of results are what the kept results say, and every reproduction has a verdict."""

import pytest

from experiments import benchmarks, reproductions
from experiments.named import BENCHMARKS, REPRODUCTIONS
from experiments.pages import HERE, PAGES
from experiments.reproductions.claims import CLAIMS, VERDICTS


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_made_from_kept_results(name):
    assert (HERE / name).read_text() == PAGES[name](), "Run python -m experiments.pages."


def test_every_reproduction_has_a_verdict():
    assert set(CLAIMS) == set(REPRODUCTIONS)
    assert all(claim.verdict in VERDICTS and claim.numbers for claim in CLAIMS.values())


def test_tables_of_contents_name_every_reproduction_and_benchmark():
    for package, names in ((reproductions, REPRODUCTIONS), (benchmarks, BENCHMARKS)):
        missing = [name for name in names if f"`{name}`" not in str(package.__doc__)]
        assert not missing
