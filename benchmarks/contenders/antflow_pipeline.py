"""antflow: one stage per task. The same program serves this checkout and antflow 0.10.0."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from antflow import Pipeline, Stage
from benchmarks.contenders.interface import Task


def _stages(tasks: Sequence[Task], workers: int) -> list[Stage]:
    return [
        Stage(name=f"S{number}", workers=workers, tasks=[task], task_wait_seconds=0)
        for number, task in enumerate(tasks, start=1)
    ]


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    return await Pipeline(_stages(tasks, workers)).run(items)


async def consume(items: Iterable[int], tasks: Sequence[Task], workers: int) -> int:
    """Iterate over `stream` and count."""
    count = 0
    async for _ in Pipeline(_stages(tasks, workers)).stream(items):
        count += 1
    return count


async def _pause(item: int) -> int:
    await asyncio.sleep(0.05)
    return item


@asynccontextmanager
async def idle(workers: int) -> AsyncIterator[None]:
    """A started pipeline, after one item for each worker."""
    pipeline = Pipeline(_stages([_pause], workers), collect_results=False)
    await pipeline.start()
    try:
        await pipeline.feed(range(workers))
        while pipeline.get_stats().items_processed < workers:
            await asyncio.sleep(0.05)
        yield
    finally:
        await pipeline.shutdown()
