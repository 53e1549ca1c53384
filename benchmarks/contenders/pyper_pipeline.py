"""python-pyper: tasks with workers, joined by `|`, after one that branches into the items."""
# mypy: disable-error-code="import-not-found"

from collections.abc import AsyncIterator, Sequence

from pyper import task as pyper_task

from benchmarks.contenders.interface import Task


async def _each(items: Sequence[int]) -> AsyncIterator[int]:
    for item in items:
        yield item


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> list[int]:
    """Return the results in the order of completion."""
    pipeline = pyper_task(_each, branch=True)
    for task in tasks:
        pipeline = pipeline | pyper_task(task, workers=workers)
    return [result async for result in pipeline(items)]
