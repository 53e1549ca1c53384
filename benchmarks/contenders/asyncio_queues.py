"""The pipeline that one writes by hand: bounded asyncio.Queues and a task for each worker.

It counts nothing, retries nothing and reports nothing. Each queue has room for ten items per
worker. The end of the input travels through the queues as one marker per worker, which costs less
than `task_done` and `join`, and less than cancelling the workers at the end.
"""

import asyncio
from asyncio import Queue, TaskGroup
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final

from benchmarks.contenders.interface import Task


class _Marker(Enum):
    END = "end"


_END: Final = _Marker.END
_Channel = Queue[int | _Marker]


async def _work(task: Task, inbox: _Channel, outbox: _Channel) -> None:
    while True:
        item = await inbox.get()
        if item is _END:
            return
        await outbox.put(await task(item))


async def _work_last(task: Task, inbox: _Channel, results: list[int]) -> None:
    while True:
        item = await inbox.get()
        if item is _END:
            return
        results.append(await task(item))


async def _stage(task: Task, workers: int, inbox: _Channel, outbox: _Channel, readers: int) -> None:
    async with TaskGroup() as group:
        for _ in range(workers):
            group.create_task(_work(task, inbox, outbox))
    await _end(outbox, readers)


async def _last_stage(task: Task, workers: int, inbox: _Channel, results: list[int]) -> None:
    async with TaskGroup() as group:
        for _ in range(workers):
            group.create_task(_work_last(task, inbox, results))


async def _feed(items: Iterable[int], inbox: _Channel, readers: int) -> None:
    for item in items:
        await inbox.put(item)
    await _end(inbox, readers)


async def _end(channel: _Channel, readers: int) -> None:
    for _ in range(readers):
        await channel.put(_END)


def _channels(count: int, workers: int) -> list[_Channel]:
    return [Queue(10 * workers) for _ in range(count)]


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> list[int]:
    """Return the results in the order of completion."""
    results: list[int] = []
    channels = _channels(len(tasks), workers)
    async with TaskGroup() as stages:
        for task, inbox, outbox in zip(tasks, channels, channels[1:], strict=False):
            stages.create_task(_stage(task, workers, inbox, outbox, workers))
        stages.create_task(_last_stage(tasks[-1], workers, channels[-1], results))
        await _feed(items, channels[0], workers)
    return results


async def consume(items: Iterable[int], tasks: Sequence[Task], workers: int) -> int:
    """Read the last queue until the end of the input and count what comes out."""
    count = 0
    channels = _channels(len(tasks) + 1, workers)
    readers = [workers] * (len(tasks) - 1) + [1]
    async with TaskGroup() as stages:
        for task, inbox, outbox, reading in zip(
            tasks, channels, channels[1:], readers, strict=False
        ):
            stages.create_task(_stage(task, workers, inbox, outbox, reading))
        stages.create_task(_feed(items, channels[0], workers))
        results = channels[-1]
        while await results.get() is not _END:
            count += 1
    return count


async def _pause(item: int) -> int:
    await asyncio.sleep(0.05)
    return item


@asynccontextmanager
async def idle(workers: int) -> AsyncIterator[None]:
    """Workers that wait in `get`, after one item each."""
    inbox, outbox = Queue[int | _Marker](), Queue[int | _Marker]()
    async with TaskGroup() as group:
        group.create_task(_stage(_pause, workers, inbox, outbox, 1))
        for item in range(workers):
            await inbox.put(item)
        for _ in range(workers):
            await outbox.get()
        yield
        await _end(inbox, workers)
