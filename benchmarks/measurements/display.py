"""What it costs to be looked at: processor time, and how long the event loop is held up."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic, process_time

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.scrape import ADDED, Tick, note_ticks
from benchmarks.measurements.work import check

STAGES = 10
WORKERS = 20
WARM_UP = 50
STRETCH = 0.5
"""Seconds between two updates of a display."""

CPU = Metric("cpu", "% CPU")


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of a run: the part of its time that it used the processor, and the lag."""

    share: float
    lag: float


async def wait(item: int) -> int:
    """Sleep for a tenth of a second."""
    await asyncio.sleep(0.1)
    return item


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items without a display and with it, and compare."""
    program, tasks = contender.program(), [wait] * STAGES
    await program.displayed(range(WARM_UP), tasks, WORKERS)
    without = await _watched(program.collect(range(size), tasks, WORKERS), size)
    shown = await _watched(program.displayed(range(size), tasks, WORKERS), size)
    return {
        CPU.name: (shown.share - without.share) * 100,
        ADDED.name: (shown.lag - without.lag) * 1e3,
    }


async def _watched(run: Awaitable[Sequence[object]], size: int) -> Watched:
    ticks: list[Tick] = []
    watching = asyncio.create_task(note_ticks(ticks))
    cpu, begin = process_time(), monotonic()
    check(len(await run), size)
    share = (process_time() - cpu) / (monotonic() - begin)
    watching.cancel()
    return Watched(share, _lag(ticks, begin))


def _lag(ticks: Sequence[Tick], begin: float) -> float:
    """Return how late the loop is at worst in half a second, in the median of them."""
    worst: dict[int, float] = {}
    for due, late in ticks:
        stretch = int((due - begin) / STRETCH)
        worst[stretch] = max(worst.get(stretch, 0.0), late)
    return median(worst.values())


MEASUREMENT = Measurement(
    name="display",
    title="A display of 10 stages and 200 workers",
    about="A pipeline of ten stages of twenty workers, whose tasks sleep for a tenth of a second, "
    "is run without a display, and with one in a terminal of 120 x 40. What the display adds to "
    "the processor time, in percent of one processor; and what it adds to the event loop's lag: "
    "how late a task that sleeps for a millisecond again and again is at worst in half a second, "
    "in which there is one frame; the median of all half seconds.",
    size_heading="items",
    entries=tuple(
        Entry(f"antflow-{name}", 1_000) for name in ("progress", "compact", "detailed", "full")
    ),
    metrics=(CPU, ADDED),
    measure=measure,
    at_most_rounds=3,
    targets=tuple(
        target
        for name in ("progress", "compact", "detailed", "full")
        for target in (
            AtMost(f"{name}: under 8% CPU", CPU, f"antflow-{name}", 8),
            AtMost(f"{name}: adds under 5 ms to the loop's lag", ADDED, f"antflow-{name}", 5),
        )
    ),
)
