"""Has MkDocs show pages from outside of docs/, with links that work there and in the repository.

Documents link to each other by where they are in the repository. On the site, a link to a document
that is a page leads to that page. A link to any other file leads to the public address of the
repository (`tools.address`); as long as there is none, the name of the file stands there instead.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.address import file_at, repository

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
FROM_OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
PATH = r"(?P<path>(?![a-z]+:|[#/])[^)#\s\"]+)"
LINK = re.compile(r"(?P<before>\]\(|\bsrc=\"|\bhref=\")" + PATH)
WITH_TEXT = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\(" + PATH + r"(#[^)]*)?\)")
EMPTY_HEADER = re.compile(r"<th(?P<attributes>[^>]*)></th>")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Link to the repository if it has a public address (an event of MkDocs)."""
    if address := repository():
        config.repo_url = address
        config.repo_name = "/".join(address.split("/")[3:])
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the documents that are outside of docs/ (an event of MkDocs)."""
    from mkdocs.structure.files import File

    for source, page in FROM_OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Have a page's links lead to pages (an event of MkDocs)."""
    return with_links_for_the_site(markdown, page.file.src_uri, repository())


def on_page_content(html: str, **_: object) -> str:
    """Make an empty corner of a table no header, as it names nothing (an event of MkDocs)."""
    return EMPTY_HEADER.sub(r"<td\g<attributes>></td>", html)


def with_links_for_the_site(markdown: str, page: str, address: str) -> str:
    """Return a page's text with links that work on the site.

    Args:
        markdown: its text, with links that work in the repository.
        page: its path on the site.
        address: the public address of the repository, or "" if it has none.
    """
    sources = {shown: source for source, shown in FROM_OUTSIDE.items()}
    folder = posixpath.dirname(sources.get(page, f"{DOCS}/{page}"))

    def target_of(link: re.Match[str]) -> str:
        return posixpath.normpath(posixpath.join(folder, link["path"]))

    def named(link: re.Match[str]) -> str:
        target = target_of(link)
        return link[0] if is_page(target) else name_of(link["text"], target)

    def led(link: re.Match[str]) -> str:
        target = target_of(link)
        if not is_page(target):
            return link["before"] + file_at(address, target)
        return link["before"] + place_of(target, posixpath.dirname(page))

    def changed(text: str) -> str:
        return LINK.sub(led, text if address else WITH_TEXT.sub(named, text))

    return outside_of_code(markdown, changed)


def is_page(target: str) -> bool:
    """Return whether a file of the repository is on the site, too."""
    return target in FROM_OUTSIDE or target.startswith(f"{DOCS}/")


def name_of(text: str, target: str) -> str:
    """Return what stands for a link to a file that readers cannot open: its text, and its name."""
    name = f"`{target}`"
    return name if target.startswith(text.strip("`/")) else f"{text} ({name})"


def place_of(target: str, folder: str) -> str:
    """Return where a page is, for a page in a folder of the site."""
    path = FROM_OUTSIDE.get(target) or target.removeprefix(f"{DOCS}/")
    return posixpath.relpath(path, folder or ".")


def outside_of_code(markdown: str, change: Callable[[str], str]) -> str:
    parts: list[str] = []
    end = 0
    for block in FENCED.finditer(markdown):
        parts += [change(markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(markdown[end:])])
