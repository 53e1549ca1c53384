"""The pipeline by hand, with stamina's decorator around its tasks.

It would log each retry. That is switched off, since no other contender does so.
"""
# mypy: disable-error-code="import-not-found"

from collections.abc import Sequence

import stamina
from stamina.instrumentation import set_on_retry_hooks

from benchmarks.contenders.asyncio_queues import collect
from benchmarks.contenders.interface import Task


async def retried(
    items: Sequence[int], tasks: Sequence[Task], workers: int, attempts: int
) -> list[int]:
    """Return the results in the order of completion; a single attempt needs no decorator."""
    set_on_retry_hooks([])
    if attempts > 1:
        decorate = stamina.retry(
            on=Exception, attempts=attempts, wait_initial=0, wait_max=0, wait_jitter=0
        )
        tasks = [decorate(task) for task in tasks]
    return await collect(items, tasks, workers)
