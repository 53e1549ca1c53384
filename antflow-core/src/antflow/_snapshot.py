"""Reading a run: statistics and the states of workers, from any thread, at any time."""

from __future__ import annotations

from math import isinf
from time import time

from ._accounting import STATES
from ._histogram import count, freeze
from ._run import Run
from ._stage_run import StageRun
from ._worker import Worker
from .types import (
    DashboardSnapshot,
    PipelineStats,
    StageStats,
    TaskStats,
    WorkerMetrics,
    WorkerState,
)

MOST_FAILED_ITEMS = 1000
"""In a snapshot, which displays take again and again: to copy them all would take ever longer."""


def pipeline_stats(run: Run) -> PipelineStats:
    """Return the statistics of a run.

    Stages are read from the last to the first, and what left a stage before what entered it: so
    that a reader on another thread, while items move on, finds some twice at most, and no number
    below 0.
    """
    stages: dict[str, StageStats] = {}
    passed_on = completed = _passed_on(run, len(run.posts) - 1)
    for index in reversed(range(len(run.posts))):
        stage, passed_on = _stage_stats(run, index, passed_on)
        stages[stage.stage_name] = stage
    failed = sum(stage.failed_items for stage in stages.values())
    dropped = sum(stage.dropped_items for stage in stages.values())
    unprocessed = sum(stage.unprocessed_items for stage in stages.values())
    fed = sum(post.account.injected for post in run.posts)
    outstanding = fed - completed - failed - dropped - unprocessed
    stages = {post.name: stages[post.name] for post in run.posts}
    return PipelineStats(
        items_processed=completed,
        items_failed=failed,
        items_in_flight=outstanding,
        queue_sizes={name: stage.pending_items for name, stage in stages.items()},
        stage_stats=stages,
        items_fed=fed,
        items_dropped=dropped,
        items_unprocessed=unprocessed,
        items_outstanding=outstanding,
        run_id=run.notifier.run_id,
    )


def dashboard_snapshot(run: Run) -> DashboardSnapshot:
    """Return the whole state of a run."""
    return DashboardSnapshot(
        worker_states=worker_states(run),
        worker_metrics=worker_metrics(run),
        pipeline_stats=pipeline_stats(run),
        error_summary=run.error_summary(MOST_FAILED_ITEMS),
        timestamp=time(),
        input_fraction=run.input_fraction(),
    )


def worker_states(run: Run) -> dict[str, WorkerState]:
    """Return what each worker does, by its name."""
    to_unix = _to_unix(run)
    return {worker.name: worker.state(to_unix) for team in run.workers for worker in team}


def worker_metrics(run: Run) -> dict[str, WorkerMetrics]:
    """Return what each worker has done, by its name."""
    to_unix = _to_unix(run)
    return {worker.name: worker.metrics(to_unix) for team in run.workers for worker in team}


def _to_unix(run: Run) -> float:
    """Return what turns a time on the run's clock into Unix time.

    It is taken anew each time, since a machine that sleeps stops the one clock and not the other.
    """
    return time() - run.clock()


def _passed_on(run: Run, index: int) -> int:
    """Return how many items a stage has handed on; what waits for a pull stage it still holds."""
    after = run.posts[index + 1 : index + 2]
    held = sum(post.inbox.held for post in after if post.stage.pull)
    return sum(worker.processed for worker in run.workers[index]) - held


def _stage_stats(run: Run, index: int, passed_on: int) -> tuple[StageStats, int]:
    """Return a stage's statistics, and how many items the stage before has handed on."""
    post = run.posts[index]
    account = post.account
    failed, dropped, left = account.failed, account.dropped, len(post.inbox.left_over)
    pending = len(post.inbox.queue) - (post.inbox.held if post.stage.pull else 0)
    received = _passed_on(run, index - 1) if index else 0
    entered = account.injected + received
    activity = list(zip(STATES, account.activity(run.clock()), strict=True))
    stats = StageStats(
        stage_name=post.name,
        pending_items=max(0, pending),
        in_progress_items=max(0, entered - passed_on - failed - dropped - pending - left),
        completed_items=passed_on,
        failed_items=failed,
        capacity=None if isinf(post.inbox.capacity) else int(post.inbox.capacity),
        workers={state: workers for state, (_, workers) in activity},
        seconds={state: seconds for state, (seconds, _) in activity},
        fed_items=entered,
        skipped_items=account.skipped,
        dropped_items=dropped,
        unprocessed_items=left,
        retried_attempts=account.retried,
        queue_wait=freeze(account.queue_wait),
        last_completion=_last_completion(run, run.workers[index]),
        errors_by_type=account.errors_by_type.copy(),
        tasks=_task_stats(post),
        abandoned_threads=post.threads.abandoned,
    )
    return stats, received


def _task_stats(post: StageRun) -> dict[str, TaskStats]:
    return {
        name: TaskStats(
            attempts=count(account.duration),
            failed=account.failed,
            retried=account.retried,
            duration=freeze(account.duration),
        )
        for name, account in post.account.tasks.items()
    }


def _last_completion(run: Run, team: list[Worker]) -> float | None:
    last = max((worker.completed_at for worker in team if worker.processed), default=None)
    return None if last is None else last + _to_unix(run)
