"""Workers with nothing to do."""

import asyncio
import gc
from time import perf_counter, process_time

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost

SETTLING_SECONDS = 0.5
WATCHED_SECONDS = 3.0
CPU = Metric("cpu", "% CPU", decimals=3)


async def measure(contender: Contender, size: int) -> Figures:
    """Watch the processor time of a pipeline whose workers all have started and wait."""
    async with contender.program().idle(size):
        await asyncio.sleep(SETTLING_SECONDS)
        gc.collect()
        cpu, begin = process_time(), perf_counter()
        await asyncio.sleep(WATCHED_SECONDS)
        share = (process_time() - cpu) / (perf_counter() - begin)
    return {CPU.name: share * 100}


MEASUREMENT = Measurement(
    name="idle",
    title="2,000 idle workers",
    about=f"Processor time over {WATCHED_SECONDS:.0f} seconds of a started pipeline that has no "
    "items. Every worker has had an item before, so that all of them have started.",
    size_heading="workers",
    entries=(Entry("queue", 2_000), Entry("antflow", 2_000), Entry("antflow-0.10.0", 2_000)),
    metrics=(CPU,),
    measure=measure,
    at_most_rounds=3,
    targets=(AtMost("under 0.2% CPU", CPU, "antflow", 0.2),),
)
