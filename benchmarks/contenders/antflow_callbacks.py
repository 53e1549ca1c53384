"""antflow with a StatusTracker that calls plain functions: at each status, start and completion."""

from collections.abc import Sequence

from antflow import Pipeline, StatusEvent, StatusTracker, TaskEvent
from benchmarks.contenders.antflow_pipeline import stages
from benchmarks.contenders.interface import Task


def _see_status(event: StatusEvent) -> None:
    pass


def _see_task(event: TaskEvent) -> None:
    pass


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    tracker = StatusTracker(
        on_status_change=_see_status, on_task_start=_see_task, on_task_complete=_see_task
    )
    return await Pipeline(stages(tasks, workers), status_tracker=tracker).run(items)
