"""antflow inside a service: each request submits an item and awaits its handle."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from antflow import Pipeline, Stage
from benchmarks.contenders.interface import Answer, Step, SubmittedBatch, Task

EXPIRES_IN = 5.0
BATCH = 500


@asynccontextmanager
async def answering(steps: Sequence[Step]) -> AsyncIterator[Answer]:
    """Give what submits a number to a pipeline of the steps and returns its result."""
    stages = [
        Stage(f"S{number}", workers=step.workers, tasks=[step.task])
        for number, step in enumerate(steps, start=1)
    ]
    async with Pipeline(stages, collect_results=False).running() as pipeline:

        async def answer(number: int) -> int:
            handle = pipeline.submit_nowait(number, expires_in=EXPIRES_IN)
            result: int = (await handle).unwrap()
            return result

        yield answer


async def submitted(count: int, task: Task, workers: int) -> AsyncGenerator[SubmittedBatch, None]:
    """Submit items, cancel some of them, and await their handles."""
    stage = Stage("Work", workers, [task], queue_capacity=BATCH)
    async with Pipeline([stage], collect_results=False).running() as pipeline:
        for first in range(0, count, BATCH):
            batch = range(first, min(first + BATCH, count))
            begin = perf_counter()
            handles = [
                await pipeline.submit(number, expires_in=None if number % 10 else 0)
                for number in batch
            ]
            seconds = perf_counter() - begin
            for handle in handles[5::10]:
                handle.cancel()
            ends = [(await handle).outcome for handle in handles]
            yield SubmittedBatch(len(ends), ends.count("dropped"), seconds)
        stats = pipeline.get_stats()
        if (stats.items_processed + stats.items_dropped, stats.items_failed) != (count, 0):
            raise RuntimeError(f"{count} items were submitted, but {stats}")
