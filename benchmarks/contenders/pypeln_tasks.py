"""pypeln: `task.map` stages, awaited. Its queues are unbounded by default, and fastest so."""
# mypy: disable-error-code="import-not-found"

from collections.abc import Sequence

import pypeln

from benchmarks.contenders.interface import Task


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results in the order of completion."""
    first, *others = tasks
    stage = pypeln.task.map(first, items, workers=workers)
    for task in others:
        stage = pypeln.task.map(task, stage, workers=workers)
    results: Sequence[object] = await stage
    return results
