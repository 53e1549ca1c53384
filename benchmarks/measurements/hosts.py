"""How much longer two hosts take beside a third one, which is limited."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from itertools import product
from time import perf_counter

from benchmarks.contenders import Contender
from benchmarks.contenders.interface import Visit
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.windows import worst_window

LIMITED, FAST = "limited", ("first", "second")
RATE = 10
WORKERS = 24
CALL = 0.03

ALONE = Metric("alone", "s alone")
BESIDE = Metric("beside", "s beside the limited host")
LONGER = Metric("longer", "% longer", decimals=1)
WORST = Metric("worst", "calls of the limited host in the worst second", decimals=0)


async def measure(contender: Contender, size: int) -> Figures:
    """Visit two hosts alone, that often each, and then beside a third one that is limited."""
    alone, _ = await _visit(contender, size, FAST)
    beside, times = await _visit(contender, size, (LIMITED, *FAST))
    return {
        ALONE.name: alone,
        BESIDE.name: beside,
        LONGER.name: (beside / alone - 1) * 100,
        WORST.name: worst_window(times, 1.0),
    }


async def _visit(
    contender: Contender, size: int, hosts: Sequence[str]
) -> tuple[float, Sequence[float]]:
    """Return after how many seconds the fast hosts are done, and when the limited one is called."""
    limited_at = list[float]()

    async def call(visit: Visit) -> Visit:
        if visit[0] == LIMITED:
            limited_at.append(perf_counter())
        await asyncio.sleep(CALL)
        return visit

    visits = [(host, number) for number, host in product(range(size), hosts)]
    left = size * len(FAST)
    begin = perf_counter()
    results = contender.program().visit_all(visits, call, WORKERS, LIMITED, RATE)
    async with aclosing(results):
        async for host, _ in results:
            left -= host in FAST
            if not left:
                break
        taken = perf_counter() - begin
    return taken, limited_at


MEASUREMENT = Measurement(
    name="hosts",
    title="Three hosts, one of them limited",
    about=f"As many calls of each of three hosts, by turns, in a stage of {WORKERS} workers. A "
    f"call takes {CALL * 1000:.0f} ms. One host is limited to {RATE} calls a second. How long the "
    "other two take until their last call has ended, without the calls of the limited host and "
    "beside them.",
    size_heading="calls of each host",
    entries=(Entry("antflow-limits", 800),),
    metrics=(ALONE, BESIDE, LONGER, WORST),
    measure=measure,
    at_most_rounds=2,
    targets=(AtMost("within 10% of the time alone", LONGER, "antflow-limits", 10),),
)
