"""Tasks that wait: many workers, each asleep most of the time."""

import asyncio

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.work import STAGES, check, timed

WIDE = 1_000
SECONDS = Metric("s", "s")


async def wait(item: int) -> int:
    """Sleep for 10 ms."""
    await asyncio.sleep(0.010)
    return item


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items through three wide stages and collect the results."""
    program, tasks = contender.program(), [wait] * STAGES
    await program.collect(range(WIDE), tasks, WIDE)
    results, seconds = await timed(program.collect(range(size), tasks, WIDE))
    check(len(results), size)
    return {SECONDS.name: seconds}


MEASUREMENT = Measurement(
    name="waits",
    title="10 ms waits, 3 x 1,000 workers",
    about="Three stages of a thousand workers, whose tasks sleep for 10 ms.",
    size_heading="items",
    entries=(Entry("queue", 30_000), Entry("antflow", 30_000)),
    metrics=(SECONDS,),
    measure=measure,
    compared=SECONDS.name,
    targets=(SpeedRatio("within 5% of the asyncio.Queue pipeline", "s", "antflow", "queue", 0.95),),
)
