"""aiolimiter, used by hand: a task for each call, all of which wait at one AsyncLimiter.

`BENCH_BURST` says whether the whole rate may start at once, as its documentation begins, or calls
are spaced evenly, as it recommends where bursts do harm: one call in the time that a call has.
"""
# mypy: disable-error-code="import-not-found"

import asyncio
import os
from collections.abc import Sequence

from aiolimiter import AsyncLimiter

from benchmarks.contenders.interface import Task


async def at_rate(items: Sequence[int], task: Task, rate: int, workers: int) -> int:
    """Call the task in as many asyncio tasks as there are items."""
    limiter = AsyncLimiter(rate, 1) if os.environ["BENCH_BURST"] else AsyncLimiter(1, 1 / rate)

    async def call(item: int) -> int:
        async with limiter:
            return await task(item)

    return len(await asyncio.gather(*map(call, items)))
