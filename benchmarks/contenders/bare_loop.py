"""No pipeline at all: every call of every item awaited in one coroutine, one after the other."""

from collections.abc import Sequence

from benchmarks.contenders.interface import Task


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> list[int]:
    """Await the three tasks of each item in turn; `workers` has no meaning here."""
    first, second, third = tasks
    return [await third(await second(await first(item))) for item in items]
