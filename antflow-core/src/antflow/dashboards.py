"""`DashboardProtocol`, which a display of a run implements, and the data that it draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from .results import ErrorSummary, PipelineResult
from .stats import PipelineStats

WorkerStatus = Literal["idle", "busy"]
"""Whether a worker holds an item."""


# Not frozen: a frozen record costs five times as much to make, and a snapshot has one per worker.
@dataclass(slots=True)
class WorkerState:
    """The present state of one worker.

    Args:
        worker_name: the worker's name, `{stage}-W{number}`.
        stage: its stage's name.
        status: whether it holds an item; a worker that waits for room has already handed its item
            on, so it counts as idle, unless it waits for a pull stage.
        current_item_id: id of the item that it holds.
        current_task: the text that the task has set with `set_task_status`, or else the task's
            name.
        processing_since: Unix time at which the worker took the item.
        task_name: name of the running task.
        attempt: number of the running attempt, from 1.
    """

    worker_name: str
    stage: str
    status: WorkerStatus
    current_item_id: Any = None
    current_task: str | None = None
    processing_since: float | None = None
    task_name: str | None = None
    attempt: int | None = None


@dataclass(slots=True)
class WorkerMetrics:
    """The counts and times of one worker.

    Args:
        worker_name: the worker's name.
        stage: its stage's name.
        items_processed: items that it passed on.
        items_failed: items that failed while it worked on them.
        total_processing_time: seconds that it spent on items.
        last_active: Unix time at which it last finished an item; None before the first.
    """

    worker_name: str
    stage: str
    items_processed: int = 0
    items_failed: int = 0
    total_processing_time: float = 0.0
    last_active: float | None = None

    @property
    def avg_processing_time(self) -> float:
        """Mean seconds per item that it passed on; 0 before the first."""
        return self.total_processing_time / self.items_processed if self.items_processed else 0.0


@dataclass(frozen=True, slots=True)
class DashboardSnapshot:
    """The whole state of a run at one moment.

    Args:
        worker_states: the present state of each worker, by the worker's name.
        worker_metrics: the counts and times of each worker, by the worker's name.
        pipeline_stats: the statistics of the run.
        error_summary: the failures; the details cover the latest 1,000 at most.
        timestamp: Unix time of the snapshot.
        input_fraction: share of the input that has been read, from 0 to 1; None if it is unknown.
            An input with a method `fraction_read()` makes it known.
    """

    worker_states: dict[str, WorkerState]
    worker_metrics: dict[str, WorkerMetrics]
    pipeline_stats: PipelineStats
    error_summary: ErrorSummary
    timestamp: float
    input_fraction: float | None = None


@runtime_checkable
class DashboardProtocol(Protocol):
    """A display of a run: any object with these three methods, each plain or a coroutine function.

    They are called on the event loop, one at a time. If one raises an exception, that is logged,
    and the dashboard is not called again; the run goes on. The same happens if the run has waited
    5 seconds for a call, at its start or at its end; the coroutine is cancelled then.

    A fourth method, `on_exit()`, is optional. It is called instead of `on_finish` if the process
    ends while a task holds the event loop: restore there what the dashboard has taken, such as the
    terminal. It is called in a thread of its own, maybe while another method is running, and the
    process waits for it for one second at most.
    """

    def on_start(self, pipeline: Any, total_items: int | None) -> Any:
        """Begin to show a run.

        Args:
            pipeline: the Pipeline.
            total_items: how many items there are; None if the input has no length.
        """

    def on_update(self, snapshot: DashboardSnapshot) -> Any:
        """Show the present state: right after `on_start`, then regularly, and at the end.

        Not at the end of a run that is cancelled while a call of the dashboard waits.

        Args:
            snapshot: the state of the run.
        """

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> Any:
        """Stop showing the run; called however the run ended.

        Args:
            results: the successes that are kept, in input order; empty for a stream.
            summary: the failures.
        """
