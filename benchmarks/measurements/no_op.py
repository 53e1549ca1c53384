"""Tasks that do nothing: the whole cost is the pipeline's own."""

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.work import (
    STAGES,
    WARM_UP,
    WORKERS,
    check,
    no_op,
    per_item_and_stage,
    timed,
)

MICROSECONDS = Metric("us", "us per item and stage")


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items through three stages and collect the results."""
    program, tasks = contender.program(), [no_op] * STAGES
    await program.collect(range(WARM_UP), tasks, WORKERS)
    results, seconds = await timed(program.collect(range(size), tasks, WORKERS))
    check(len(results), size)
    return {MICROSECONDS.name: per_item_and_stage(seconds, size)}


MEASUREMENT = Measurement(
    name="no-op",
    title="No-op, 3 x 10 workers",
    about="Three stages of ten workers, whose tasks are coroutine functions that return what they "
    "are given. All results are collected. The slower contenders get fewer items and rounds.",
    size_heading="items",
    entries=(
        Entry("bare", 100_000),
        Entry("queue", 100_000),
        Entry("antflow", 100_000),
        Entry("streamable", 30_000, every=3),
        Entry("pyper", 30_000, every=3),
        Entry("aiometer", 20_000, every=3),
        Entry("pypeln", 10_000, every=3),
        Entry("aiostream", 10_000, every=3),
        Entry("antflow-0.10.0", 10_000, every=3),
    ),
    metrics=(MICROSECONDS,),
    measure=measure,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio("1.1 x the asyncio.Queue pipeline's speed", "us", "antflow", "queue", 1.1),
        SpeedRatio("5 x streamable's", "us", "antflow", "streamable", 5),
        SpeedRatio("5 x python-pyper's", "us", "antflow", "pyper", 5),
        SpeedRatio("80 x antflow 0.10.0's", "us", "antflow", "antflow-0.10.0", 80),
    ),
)
