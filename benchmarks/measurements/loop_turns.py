"""What else lives on the loop while tasks that never suspend keep it busy."""

import asyncio
from time import perf_counter
from typing import NoReturn

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.work import STAGES, WARM_UP, WORKERS, check, no_op, timed

LONGEST = Metric("longest", "ms longest gap")
PERCENTILE = Metric("p99", "ms gap, 99 in 100")
TURNS = Metric("turns", "turns", decimals=0)


async def note_gaps(gaps: list[float]) -> NoReturn:
    """Take a turn of the loop whenever there is one, and note the seconds since the last."""
    before = perf_counter()
    while True:
        await asyncio.sleep(0)
        now = perf_counter()
        gaps.append(now - before)
        before = now


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items beside a task that counts its turns."""
    program, tasks = contender.program(), [no_op] * STAGES
    await program.collect(range(WARM_UP), tasks, WORKERS)
    gaps: list[float] = []
    watching = asyncio.create_task(note_gaps(gaps))
    await asyncio.sleep(0)
    results, _ = await timed(program.collect(range(size), tasks, WORKERS))
    await asyncio.sleep(0)
    watching.cancel()
    check(len(results), size)
    return {
        LONGEST.name: max(gaps) * 1e3,
        PERCENTILE.name: percentile(gaps, 99) * 1e3,
        TURNS.name: len(gaps),
    }


def percentile(gaps: list[float], percent: int) -> float:
    """The smallest gap that so many in a hundred do not exceed."""
    return sorted(gaps)[-(-len(gaps) * percent // 100) - 1]


MEASUREMENT = Measurement(
    name="loop-turns",
    title="100,000 no-op items beside a task that counts its turns",
    about="Three stages of ten workers, no-op tasks, beside a task that does nothing but "
    "`await asyncio.sleep(0)` and measure how long it waited for its turn.",
    size_heading="items",
    entries=(Entry("queue", 100_000), Entry("antflow", 100_000)),
    metrics=(LONGEST, PERCENTILE, TURNS),
    measure=measure,
    targets=(
        AtMost("longest gap under 30 ms", LONGEST, "antflow", 30),
        AtMost("99 in 100 under 10 ms", PERCENTILE, "antflow", 10),
    ),
)
