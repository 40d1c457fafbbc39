"""The pages of results are what the kept results say, and every reproduction has a verdict."""

import pytest

from experiments.named import REPRODUCTIONS
from experiments.pages import HERE, PAGES
from experiments.reproductions.claims import CLAIMS, VERDICTS


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_made_from_kept_results(name):
    assert (HERE / name).read_text() == PAGES[name](), "Run python -m experiments.pages."


def test_every_reproduction_has_a_verdict():
    assert set(CLAIMS) == set(REPRODUCTIONS)
    assert all(claim.verdict in VERDICTS and claim.numbers for claim in CLAIMS.values())
