"""What the possibility of a retry costs each item, and what a retry costs."""

from collections.abc import Iterable

from benchmarks.contenders import Contender
from benchmarks.contenders.interface import Task
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost, SpeedRatio
from benchmarks.measurements.work import WARM_UP, WORKERS, check, timed

ATTEMPTS = 3
ONCE = Metric("once", "us an item, one attempt")
SUCCEEDS = Metric("succeeds", "us added if it succeeds")
FAILS = Metric("fails", "us more if it fails once")


def fails_at_first(succeeding: Iterable[int]) -> Task:
    """Return a task whose first attempt at an item fails, except at those that are given."""
    tried = set(succeeding)

    async def task(item: int) -> int:
        if item not in tried:
            tried.add(item)
            raise ConnectionError("the first attempt fails")
        return item

    return task


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items through a stage three times, and compare the microseconds per item."""
    program, items = contender.program(), range(size)

    async def per_item(attempts: int, succeeding: Iterable[int]) -> float:
        task = fails_at_first(succeeding)
        results, seconds = await timed(program.retried(items, [task], WORKERS, attempts))
        check(len(results), size)
        return seconds / size * 1e6

    warm_up = range(WARM_UP)
    await program.retried(warm_up, [fails_at_first(())], WORKERS, ATTEMPTS)
    once = await per_item(1, items)
    succeeding = await per_item(ATTEMPTS, items)
    failing = await per_item(ATTEMPTS, ())
    return {
        ONCE.name: once,
        SUCCEEDS.name: succeeding - once,
        FAILS.name: failing - succeeding,
    }


MEASUREMENT = Measurement(
    name="retry-overhead",
    title="Up to three attempts, no wait",
    about="A stage of ten workers, whose task does nothing. First with one attempt at each item. "
    "Then with up to three: by antflow, and by a decorator around the task of the asyncio.Queue "
    "pipeline. All items succeed; and all fail at the first attempt and succeed at the second, "
    "which includes what Python needs to raise and catch an error.",
    size_heading="items",
    entries=(Entry("antflow", 50_000), Entry("tenacity", 10_000), Entry("stamina", 10_000)),
    metrics=(ONCE, SUCCEEDS, FAILS),
    measure=measure,
    at_most_rounds=5,
    targets=(
        AtMost("at most 0.1 us for an item that succeeds", SUCCEEDS, "antflow", 0.1),
        SpeedRatio("a retry at 5 x tenacity's speed", FAILS.name, "antflow", "tenacity", 5),
        SpeedRatio("a retry at 5 x stamina's speed", FAILS.name, "antflow", "stamina", 5),
    ),
)
