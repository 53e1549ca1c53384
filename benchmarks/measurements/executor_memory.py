"""How much memory the calls of a long input take."""

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.memory import GROWTH, MEGABYTES, read_memory
from benchmarks.measurements.work import no_op

EARLY = Metric("early", "MB peak after a tenth of the calls")
MICROSECONDS = Metric("us", "us a call")


async def measure(contender: Contender, size: int) -> Figures:
    """Take the results of `map_iter` over a long input, and read the largest resident sizes."""
    return await read_memory(contender, size, no_op)


MEASUREMENT = Measurement(
    name="executor-memory",
    title="Memory of ten million calls",
    about="`AsyncExecutor.map_iter` calls a coroutine function that does nothing with each item of "
    "a generator, ten calls at once. The largest resident size of the process, when a tenth of the "
    "items have been read and at the end.",
    size_heading="calls",
    entries=(Entry("antflow-executor", 10_000_000),),
    metrics=(EARLY, MEGABYTES, GROWTH, MICROSECONDS),
    measure=measure,
    at_most_rounds=1,
    targets=(AtMost("memory is flat", GROWTH, "antflow-executor", 1),),
)
