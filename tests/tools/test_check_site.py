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
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }</style>
<body><main><h1>Good</h1><p>Words</p><pre tabindex="0"><code>x = 1</code></pre>MORE</main></html>"""


FAULTS = {
    "a request to another host: http://127.0.0.2:9/x.js": '<script src="http://127.0.0.2:9/x.js"></script>',
    "status 404: /x.png": '<img src="/x.png" alt="A picture">',
    "a broken picture: /x.png": "",
    "error in the console: it broke": "<script>console.error('it broke')</script>",
    "an error in a script: it stopped": "<script>throw new Error('it stopped')</script>",
    "axe: image-alt: ": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "axe: heading-order: ": "<h4>Too deep</h4>",
    "axe: color-contrast: ": '<p style="color: #999; background: #fff">Faint</p>',
    "axe: link-name: ": '<a href="/"></a>',
    "code is ": f'<pre><code style="display: block">{"x" * 300}</code></pre>',
}
PAGES = {
    "good": GOOD.replace("MORE", ""),
    "faulty": GOOD.replace("MORE", "".join(FAULTS.values())),
    "wide": GOOD.replace("MORE", '<p style="width: 600px">Wide</p>'),
    "dark": GOOD.replace("MORE", "").replace("#eee", "#222"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What is found on each page; without Chromium or its Python packages, skip or fail."""
    browser = chromium()
    if not (browser and find_spec("playwright") and find_spec("axe_playwright_python")):
        reason = "Chromium or its packages are not installed; `.ci/programs && make check-site`"
        if os.environ.get("ANTFLOW_TEST_REQUIRE"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    for name, text in PAGES.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    findings = check(folder, pages_of(folder), browser=browser).found
    return {
        name: {finding for page, finding in findings if page == f"/{name}.html"} for name in PAGES
    }


def test_nothing_is_found_on_a_good_page(found: dict[str, set[str]]) -> None:
    assert found["good"] == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str, found: dict[str, set[str]]) -> None:
    assert [finding for finding in found["faulty"] if finding.startswith(fault)] != []


def test_a_page_that_scrolls_sideways_is_found_with_what_is_too_wide(
    found: dict[str, set[str]],
) -> None:
    assert 'the page scrolls sideways, for p "Wide"' in found["wide"]


def test_the_dark_scheme_is_looked_at(found: dict[str, set[str]]) -> None:
    assert found["dark"] != set()
    assert all(finding.startswith("axe: color-contrast: ") for finding in found["dark"])


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
