"""What the site shows of the rest of the repository: results, notebooks, pictures and tables.

Nothing is written twice. Pages outside of `docs` become pages of the site, links between files of
the repository become links between pages, and `<!-- table: NAME -->` is replaced by a table that is
made from the code or from kept results.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import notebooks  # noqa: E402
import tables  # noqa: E402

# Pages of the site that are files of the repository.
PAGES = {
    "index.md": "README.md",
    "benchmarks.md": "experiments/README.md",
    "reproductions.md": "experiments/reproductions/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
LINK = re.compile(r"(?<!`)(!?)\[((?:[^\[\]]|\\\[|\\\])*)\]\(([^)\s]+)\)")
TABLE = re.compile(r"<!-- table: ([\w.-]+) -->")


def pictures() -> dict[str, str]:
    """The pictures in the repository, by their addresses in the site."""
    found = [*ROOT.glob("experiments/pictures/*"), *ROOT.glob("experiments/reproductions/**/*.png")]
    names = [path.relative_to(ROOT).as_posix() for path in found]
    return {name.removeprefix("experiments/"): name for name in names}


def addresses() -> dict[str, str]:
    """The address in the site of each file of the repository that has one."""
    found = {source: page for page, source in PAGES.items()}
    found |= {source: picture for picture, source in pictures().items()}
    for path in ROOT.glob("docs/**/*.md"):
        found[path.relative_to(ROOT).as_posix()] = path.relative_to(ROOT / "docs").as_posix()
    for path in (ROOT / notebooks.FOLDER).glob("*.ipynb"):
        found[path.relative_to(ROOT).as_posix()] = f"notebooks/{path.stem}.md"
    return found


def relinked(text: str, source: str, page: str) -> str:
    """A page's text, in which links to files of the repository lead to pages of the site.

    What is no part of the site is named instead of linked.
    """
    known = addresses()

    def one(match: re.Match) -> str:
        picture, label, target = match.groups()
        place, mark, anchor = target.partition("#")
        if not place or "://" in target:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), place))
        if file not in known:
            return f"`{file}`"
        to = posixpath.relpath(known[file], posixpath.dirname(page) or ".")
        return f"{picture}[{label}]({to}{mark}{anchor})"

    blocks = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(x if x.startswith("```") else LINK.sub(one, x) for x in blocks)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and pictures that are elsewhere in the repository."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for address, source in pictures().items():
        files.append(File.generated(config, address, abs_src_path=str(ROOT / source)))
    for address, content in notebooks.pages(ROOT).items():
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put tables into a page, and lead its links to pages of the site."""
    address = page.file.src_uri
    source = PAGES.get(address, f"docs/{address}")
    if address.startswith("notebooks/"):
        source = f"{notebooks.FOLDER}/{Path(address).stem}.ipynb"
    markdown = TABLE.sub(lambda match: tables.TABLES[match[1]](), markdown)
    return relinked(markdown, source, address)
