"""What a limit that never holds up anything costs each item."""

import gc
from time import process_time

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import GrowthAtMost
from benchmarks.measurements.work import WARM_UP, WORKERS, check, no_op

PROCESSOR_TIME = Metric("us", "us of processor time per item")
LIMITED = {
    "a rate": "antflow-rate",
    "a concurrency": "antflow-concurrency",
    "a rate for each of 100 keys": "antflow-rate-of-100-keys",
}


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items through one stage and collect the results."""
    program = contender.program()
    await program.collect(range(WARM_UP), [no_op], WORKERS)
    gc.collect()
    begin = process_time()
    results = await program.collect(range(size), [no_op], WORKERS)
    used = process_time() - begin
    check(len(results), size)
    return {PROCESSOR_TIME.name: used / size * 1e6}


MEASUREMENT = Measurement(
    name="limits",
    title="No-op, one stage with a limit that never binds",
    about="One stage of ten workers, whose task returns what it is given: without a limit, and "
    "with one that never holds up an item, so that only its bookkeeping is seen.",
    size_heading="items",
    entries=(Entry("antflow", 30_000), *(Entry(name, 30_000) for name in LIMITED.values())),
    metrics=(PROCESSOR_TIME,),
    measure=measure,
    at_most_rounds=3,
    added=PROCESSOR_TIME,
    targets=tuple(
        GrowthAtMost(f"{label}: under 3 us more", PROCESSOR_TIME, name, "antflow", 3)
        for label, name in LIMITED.items()
    ),
)
