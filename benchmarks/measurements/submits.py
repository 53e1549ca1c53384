"""What submitting items costs a service, many of which are cancelled or expire."""

import asyncio

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.memory import GROWTH, MEGABYTES, peak_kilobytes
from benchmarks.measurements.work import WORKERS, check

EARLY = Metric("early", "MB peak after a tenth of the items")
MICROSECONDS = Metric("us", "us a call of submit")
DROPPED = Metric("dropped", "items dropped", decimals=0)


async def yielding(item: int) -> int:
    """Let other work have its turn, or no item would ever wait."""
    await asyncio.sleep(0)
    return item


async def measure(contender: Contender, size: int) -> Figures:
    """Submit the items, of which a tenth is cancelled and a tenth may not wait."""
    early, seconds, ended, dropped = 0, 0.0, 0, 0
    async for batch in contender.program().submitted(size, yielding, WORKERS):
        seconds += batch.seconds
        ended += batch.ended
        dropped += batch.dropped
        if not early and ended >= size // 10:
            early = peak_kilobytes()
    check(ended, size)
    peak = peak_kilobytes()
    return {
        MICROSECONDS.name: seconds / size * 1e6,
        DROPPED.name: dropped,
        EARLY.name: early / 1024,
        MEGABYTES.name: peak / 1024,
        GROWTH.name: (peak - early) / 1024,
    }


MEASUREMENT = Measurement(
    name="submits",
    title="A million submitted items",
    about="Items are submitted, 500 at a time, to a stage of ten workers, whose task yields once, "
    "and their handles are awaited. Of ten items one is cancelled, and one has `expires_in=0`, so "
    "that it is dropped if it has to wait. The time is that of the calls of `submit` alone, which "
    "return handles. The largest resident size of the process, when a tenth of the items have "
    "ended and at the end.",
    size_heading="items",
    entries=(Entry("antflow-service", 1_000_000),),
    metrics=(MICROSECONDS, DROPPED, EARLY, MEGABYTES, GROWTH),
    measure=measure,
    at_most_rounds=2,
    targets=(
        AtMost("submit in under 5 us", MICROSECONDS, "antflow-service", 5),
        AtMost("memory is flat", GROWTH, "antflow-service", 1),
    ),
)
