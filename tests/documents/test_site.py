"""The site is built without a warning, and its pages lead to each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.org/antflow"

pytestmark = pytest.mark.skipif(
    not (ROOT / "mkdocs.yml").exists(), reason="the site is built in a checkout, and this is none"
)


class Page(HTMLParser):
    """The links of a page, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if tag in {"img", "script"} and found.get("src"):
            self.sources.append(found["src"] or "")
        if tag == "link" and found.get("rel") == "stylesheet":
            self.sources.append(found.get("href") or "")
        if found.get("id"):
            self.ids.add(found["id"] or "")


def build(folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder), *options]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The pages of the site by their addresses, as it is built now."""
    if not find_spec("mkdocs"):
        if os.environ.get("ANTFLOW_TEST_REQUIRE"):
            pytest.fail("mkdocs is not installed; `make docs` installs it")
        pytest.skip("mkdocs is not installed; `make docs` installs it")
    folder = tmp_path_factory.mktemp("site")
    build(folder, "--strict")
    return {
        f"/{path.relative_to(folder).as_posix().removesuffix('index.html')}": Page(
            path.read_text(encoding="utf-8")
        )
        for path in folder.rglob("*.html")
    }


def test_every_document_is_a_page(site: dict[str, Page]) -> None:
    documents = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(documents) > 10
    addresses = {
        f"/{path.with_suffix('').as_posix()}/".removesuffix("index/") for path in documents
    }
    assert addresses - site.keys() == set()
    assert {"/", "/architecture/", "/changelog/", "/contributing/"} <= site.keys()


def test_every_link_leads_to_a_page_and_to_a_place_in_it(site: dict[str, Page]) -> None:
    dead = [
        f"{address} -> {link}"
        for address, page in site.items()
        if not address.endswith(".html")
        for link in page.links
        if not link.startswith(("http", "mailto:")) and not is_there(site, urljoin(address, link))
    ]
    assert dead == []


def is_there(site: dict[str, Page], target: str) -> bool:
    address, place = urldefrag(target)
    return address in site and (not place or unquote(place) in site[address].ids)


def test_no_page_asks_another_server_for_anything(site: dict[str, Page]) -> None:
    assert any(page.sources for page in site.values())
    asked = {source for page in site.values() for source in page.sources}
    assert [source for source in asked if source.startswith(("http", "//"))] == []


def test_a_link_to_the_repository_asks_its_host_for_nothing(
    site: dict[str, Page], tmp_path: Path
) -> None:
    """The theme's own link has a component that asks for stars and releases on each page."""
    assert site
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("# A page\n", encoding="utf-8")
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": str(tmp_path / "docs"),
        "theme": {"custom_dir": str(ROOT / "overrides")},
        "hooks": [],
        "plugins": [],
        "nav": ["page.md"],
        "repo_url": ADDRESS,
    }
    (tmp_path / "mkdocs.yml").write_text(json.dumps(settings), encoding="utf-8")
    build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    page = (tmp_path / "site" / "page" / "index.html").read_text(encoding="utf-8")
    assert ADDRESS in Page(page).links
    assert 'data-md-component="source"' not in page


def test_the_reference_has_text_from_the_docstrings(site: dict[str, Page]) -> None:
    assert {"antflow.Pipeline.run", "antflow.Stage"} <= site["/reference/pipelines/"].ids
