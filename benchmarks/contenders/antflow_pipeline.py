"""antflow: one stage per task. The same program serves this checkout and antflow 0.10.0."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from antflow import Pipeline, Stage
from benchmarks.contenders.interface import Task


def stages(tasks: Sequence[Task], workers: int, attempts: int = 3) -> list[Stage]:
    """Return a stage for each task."""
    return [
        Stage(
            name=f"S{number}",
            workers=workers,
            tasks=[task],
            task_attempts=attempts,
            task_wait_seconds=0,
        )
        for number, task in enumerate(tasks, start=1)
    ]


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    return await Pipeline(stages(tasks, workers)).run(items)


async def consume(items: Iterable[int], tasks: Sequence[Task], workers: int) -> int:
    """Iterate over `stream` and count."""
    count = 0
    async for _ in Pipeline(stages(tasks, workers)).stream(items):
        count += 1
    return count


async def retried(
    items: Sequence[int], tasks: Sequence[Task], workers: int, attempts: int
) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    return await Pipeline(stages(tasks, workers, attempts)).run(items)


async def _pause(item: int) -> int:
    await asyncio.sleep(0.05)
    return item


@asynccontextmanager
async def idle(workers: int) -> AsyncIterator[None]:
    """A started pipeline, after one item for each worker."""
    pipeline = Pipeline(stages([_pause], workers), collect_results=False)
    await pipeline.start()
    try:
        await pipeline.feed(range(workers))
        while pipeline.get_stats().items_processed < workers:
            await asyncio.sleep(0.05)
        yield
    finally:
        await pipeline.shutdown()


@asynccontextmanager
async def busy(count: int, workers: int) -> AsyncIterator[Callable[[], object]]:
    """A started pipeline, each of whose workers holds an item, after ten items for each of them."""
    may_go_on = asyncio.Event()

    async def hold(is_held: int) -> int:
        if is_held:
            await may_go_on.wait()
        return is_held

    pipeline = Pipeline(stages([hold] * count, workers), collect_results=False)
    await pipeline.start()
    try:
        passing = 10 * workers
        await pipeline.feed([False] * passing)
        while pipeline.get_stats().items_processed < passing:
            await asyncio.sleep(0.05)
        for stage in pipeline.stages:
            await pipeline.feed([True] * workers, target_stage=stage.name)
        while any(state.status != "busy" for state in pipeline.get_worker_states().values()):
            await asyncio.sleep(0.05)
        yield pipeline.get_dashboard_snapshot
    finally:
        may_go_on.set()
        await pipeline.shutdown(drain=True)
