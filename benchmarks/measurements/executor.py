"""What a call by the executor costs, beside tasks by hand and aiometer."""

from collections.abc import Callable
from time import process_time

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.work import WARM_UP, WORKERS, check, no_op, timed

MICROSECONDS = Metric("us", "us a call")
PROCESSOR = Metric("processor", "us of processor time a call")


async def measure(contender: Contender, size: int) -> Figures:
    """Call a coroutine function that does nothing with each item."""
    return await measure_calls(contender, size, no_op)


async def measure_calls(
    contender: Contender, size: int, function: Callable[[int], object]
) -> Figures:
    """Call a function with each item."""
    program = contender.program()
    await program.calls(range(WARM_UP), function, WORKERS)
    begin = process_time()
    count, seconds = await timed(program.calls(range(size), function, WORKERS))
    used = process_time() - begin
    check(count, size)
    return {MICROSECONDS.name: seconds / size * 1e6, PROCESSOR.name: used / size * 1e6}


MEASUREMENT = Measurement(
    name="executor",
    title="Calls of a function",
    about="A coroutine function that does nothing is called with each item, ten calls at once: by "
    "`AsyncExecutor.map`; by an asyncio.TaskGroup with a task for each call and a semaphore; by "
    "aiometer.",
    size_heading="calls",
    entries=(
        Entry("antflow-executor", 20_000),
        Entry("task-group", 20_000),
        Entry("aiometer", 20_000),
    ),
    metrics=(MICROSECONDS, PROCESSOR),
    measure=measure,
    at_most_rounds=5,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio("as fast as aiometer", MICROSECONDS.name, "antflow-executor", "aiometer", 1.0),
    ),
)
