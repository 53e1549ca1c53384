"""The lag of event loops, as scrapes show it."""

from __future__ import annotations

import asyncio
import gc
from math import isnan
from threading import Event, Thread
from typing import Any

import pytest

from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import Scraper, stage

MAX_LAG = 0.1


def lag(scraper: Scraper, name: str = "letters") -> float:
    return scraper.value("antflow_event_loop_lag_seconds", pipeline=name)


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts the calls from other threads."""

    calls = 0

    def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        self.calls += 1
        return super().call_soon_threadsafe(*arguments, **options)


def test_the_lag_of_a_blocked_loop_is_shown_up_to_a_limit_and_it_is_asked_once() -> None:
    scraper = Scraper()
    loop = CountingLoop()
    lags: list[float] = []

    def scrape() -> None:
        lags.append(lag(scraper))

    async def main() -> None:
        one = scraper.pipeline(stage())
        await one.start()
        await asyncio.to_thread(scrape)
        before = loop.calls
        for _ in range(3):
            scraping = Thread(target=scrape)
            scraping.start()
            scraping.join()  # which blocks this loop
        assert loop.calls == before + 1
        await asyncio.sleep(0)
        await asyncio.to_thread(scrape)
        await one.join()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    free, *blocked, again = lags
    assert 0 < free <= MAX_LAG
    assert 0 < again <= MAX_LAG
    assert blocked == [MAX_LAG] * 3
    assert lag(scraper) == 0  # the run has ended


def test_a_scrape_on_the_loop_itself_does_not_wait_for_it() -> None:
    scraper = Scraper()

    async def main() -> None:
        one = scraper.pipeline(stage())
        await one.start()
        assert isnan(lag(scraper))
        await one.join()

    simulate(main)


@pytest.mark.filterwarnings("ignore:Pipeline .* was dropped:ResourceWarning")
def test_each_pipeline_has_the_lag_of_its_own_loop_and_none_once_it_is_closed() -> None:
    scraper = Scraper()
    release, is_blocked = Event(), Event()

    async def block() -> None:
        one = scraper.pipeline(stage(), name="blocked")
        await one.start()
        is_blocked.set()
        release.wait(10)

    async def main() -> None:
        one = scraper.pipeline(stage(), name="free")
        await one.start()
        assert is_blocked.wait(10)
        assert await asyncio.to_thread(lag, scraper, "blocked") == MAX_LAG
        assert 0 < await asyncio.to_thread(lag, scraper, "free") <= MAX_LAG
        await one.join()

    blocking = Thread(target=lambda: asyncio.run(block()))
    blocking.start()
    asyncio.run(main())
    release.set()
    blocking.join()
    assert lag(scraper, "blocked") == 0  # its loop is closed, and its run has no end
    gc.collect()  # of that pipeline, which is still running
