"""antflow's executor: `map` for all results, `map_iter` for endless input."""

from collections.abc import Callable, Iterable, Sequence

from antflow import AsyncExecutor
from benchmarks.contenders.interface import Task


async def calls(items: Sequence[int], function: Callable[[int], object], workers: int) -> int:
    """Return the number of results of `map`."""
    async with AsyncExecutor(workers) as executor:
        return len(await executor.map(function, items))


async def consume(items: Iterable[int], tasks: Sequence[Task], workers: int) -> int:
    """Iterate over `map_iter` of the only task and count."""
    count = 0
    (task,) = tasks
    async with AsyncExecutor(workers) as executor:
        async for _ in executor.map_iter(task, items):
            count += 1
    return count
