"""tools.site_hooks: links that work in the repository and on the site."""

from __future__ import annotations

import pytest

from tests.tools.building import ADDRESS
from tools.site_hooks import FROM_OUTSIDE, ROOT, on_page_content, with_links_for_the_site

HOME = f"{ADDRESS}/blob/main/"


@pytest.mark.parametrize(
    ("page", "link", "shown"),
    [
        ("index.md", "docs/how-to/crawler.md#be-polite", "how-to/crawler.md#be-polite"),
        ("index.md", "docs/images/full.svg", "images/full.svg"),
        ("index.md", "examples/word_count.py", f"{HOME}examples/word_count.py"),
        ("benchmarks.md", "README.md", f"{HOME}benchmarks/README.md"),
        ("tutorial.md", "../examples/service/README.md", f"{HOME}examples/service/README.md"),
        ("operations.md", "../benchmarks/RESULTS.md", "benchmarks.md"),
        ("how-to/crawler.md", "shutdown.md", "shutdown.md"),
        ("how-to/crawler.md", "../../README.md", "../index.md"),
        ("hooks.md", "#an-item", "#an-item"),
        ("hooks.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_leads_to_a_page_or_to_the_repository(page: str, link: str, shown: str) -> None:
    assert with_links_for_the_site(f"See [it]({link}).", page, ADDRESS) == f"See [it]({shown})."


@pytest.mark.parametrize(
    ("page", "text", "shown"),
    [
        ("index.md", "[examples/](examples)", "`examples`"),
        (
            "index.md",
            "its [template](examples/a/README.md)",
            "its template (`examples/a/README.md`)",
        ),
        ("tutorial.md", "[examples/a](../examples/a/README.md#b)", "`examples/a/README.md`"),
        ("tutorial.md", "[two\nlines](../tools/a.py)", "two\nlines (`tools/a.py`)"),
        ("tutorial.md", "[it](../README.md), [it](hooks.md)", "[it](index.md), [it](hooks.md)"),
        ("index.md", "![it](docs/images/full.svg)", "![it](images/full.svg)"),
    ],
)
def test_a_file_is_named_where_the_repository_has_no_address(
    page: str, text: str, shown: str
) -> None:
    assert with_links_for_the_site(text, page, "") == shown


def test_pictures_of_html_are_led_too() -> None:
    text = '<a href="docs/hooks.md"><img src="docs/images/full.svg" width="800"></a>'
    assert with_links_for_the_site(text, "index.md", "") == (
        '<a href="hooks.md"><img src="images/full.svg" width="800"></a>'
    )


def test_code_is_left_as_it_is() -> None:
    code = "```python\nx = pages[0](docs)\n```\n"
    assert with_links_for_the_site(f"[a](docs/a.md)\n{code}[b](docs/b.md)", "index.md", "") == (
        f"[a](a.md)\n{code}[b](b.md)"
    )


def test_every_page_from_outside_is_there() -> None:
    assert [name for name in FROM_OUTSIDE if not (ROOT / name).is_file()] == []


def test_an_empty_corner_of_a_table_is_no_header() -> None:
    row = '<tr><th style="text-align: left;"></th><th>speed</th></tr>'
    assert on_page_content(row) == ('<tr><td style="text-align: left;"></td><th>speed</th></tr>')
