"""What a call of a plain function by the executor costs, beside `asyncio.to_thread`."""

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.executor import MICROSECONDS, PROCESSOR, measure_calls


def identity(item: int) -> int:
    """Return the item, in a thread."""
    return item


async def measure(contender: Contender, size: int) -> Figures:
    """Call a plain function that does nothing with each item."""
    return await measure_calls(contender, size, identity)


MEASUREMENT = Measurement(
    name="executor-threads",
    title="Calls of a plain function in threads",
    about="A plain function that does nothing is called in a thread with each item, ten calls at "
    "once: by `AsyncExecutor.map`; and by an asyncio.TaskGroup with a semaphore and "
    "`asyncio.to_thread`.",
    size_heading="calls",
    entries=(Entry("antflow-executor", 5_000), Entry("task-group", 5_000)),
    metrics=(MICROSECONDS, PROCESSOR),
    measure=measure,
    at_most_rounds=5,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio(
            "as fast as to_thread", MICROSECONDS.name, "antflow-executor", "task-group", 1.0
        ),
    ),
)
