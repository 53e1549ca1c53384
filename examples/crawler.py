"""Crawls several sites politely: each host has limits of its own, and a slow one holds up no other.

`Crawler` has the limits. The rest of this file is three sites to try it on, at different ports of
this machine. One of them is slow, and asks by its robots.txt for a pause between two requests.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.request import Request, urlopen
from urllib.robotparser import RobotFileParser

from antflow import GiveUp, Limit, Pipeline, PipelineResult, Stage, current_item

# The crawler

AGENT = "example-crawler"
LINK = re.compile(r'href="([^"]+)"')
CRAWL_DELAY = re.compile(r"^Crawl-delay: *([\d.]+)", re.IGNORECASE | re.MULTILINE)


class Page(NamedTuple):
    """A page that was fetched.

    Args:
        url: its address.
        text: its content.
    """

    url: str
    text: str


def host_of(url: str) -> str:
    """Return the host of a page, with its port; the key of the limits."""
    return urlsplit(url).netloc


def fetch(url: str) -> Page:
    """Fetch a page; a plain function, so it runs in a thread."""
    try:
        with urlopen(Request(url, headers={"User-Agent": AGENT}), timeout=10) as answer:
            return Page(url, answer.read().decode(errors="replace"))
    except HTTPError as error:
        error.close()
        if error.code < 500:  # the same request would fail again
            raise GiveUp(error) from error
        raise


class Crawler:
    """Fetches all pages that can be reached on some hosts.

    Args:
        hosts: the hosts, such as "example.org" or "127.0.0.1:8000".
        deepest: how many links away from the first page of its host a page may be.
    """

    def __init__(self, hosts: Iterable[str], deepest: int = 10) -> None:
        self.rules = {host: RobotFileParser() for host in hosts}
        self.delays = dict.fromkeys(self.rules, 0.0)  # seconds between two requests
        self.deepest = deepest
        self.polite = Limit(rate=20, per=1.05, concurrency=2, key=host_of, name="host")
        self.pipeline = Pipeline(
            [
                Stage("Fetch", 8, [self.pause, fetch], limits=[self.polite], queue_capacity=0),
                Stage("Follow", workers=1, tasks=[self.follow]),
            ],
            name="crawler",
        )
        self._seen: set[str] = set()

    async def crawl(self) -> list[PipelineResult]:
        """Return a result for each page that was fetched, with the number of its characters."""
        self._seen.clear()
        await Pipeline.quick(list(self.rules), self.read_rules)
        first = [f"http://{host}/" for host in self.rules]
        return await self.pipeline.run(self._new(first, depth=0))

    def read_rules(self, host: str) -> None:
        """Read the robots.txt of a host."""
        try:
            text = fetch(f"http://{host}/robots.txt").text
        except GiveUp:
            text = ""  # the host has none
        self.rules[host].parse(text.splitlines())
        delay = CRAWL_DELAY.search(text)
        self.delays[host] = float(delay[1]) if delay else 0.0
        self.polite.pause(self.delays[host], key=host)

    async def pause(self, url: str) -> str:
        """Let no other request to the host start for the time that it asks for."""
        self.polite.pause(self.delays[host_of(url)], key=host_of(url))
        return url

    async def follow(self, page: Page) -> int:
        """Feed the pages to which a page links."""
        item = current_item()
        assert item is not None
        depth = item.metadata["depth"] + 1
        if depth <= self.deepest:
            links = [urljoin(page.url, link) for link in LINK.findall(page.text)]
            await self.pipeline.feed(self._new(links, depth))
        return len(page.text)

    def _new(self, urls: Iterable[str], depth: int) -> list[dict[str, Any]]:
        """Return items for the pages that may be fetched and are seen for the first time."""
        pages = {urldefrag(url).url for url in urls}  # without the part after "#"
        found = {url for url in pages if self._is_allowed(url)} - self._seen
        self._seen |= found
        return [{"id": url, "value": url, "depth": depth} for url in sorted(found)]

    def _is_allowed(self, url: str) -> bool:
        rules = self.rules.get(host_of(url))
        return rules is not None and rules.can_fetch(AGENT, url)


# The sites


class Site(ThreadingHTTPServer):
    """Some pages that link to each other.

    Args:
        pages: how many there are.
        seconds: how long an answer takes.
        delay: what robots.txt says that a crawler waits between two requests, in seconds.

    Attributes:
        times: when the requests came.
        most: requests that it answered at the same time.
        rules: its robots.txt.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, pages: int, seconds: float, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.times: list[float] = []
        self.most = 0
        self.rules = f"User-agent: *\nCrawl-delay: {delay}\n" if delay else ""
        self._pages, self._seconds = pages, seconds
        self._open = 0
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_port}"

    def page(self, path: str) -> str:
        """Return the text of a page, or of robots.txt."""
        with self._lock:
            self.times.append(monotonic())
            self._open += 1
            self.most = max(self.most, self._open)
        sleep(self._seconds)
        with self._lock:
            self._open -= 1
        if path == "/robots.txt":
            return self.rules
        number = int(path[1:] or 0)
        links = [link for link in (2 * number + 1, 2 * number + 2) if link < self._pages]
        return '<a href="/">first</a>' + "".join(f'<a href="/{link}">next</a>' for link in links)

    def within(self, seconds: float) -> int:
        """Return how many requests came within some seconds, at most."""
        return max(
            sum(begin <= time < begin + seconds for time in self.times) for begin in self.times
        )


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        body = self.server.page(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no line for each request."""


@contextmanager
def serving(pages: int, seconds: float = 0.01, delay: float = 0.0) -> Iterator[Site]:
    """Run a site in threads."""
    with Site(pages, seconds, delay) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


async def main() -> None:
    with serving(20) as ants, serving(20) as bees, serving(9, 0.2, delay=0.3) as snails:
        sites = {"ants": ants, "bees": bees, "snails": snails}
        began = monotonic()
        await Crawler(site.host for site in sites.values()).crawl()
    for name, site in sites.items():
        gap = min(after - before for before, after in pairwise(site.times))
        print(
            f"{name}: {len(site.times)} requests in {site.times[-1] - began:.1f} s, at most "
            f"{site.most} at once and {site.within(1)} within a second, at least {gap:.2f} s apart"
        )


if __name__ == "__main__":
    asyncio.run(main())
