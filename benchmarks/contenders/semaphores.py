"""The steps of a request as one writes them by hand: a semaphore for each, and `to_thread`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction

from benchmarks.contenders.interface import Answer, Step


@asynccontextmanager
async def answering(steps: Sequence[Step]) -> AsyncIterator[Answer]:
    """Give what takes a number through the steps."""
    bounded = [
        (asyncio.Semaphore(step.workers), step.task, iscoroutinefunction(step.task))
        for step in steps
    ]

    async def answer(number: int) -> int:
        for semaphore, task, is_coroutine in bounded:
            async with semaphore:
                number = await (task(number) if is_coroutine else asyncio.to_thread(task, number))
        return number

    yield answer
