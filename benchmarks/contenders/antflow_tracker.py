"""antflow with a StatusTracker that calls nobody: it remembers all that becomes of each item."""

from collections.abc import Sequence

from antflow import Pipeline, StatusTracker
from benchmarks.contenders.antflow_pipeline import stages
from benchmarks.contenders.interface import Task


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    return await Pipeline(stages(tasks, workers), status_tracker=StatusTracker()).run(items)
