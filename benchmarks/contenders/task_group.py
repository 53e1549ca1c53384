"""Calls as one writes them by hand: a TaskGroup, a semaphore, and `to_thread`."""

import asyncio
from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any


async def calls(items: Sequence[int], function: Callable[[int], Any], workers: int) -> int:
    """Make a task for each call, and return the number of results."""
    semaphore, is_coroutine = asyncio.Semaphore(workers), iscoroutinefunction(function)

    async def call(item: int) -> object:
        async with semaphore:
            return await (function(item) if is_coroutine else asyncio.to_thread(function, item))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(item)) for item in items]
    return len([task.result() for task in tasks])
