"""The pages of the site: their links lead to files, and their tables can be made.

The site itself is built by `make docs`, which needs the packages of the extra `docs`.
"""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(ROOT / "docs/hooks"))
    try:
        import tables
    finally:
        sys.path.remove(str(ROOT / "docs/hooks"))
    return tables.TABLES


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_table_that_a_page_asks_for_can_be_made(tables):
    asked = {name for page in PAGES for name in re.findall(r"<!-- table: (\S+) -->", prose(page))}
    assert asked and asked <= set(tables)
    for name in asked:
        assert len(tables[name]().splitlines()) > (0 if name.startswith("claim") else 2), name


def test_tables_say_what_is_there(tables):
    assert "`ppo`" in tables["agents"]() and "`chain`" in tables["own"]()
    assert "jaxrl train AGENT" not in tables["learnt"]()
    assert "[500.0, 500.0]" in tables["learnt"]()  # PPO on CartPole, the first kept row
    assert "::: jaxrl.dp.scalar" in tables["reference-jaxrl.dp"]()
    assert "::: jaxrl.dp.scalar" not in tables["reference-jaxrl"]()
    assert "--learning-rate" in tables["commands"]()


def test_shapes_are_set_as_code(monkeypatch):
    pytest.importorskip("griffe")
    monkeypatch.syspath_prepend(str(ROOT / "docs/hooks"))
    from shapes import as_code

    assert as_code("Values [..., N] of `x [T]`.\n        >>> f([1])") == (
        "Values `[..., N]` of `x [T]`.\n        >>> f([1])"
    )
