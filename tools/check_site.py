"""Opens every page of the site in Chromium, as readers do, and reports what is wrong with it.

Run by `make check-site`. It serves site/ on 127.0.0.1, and opens each page in a wide and a narrow
window, in the light and the dark scheme. It finds: requests to other hosts, errors in the browser's
console, files and pictures that are missing, pages that scroll sideways, code that is wider than
its column in a wide window, and violations of the rules of axe for WCAG 2 (A and AA) and for good
practice. On the home page it opens the search and the menu, too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from tools.workspace import ROOT

SITE = ROOT / "site"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AT_ONCE = 2  # browsers
SCHEMES = ("light", "dark")
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CONTRAST = "color-contrast"  # asked of one element of each kind of text: there are thousands
BAD = 400  # the lowest status of a request that failed


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Findings:
    """Prints what is wrong, once for each page."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()

    def add(self, page: str, window: str, finding: str) -> None:
        """Print a finding, unless it was made on this page before."""
        if (page, finding) not in self.found:
            self.found.add((page, finding))
            print(f"{page} ({window}): {finding}", flush=True)


class Visitor:
    """Opens pages in one scheme, and looks at them.

    Args:
        browser: Playwright's.
        scripts: what is run in each page before it is asked anything.
        screenshots: the folder for a picture of each page, or None.
    """

    def __init__(
        self,
        browser: Any,
        scripts: list[str],
        origin: str,
        scheme: str,
        findings: Findings,
        screenshots: Path | None,
    ) -> None:
        self.scripts = scripts
        self.origin = origin
        self.scheme = scheme
        self.findings = findings
        self.screenshots = screenshots
        self.address = ""
        self.page = browser.new_page(viewport=WIDE, color_scheme=scheme, reduced_motion="reduce")
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.add(f"an error in a script: {error}"))

    def add(self, *findings: str) -> None:
        """Add what is wrong with the page that is open."""
        width = self.page.viewport_size["width"]
        for finding in findings:
            text = finding.replace(self.origin, "")
            self.findings.add(self.address, f"{width} pixels, {self.scheme}", text)

    def visit(self, address: str) -> None:
        """Open a page, and look at it in both windows."""
        self._open(address)
        for window in (WIDE, NARROW):
            self._look(window)
            if window == WIDE:
                self._ask_axe(colours=True)
            if self.scheme == SCHEMES[0]:  # the other rules find the same in either scheme
                self._ask_axe()

    def use(self, address: str) -> None:
        """Open the search and the menu of a page, and look at them."""
        self._open(address)
        self.page.keyboard.press("/")
        self.page.keyboard.type("retry")
        self.page.wait_for_selector(".md-search-result__item", state="visible", timeout=10_000)
        self._ask_axe(colours=True)
        self._ask_axe()
        self._take("search")
        self._open(address)
        self.page.set_viewport_size(NARROW)
        self.page.click("label.md-header__button[for=__drawer]")
        self.page.wait_for_selector(".md-nav--primary", state="visible", timeout=10_000)
        self._ask_axe(colours=True)
        self._ask_axe()
        self._take("menu")

    def _open(self, address: str) -> None:
        self.address = address
        self.page.set_viewport_size(WIDE)
        self.page.goto(self.origin + address, wait_until="load")
        for script in self.scripts:
            self.page.evaluate(script)

    def _look(self, window: dict[str, int]) -> None:
        self.page.set_viewport_size(window)
        self.page.evaluate("() => antflow.settle()")
        self.add(*self.page.evaluate("wide => antflow.layout(wide)", window == WIDE))
        self._take(self.address.strip("/").replace("/", "-") or "home")

    def _ask_axe(self, *, colours: bool = False) -> None:
        """Add what axe finds: about contrast, of each kind of text; or by all other rules."""
        options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
        options["runOnly"] = [CONTRAST] if colours else TAGS
        if not colours:
            options["rules"] = {CONTRAST: {"enabled": False}}
        ask = "([options, colours]) => antflow.axe(options, colours)"
        self.add(*(f"axe: {found}" for found in self.page.evaluate(ask, [options, colours])))

    def _take(self, name: str) -> None:
        if self.screenshots:
            width = self.page.viewport_size["width"]
            path = self.screenshots / f"{name}-{width}-{self.scheme}.png"
            self.page.screenshot(path=path, full_page=name not in {"search", "menu"})

    def _on_request(self, request: Any) -> None:
        is_local = urlsplit(request.url).scheme in {"blob", "data"}
        if not is_local and not request.url.startswith(f"{self.origin}/"):
            self.add(f"a request to another host: {request.url}")

    def _on_response(self, response: Any) -> None:
        if response.status >= BAD:
            self.add(f"status {response.status}: {response.url}")

    def _on_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.add(f"{message.type} in the console: {message.text}")


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on a free port, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pages_of(site: Path) -> list[str]:
    """Return the paths of the pages of a site."""
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    return [f"/{name.removesuffix('index.html')}" for name in names]


def chromium() -> str | None:
    """Return the path of Chromium or Chrome, or None if neither is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def check(
    site: Path,
    addresses: list[str],
    *,
    browser: str,
    used: str | None = None,
    screenshots: Path | None = None,
) -> Findings:
    """Look at pages of a site in a browser.

    Args:
        site: the folder of the site.
        addresses: the paths of the pages.
        browser: Chromium's path.
        used: the page whose search and menu are opened; none if it is None.
        screenshots: the folder for a picture of each page in each window; none if it is None.
    """
    findings = Findings()
    parts = [addresses[first::AT_ONCE] for first in range(min(AT_ONCE, len(addresses)))]
    with served(site) as origin, ThreadPoolExecutor(AT_ONCE) as pool:
        look = partial(look_at, origin, findings=findings, browser=browser, screenshots=screenshots)
        running = [
            pool.submit(look, part, used=None if n else used) for n, part in enumerate(parts)
        ]
        for each in running:
            each.result()
    return findings


def look_at(
    origin: str,
    addresses: list[str],
    *,
    findings: Findings,
    browser: str,
    used: str | None,
    screenshots: Path | None,
) -> None:
    """Look at pages in a browser of their own."""
    from playwright.sync_api import sync_playwright

    axe = files("axe_playwright_python") / "axe.min.js"
    questions = Path(__file__).with_suffix(".js")
    scripts = [script.read_text(encoding="utf-8") for script in (axe, questions)]
    with sync_playwright() as playwright:
        process = playwright.chromium.launch(executable_path=browser, args=list(FLAGS))
        for scheme in SCHEMES:
            visitor = Visitor(process, scripts, origin, scheme, findings, screenshots)
            for address in addresses:
                visitor.visit(address)
            if used:
                visitor.use(used)
        process.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="check_site")
    parser.add_argument("pages", nargs="*", help="pages such as /tutorial/; all if none is given")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="for pictures of them")
    arguments = parser.parse_args()
    browser = chromium()
    addresses = arguments.pages or pages_of(SITE)
    if not browser or not addresses:
        missing = "the site: run `make docs`" if browser else "Chromium: install it"
        print(f"check_site needs {missing}", file=sys.stderr)
        return 2
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    start = monotonic()
    findings = check(SITE, addresses, browser=browser, used="/", screenshots=arguments.screenshots)
    seconds = monotonic() - start
    print(f"{len(addresses)} pages, {len(findings.found)} findings, {seconds:.0f} seconds")
    return 1 if findings.found else 0


if __name__ == "__main__":
    sys.exit(main())
