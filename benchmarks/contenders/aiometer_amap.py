"""aiometer: one job per item that calls every task, as many at once as all stages have workers.

It knows no stages. A pass over all items for each task would cost three times as much.
"""
# mypy: disable-error-code="import-not-found"

from collections.abc import Callable, Sequence
from typing import Any

import aiometer

from benchmarks.contenders.interface import Task


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> list[int]:
    """Return the results in the order of completion."""
    first, second, third = tasks

    async def job(item: int) -> int:
        return await third(await second(await first(item)))

    at_once = workers * len(tasks)
    async with aiometer.amap(job, items, max_at_once=at_once) as results:
        return [result async for result in results]


async def calls(items: Sequence[int], function: Callable[[int], Any], workers: int) -> int:
    """Return the number of results of `amap`."""
    async with aiometer.amap(function, items, max_at_once=workers) as results:
        return len([result async for result in results])
