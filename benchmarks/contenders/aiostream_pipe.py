"""aiostream: `pipe.map` operators with a limit on the tasks of each, gathered by `pipe.list`."""
# mypy: disable-error-code="import-not-found"

from collections.abc import Sequence

from aiostream import pipe, stream

from benchmarks.contenders.interface import Task


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results in the order of completion."""
    values = stream.iterate(items)
    for task in tasks:
        values = values | pipe.map(task, ordered=False, task_limit=workers)
    results: Sequence[object] = await (values | pipe.list())
    return results
