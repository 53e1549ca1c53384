"""Has MkDocs show pages from outside of docs/, with links that work there and in the repository.

Documents link to each other by where they are in the repository. On the site, a link to a document
that is a page leads to that page, and one to any other file of the repository to its home.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
FROM_OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
HOME = "https://github.com/antflow/antflow/blob/main/"
LINK = re.compile(r"(?P<before>\]\(|\bsrc=\"|\bhref=\")(?P<path>(?![a-z]+:|[#/])[^)#\s\"]+)")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the documents that are outside of docs/ (an event of MkDocs)."""
    from mkdocs.structure.files import File

    for source, page in FROM_OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Have a page's links lead to pages (an event of MkDocs)."""
    return with_links_for_the_site(markdown, page.file.src_uri)


def with_links_for_the_site(markdown: str, page: str) -> str:
    """Return a page's text with links that work on the site.

    Args:
        markdown: its text, with links that work in the repository.
        page: its path on the site.
    """
    sources = {shown: source for source, shown in FROM_OUTSIDE.items()}
    folder = posixpath.dirname(sources.get(page, f"{DOCS}/{page}"))

    def rewritten(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link["path"]))
        return link["before"] + place_of(target, posixpath.dirname(page))

    return outside_of_code(markdown, lambda text: LINK.sub(rewritten, text))


def place_of(target: str, folder: str) -> str:
    """Return where a file of the repository is, for a page in a folder of the site."""
    if target in FROM_OUTSIDE:
        return posixpath.relpath(FROM_OUTSIDE[target], folder or ".")
    if target.startswith(f"{DOCS}/"):
        return posixpath.relpath(target.removeprefix(f"{DOCS}/"), folder or ".")
    return HOME + target


def outside_of_code(markdown: str, change: Callable[[str], str]) -> str:
    parts: list[str] = []
    end = 0
    for block in FENCED.finditer(markdown):
        parts += [change(markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(markdown[end:])])
