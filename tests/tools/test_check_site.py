"""tools.check_site: what it finds on a page with one fault of each kind."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.check_site import Findings, check, chromium, pages_of

GOOD = """<!doctype html><html lang="en"><head><title>Good</title>
<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width">
<style>a { color: #036; display: inline-block; padding: 8px } pre { overflow: auto }
@media (prefers-color-scheme: dark) { body { background: #111; color: #DARK } }</style>
<body><main><h1>Good</h1><p>Words</p><pre tabindex="0"><code>x = 1</code></pre>MORE</main></html>"""


@pytest.fixture
def browser() -> str:
    """Return where Chromium is; without it or its Python packages, skip the test or fail."""
    path = chromium()
    if path and find_spec("playwright") and find_spec("axe_playwright_python"):
        return path
    reason = "Chromium or its packages are not installed; `.ci/programs && make check-site` does it"
    if os.environ.get("ANTFLOW_TEST_REQUIRE"):
        pytest.fail(reason)
    pytest.skip(reason)


def found(browser: str, folder: Path, more: str = "", dark: str = "eee") -> set[str]:
    text = GOOD.replace("MORE", more).replace("DARK", dark)
    (folder / "index.html").write_text(text, encoding="utf-8")
    return {finding for _, finding in check(folder, pages_of(folder), browser=browser).found}


def test_nothing_is_found_on_a_good_page(browser: str, tmp_path: Path) -> None:
    assert found(browser, tmp_path) == set()


def test_each_fault_is_found(browser: str, tmp_path: Path) -> None:
    faults = {
        "a request to another host: http://127.0.0.2:9/x.js": '<script src="http://127.0.0.2:9/x.js"></script>',
        "status 404: /x.png": '<img src="x.png" alt="A picture">',
        "a broken picture: /x.png": "",
        "error in the console: it broke": "<script>console.error('it broke')</script>",
        "an error in a script: it stopped": "<script>throw new Error('it stopped')</script>",
        "axe: image-alt: ": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
        "axe: heading-order: ": "<h4>Too deep</h4>",
        "axe: color-contrast: ": '<p style="color: #999; background: #fff">Faint</p>',
        "axe: link-name: ": '<a href="/"></a>',
        "code is ": f'<pre><code style="display: block">{"x" * 300}</code></pre>',
    }
    seen = found(browser, tmp_path, "".join(faults.values()))
    assert {fault for fault in faults if not any(each.startswith(fault) for each in seen)} == set()


def test_a_page_that_scrolls_sideways_is_found_with_what_is_too_wide(
    browser: str, tmp_path: Path
) -> None:
    seen = found(browser, tmp_path, '<p style="width: 600px">Wide</p>')
    assert 'the page scrolls sideways, for p "Wide"' in seen


def test_the_dark_scheme_is_looked_at(browser: str, tmp_path: Path) -> None:
    (finding, *_) = found(browser, tmp_path, dark="222")
    assert finding.startswith("axe: color-contrast: ")


def test_a_finding_is_printed_once_for_each_page(capsys: pytest.CaptureFixture[str]) -> None:
    findings = Findings()
    findings.add("/a/", "1280 pixels, light", "wrong")
    findings.add("/a/", "390 pixels, light", "wrong")
    findings.add("/b/", "390 pixels, dark", "wrong")
    assert capsys.readouterr().out.splitlines() == [
        "/a/ (1280 pixels, light): wrong",
        "/b/ (390 pixels, dark): wrong",
    ]


def test_pages_have_the_addresses_that_readers_open(tmp_path: Path) -> None:
    for name in ("index.html", "404.html", "how-to/index.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert pages_of(tmp_path) == ["/404.html", "/how-to/", "/"]
