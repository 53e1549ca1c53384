"""One item alone, from nothing to its result."""

from statistics import median
from time import perf_counter

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.work import STAGES, WARM_UP, WORKERS, check, no_op

MILLISECONDS = Metric("ms", "ms", decimals=3)


async def measure(contender: Contender, size: int) -> Figures:
    """Define a pipeline, run one item through it, and again, that many times."""
    program, tasks = contender.program(), [no_op] * STAGES
    await program.collect(range(WARM_UP), tasks, WORKERS)
    taken = []
    for _ in range(size):
        begin = perf_counter()
        results = await program.collect(range(1), tasks, WORKERS)
        taken.append((perf_counter() - begin) * 1e3)
        check(len(results), 1)
    return {MILLISECONDS.name: median(taken)}


MEASUREMENT = Measurement(
    name="latency",
    title="One trivial item, start to result",
    about="A pipeline of three stages of ten workers is made, started, given one item and ended; "
    "the median of many such runs, one after the other.",
    size_heading="runs",
    entries=(Entry("queue", 100), Entry("antflow", 100), Entry("antflow-0.10.0", 10)),
    metrics=(MILLISECONDS,),
    measure=measure,
    at_most_rounds=5,
    compared=MILLISECONDS.name,
    targets=(AtMost("under 1 ms", MILLISECONDS, "antflow", 1.0),),
)
