"""What it costs to be scraped: how long it takes, and how long the event loop is held up."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from statistics import median
from time import monotonic
from typing import NoReturn

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost

STAGES = 100
WORKERS = 10
PAUSE = 1.0  # the server collects for 2% of the time: scrapes that come faster would wait
TICK = 0.001

MILLISECONDS = Metric("ms", "ms a scrape")
ADDED = Metric("added", "ms added to the loop's lag")
KILOBYTES = Metric("kB", "kB, compressed", decimals=0)

SCRAPER = f"""
import json, sys, time, urllib.request

url, count = sys.argv[1], int(sys.argv[2])
headers = {{"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}}
for _ in range(count):
    time.sleep({PAUSE})
    begin = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        size = len(answer.read())
    print(json.dumps([begin, time.monotonic(), size]), flush=True)
"""

Tick = tuple[float, float]
"""When the loop should have come round, and by how many seconds it was late."""


async def note_ticks(ticks: list[Tick]) -> NoReturn:
    """Sleep for a millisecond, again and again, and note how late the loop was."""
    while True:
        due = monotonic() + TICK
        await asyncio.sleep(TICK)
        ticks.append((due, max(0.0, monotonic() - due)))


async def measure(contender: Contender, size: int) -> Figures:
    """Have another process scrape an idle pipeline that often, and watch the event loop."""
    async with contender.program().scraped(STAGES, WORKERS) as url:
        ticks: list[Tick] = []
        watching = asyncio.create_task(note_ticks(ticks))
        scraper = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRAPER, url, str(size), stdout=PIPE
        )
        output, _ = await scraper.communicate()
        watching.cancel()
    scrapes = [json.loads(line) for line in output.splitlines()]
    during = [_worst(ticks, begin, end) for begin, end, _ in scrapes]
    before = [_worst(ticks, 2 * begin - end, begin) for begin, end, _ in scrapes]
    return {
        MILLISECONDS.name: median(end - begin for begin, end, _ in scrapes) * 1e3,
        ADDED.name: (median(during) - median(before)) * 1e3,
        KILOBYTES.name: scrapes[-1][2] / 1e3,
    }


def _worst(ticks: Sequence[Tick], begin: float, end: float) -> float:
    """Return the longest time for which the loop was late within a stretch of time."""
    return max((late for due, late in ticks if begin <= due + late and due <= end), default=0.0)


MEASUREMENT = Measurement(
    name="scrape",
    title="A scrape of 100 stages",
    about="A started pipeline of 100 stages of one task, some 6,000 series, is scraped over HTTP "
    "by another process, as Prometheus does it: OpenMetrics, compressed. Meanwhile its event loop, "
    "which has nothing else to do, sleeps for a millisecond again and again: how late it is at "
    "worst during a scrape, less how late it is at worst in as long a time before it; the median "
    "of all scrapes. In one variant another pipeline runs meanwhile, again and again, "
    "with 5 ms between two runs.",
    size_heading="scrapes",
    entries=(
        Entry("antflow-scraped", 15),
        Entry("antflow-scraped-among-runs", 15),
        Entry("antflow-scraped-by-the-library", 15),
    ),
    metrics=(MILLISECONDS, ADDED, KILOBYTES),
    measure=measure,
    at_most_rounds=5,
    targets=(
        AtMost("under 30 ms", MILLISECONDS, "antflow-scraped", 30),
        AtMost("adds under 5 ms to the loop's lag", ADDED, "antflow-scraped", 5),
        AtMost("and while runs begin and end", ADDED, "antflow-scraped-among-runs", 5),
    ),
)
