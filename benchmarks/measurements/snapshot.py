"""What it costs to look at a large pipeline."""

import gc
from collections.abc import Callable
from statistics import median
from time import perf_counter

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost

STAGES = 10
WORKERS = 100
MILLISECONDS = Metric("ms", "ms")
LEAST = Metric("least", "ms least")


async def measure(contender: Contender, size: int) -> Figures:
    """Take that many snapshots, one after the other, of a pipeline whose workers are all busy."""
    async with contender.program().busy(STAGES, WORKERS) as take_snapshot:
        gc.collect()
        taken = [_milliseconds(take_snapshot) for _ in range(size)]
    return {MILLISECONDS.name: median(taken), LEAST.name: min(taken)}


def _milliseconds(take_snapshot: Callable[[], object]) -> float:
    begin = perf_counter()
    take_snapshot()
    return (perf_counter() - begin) * 1e3


MEASUREMENT = Measurement(
    name="snapshot",
    title="A snapshot of 10 x 100 busy workers",
    about="`get_dashboard_snapshot()` of a running pipeline of ten stages of a hundred workers, "
    "each of which holds an item: the median of many, and the least.",
    size_heading="snapshots",
    entries=(Entry("antflow", 500),),
    metrics=(MILLISECONDS, LEAST),
    measure=measure,
    at_most_rounds=5,
    targets=(AtMost("under 2 ms", MILLISECONDS, "antflow", 2.0),),
)
