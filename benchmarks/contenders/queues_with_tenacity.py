"""The pipeline by hand, with tenacity's decorator around its tasks."""

from collections.abc import Sequence

from tenacity import retry, stop_after_attempt

from benchmarks.contenders.asyncio_queues import collect
from benchmarks.contenders.interface import Task


async def retried(
    items: Sequence[int], tasks: Sequence[Task], workers: int, attempts: int
) -> list[int]:
    """Return the results in the order of completion; a single attempt needs no decorator."""
    if attempts > 1:
        decorate = retry(stop=stop_after_attempt(attempts), reraise=True)  # without a wait
        tasks = [decorate(task) for task in tasks]
    return await collect(items, tasks, workers)
