"""Tasks that fail now and then and succeed at the second attempt."""

from benchmarks.contenders import Contender
from benchmarks.contenders.interface import Task
from benchmarks.harness.model import Entry, Figures, Measurement
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.no_op import MICROSECONDS
from benchmarks.measurements.work import WARM_UP, WORKERS, check, no_op, per_item_and_stage, timed


def one_in_five_fails_once() -> Task:
    """Return a task that fails for every fifth item the first time that it sees it."""
    failed: set[int] = set()

    async def task(item: int) -> int:
        if item % 5 == 0 and item not in failed:
            failed.add(item)
            raise ConnectionError("the first attempt fails")
        return item

    return task


def _tasks() -> list[Task]:
    return [no_op, one_in_five_fails_once(), no_op]


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items through three stages, the second of which fails, and collect the results."""
    program = contender.program()
    await program.collect(range(WARM_UP), _tasks(), WORKERS)
    results, seconds = await timed(program.collect(range(size), _tasks(), WORKERS))
    check(len(results), size)
    return {MICROSECONDS.name: per_item_and_stage(seconds, size)}


MEASUREMENT = Measurement(
    name="retries",
    title="One item in five fails once, no wait",
    about="Three stages of ten workers. In the second, the first attempt at every fifth item "
    "raises; the second attempt follows at once and succeeds.",
    size_heading="items",
    entries=(Entry("antflow", 100_000), Entry("antflow-0.10.0", 10_000)),
    metrics=(MICROSECONDS,),
    measure=measure,
    at_most_rounds=5,
    compared=MICROSECONDS.name,
    targets=(SpeedRatio("40 x antflow 0.10.0's speed", "us", "antflow", "antflow-0.10.0", 40),),
)
