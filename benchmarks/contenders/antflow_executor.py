"""antflow's executor, by `map`."""

from collections.abc import Callable, Sequence

from antflow import AsyncExecutor


async def calls(items: Sequence[int], function: Callable[[int], object], workers: int) -> int:
    """Return the number of results of `map`."""
    async with AsyncExecutor(workers) as executor:
        return len(await executor.map(function, items))
