"""How much memory a long stream takes beyond a short one."""

import resource
import sys
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import GrowthAtMost
from benchmarks.measurements.work import STAGES, WARM_UP, WORKERS, check, no_op

MEGABYTES = Metric("mb", "MB peak")
GROWTH = Metric("growth", "MB more at the end")


async def measure(contender: Contender, size: int) -> Figures:
    """Stream all items of a generator and read the largest resident size of the process."""
    program, tasks = contender.program(), [no_op] * STAGES
    await program.consume((item for item in range(WARM_UP)), tasks, WORKERS)
    count = await program.consume((item for item in range(size)), tasks, WORKERS)
    check(count, size)
    return {MEGABYTES.name: peak_kilobytes() / 1024}


def peak_kilobytes() -> int:
    """The largest resident size so far.

    Linux counts the size of the parent at the start of a child into the child's `ru_maxrss`;
    the high-water mark in /proc is the child's alone.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


MEASUREMENT = Measurement(
    name="memory",
    title="Peak memory, 500,000 streamed items against 50,000",
    about="Three stages of ten workers, no-op tasks, a generator as input, a consumer that keeps "
    "nothing; the largest resident size of a process that did only that.",
    size_heading="items",
    entries=(
        Entry("queue", 50_000, "queue, short"),
        Entry("queue", 500_000, "queue, long"),
        Entry("antflow", 50_000, "antflow, short"),
        Entry("antflow", 500_000, "antflow, long"),
    ),
    metrics=(MEGABYTES,),
    measure=measure,
    at_most_rounds=5,
    targets=(GrowthAtMost("within 2 MB", MEGABYTES, "antflow, long", "antflow, short", 2.0),),
)
