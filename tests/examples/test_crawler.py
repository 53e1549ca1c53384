"""The polite crawler, on sites of its own."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from examples import crawler as program
from tests.examples.conftest import Run

LINE = re.compile(
    r"(\w+): (\d+) requests in ([\d.]+) s, at most (\d+) at once and (\d+) within a second, "
    r"at least ([\d.]+) s apart"
)


def test_a_slow_host_holds_up_no_other(run: Run) -> None:
    finished = run("crawler.py")
    assert (finished.returncode, finished.stderr) == (0, "")
    found = [LINE.fullmatch(line) for line in finished.stdout.splitlines()]
    ants, bees, snails = (match.groups() for match in found if match is not None)
    for name, number, seconds, most, within_a_second, _ in (ants, bees):
        assert (name, number) in {("ants", "21"), ("bees", "21")}
        assert float(seconds) < float(snails[2]) * 0.8
        assert int(most) <= 2
        assert int(within_a_second) <= 21  # one may be late on its way
    assert snails[:2] == ("snails", "10")
    # robots.txt asks for 0.3 between two requests, of which a busy machine may delay the first.
    assert float(snails[2]) > 9 * 0.25


async def test_every_page_of_the_hosts_is_fetched_once_and_no_other() -> None:
    with program.serving(12, 0) as ants, program.serving(3, 0) as bees:
        crawler = program.Crawler([ants.host])
        found = [result.id for result in await crawler.crawl()]
        pages = ["", *map(str, range(1, 12))]
        assert sorted(found) == sorted(f"http://{ants.host}/{page}" for page in pages)
        assert (len(ants.times), len(bees.times)) == (1 + len(pages), 0)  # and robots.txt
        assert crawler.pipeline.failures == []


async def test_no_page_is_fetched_that_is_too_deep_or_that_robots_txt_disallows() -> None:
    with program.serving(12, 0) as site:
        site.rules = "User-agent: *\nDisallow: /1\n"
        found = await program.Crawler([site.host], deepest=2).crawl()
    pages = {result.id.removeprefix(f"http://{site.host}/"): result for result in found}
    depths = {page: result.metadata["depth"] for page, result in pages.items()}
    assert depths == {"": 0, "2": 1, "5": 2, "6": 2}


async def test_the_pause_of_one_host_is_none_of_others() -> None:
    with program.serving(4, 0, delay=0.2) as slow, program.serving(4, 0) as fast:
        await program.Crawler([slow.host, fast.host]).crawl()
    assert min(after - before for before, after in pairwise(slow.times)) > 0.1
    assert fast.times[-1] - fast.times[0] < slow.times[-1] - slow.times[0]


def test_the_page_shows_the_limits() -> None:
    text = Path(program.__file__).read_text(encoding="utf-8")
    crawler = text[text.index("class Crawler:") : text.index("\n\n# The sites")]
    page = Path(__file__).parents[2] / "docs" / "how-to" / "crawler.md"
    assert crawler in page.read_text(encoding="utf-8")
