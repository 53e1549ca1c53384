"""Results one by one from an input that is read as it goes."""

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.no_op import MICROSECONDS
from benchmarks.measurements.work import (
    STAGES,
    WARM_UP,
    WORKERS,
    check,
    no_op,
    per_item_and_stage,
    timed,
)


async def measure(contender: Contender, size: int) -> Figures:
    """Iterate over all results of a generator's items and keep none."""
    program, tasks = contender.program(), [no_op] * STAGES
    await program.consume((item for item in range(WARM_UP)), tasks, WORKERS)
    items = (item for item in range(size))
    count, seconds = await timed(program.consume(items, tasks, WORKERS))
    check(count, size)
    return {MICROSECONDS.name: per_item_and_stage(seconds, size)}


MEASUREMENT = Measurement(
    name="stream",
    title="`stream` over a generator",
    about="Three stages of ten workers, no-op tasks, a generator as input. A consumer takes the "
    "results as they come and keeps none; that of the asyncio.Queue pipeline reads a last queue.",
    size_heading="items",
    entries=(Entry("queue", 100_000), Entry("antflow", 100_000)),
    metrics=(MICROSECONDS,),
    measure=measure,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio("0.8 of the asyncio.Queue pipeline's speed", "us", "antflow", "queue", 0.8),
    ),
)
