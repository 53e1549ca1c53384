"""Reading a run: statistics and the states of workers, from any thread, at any time."""

from __future__ import annotations

from math import isinf
from time import time
from typing import NamedTuple

from antflow._engine.channels.edge import Edge
from antflow._engine.channels.pull_channel import PullChannel
from antflow._engine.channels.waiters import SkippedSender
from antflow._engine.running.run import Run
from antflow._engine.workers.stage_runtime import StageRuntime, error_summary
from antflow._engine.workers.worker import Worker
from antflow._stats.counters import BLOCKED, STATES
from antflow._stats.histogram import count, freeze
from antflow.dashboards import DashboardSnapshot, WorkerMetrics, WorkerState
from antflow.limits import limit_stats, meters_of
from antflow.stats import LimitStats, PipelineStats, StageStats, TaskStats

MOST_FAILED_ITEMS = 1000
"""In a snapshot, which displays take again and again: to copy them all would take ever longer."""


def pipeline_stats(run: Run) -> PipelineStats:
    """Return the statistics of a run.

    Stages are read from the last to the first, and what left a stage before what entered it: so
    that a reader on another thread, while items move on, finds some twice at most, and no number
    below 0.
    """
    stages: dict[str, StageStats] = {}
    readings = {edge: _read(edge) for edge in run.ends}
    completed = sum(reading.items for reading in readings.values())
    for runtime, team in reversed(list(zip(run.stages, run.workers.teams, strict=True))):
        stages[runtime.name] = _stage_stats(run, runtime, team.workers, readings)
    failed = sum(stage.failed_items for stage in stages.values())
    dropped = sum(stage.dropped_items for stage in stages.values())
    unprocessed = sum(stage.unprocessed_items for stage in stages.values())
    fed = run.fed_items
    outstanding = fed - completed - failed - dropped - unprocessed
    stages = {runtime.name: stages[runtime.name] for runtime in run.stages}
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
        run_id=run.dispatcher.run_id,
    )


def dashboard_snapshot(run: Run) -> DashboardSnapshot:
    """Return the whole state of a run."""
    workers = _listed_workers(run)
    return DashboardSnapshot(
        worker_states=_states_of(workers, run),
        worker_metrics=_metrics_of(workers, run),
        pipeline_stats=pipeline_stats(run),
        error_summary=error_summary(run.stages, run.results, MOST_FAILED_ITEMS),
        timestamp=time(),
        input_fraction=run.input_fraction(),
    )


def worker_states(run: Run) -> dict[str, WorkerState]:
    """Return what each worker does, by its name."""
    return _states_of(_listed_workers(run), run)


def worker_metrics(run: Run) -> dict[str, WorkerMetrics]:
    """Return what each worker has done, by its name."""
    return _metrics_of(_listed_workers(run), run)


_ListedWorkers = list[tuple[str, list[tuple[str, Worker | None]]]]
"""By stage, the name of each worker, and itself, unless it is still to be started."""


def _listed_workers(run: Run) -> _ListedWorkers:
    return [(team.stage.name, list(team.listed())) for team in run.workers.teams]


def _states_of(workers: _ListedWorkers, run: Run) -> dict[str, WorkerState]:
    to_unix = _to_unix(run)
    return {
        name: WorkerState(name, stage, "idle") if each is None else _worker_state(each, to_unix)
        for stage, team in workers
        for name, each in team
    }


def _metrics_of(workers: _ListedWorkers, run: Run) -> dict[str, WorkerMetrics]:
    to_unix = _to_unix(run)
    return {
        name: WorkerMetrics(name, stage) if each is None else _worker_metrics(each, to_unix)
        for stage, team in workers
        for name, each in team
    }


def _worker_state(worker: Worker, to_unix: float) -> WorkerState:
    attempt, stage = worker.attempt, worker.stage
    item = attempt.item
    has_handed_on = worker.state == BLOCKED and not stage.keeps_items
    if item is None or has_handed_on:
        return WorkerState(worker.name, stage.name, "idle")
    return WorkerState(
        worker.name,
        stage.name,
        "busy",
        item.id,
        attempt.status_text,
        worker.taken_at + to_unix,
        attempt.task.name,
        attempt.number,
    )


def _worker_metrics(worker: Worker, to_unix: float) -> WorkerMetrics:
    processed, failed = worker.processed, worker.failed
    last = max(worker.completed_at, worker.failed_at) + to_unix if processed or failed else None
    return WorkerMetrics(worker.name, worker.stage.name, processed, failed, worker.seconds, last)


def _to_unix(run: Run) -> float:
    """Return the difference between Unix time and the run's clock.

    It is taken anew each time, since a machine that sleeps stops the one clock and not the other.
    """
    return time() - run.clock()


class _Reading(NamedTuple):
    """How many items came over an edge, and how many senders that skipped one still hold it."""

    items: int
    skipped_held: int


def _read(edge: Edge) -> _Reading:
    """Read an edge; what waits for a pull stage has not come over it yet."""
    held = list(edge.channel.waiters.senders) if isinstance(edge.channel, PullChannel) else []
    skipped = sum(isinstance(sender, SkippedSender) for sender in held)
    return _Reading(edge.received - len(held), skipped)


def _stage_stats(
    run: Run, runtime: StageRuntime, team: list[Worker], readings: dict[Edge, _Reading]
) -> StageStats:
    """Return the statistics of a stage.

    Args:
        team: its workers.
        readings: of the edges from it; those of the edges to it are added.
    """
    counters, passed_on = runtime.counters, readings[runtime.output]
    failed, dropped, left = counters.failed, counters.dropped, len(runtime.input.unprocessed)
    pending, parked = runtime.input.pending, runtime.input.parked
    readings.update((edge, _read(edge)) for edge in runtime.inputs)
    fed = runtime.entry.received
    entered = fed + sum(readings[edge].items for edge in runtime.inputs)
    done = passed_on.items + failed + dropped
    # An item is counted as skipped first, and read as such last: never fewer than were skipped.
    skipped = min(passed_on.items, counters.skipped - passed_on.skipped_held)
    now = run.clock()
    states = list(zip(STATES, counters.states(now), strict=True))
    return StageStats(
        stage_name=runtime.name,
        pending_items=pending,
        in_progress_items=max(0, entered - done - pending - parked - left),
        completed_items=passed_on.items,
        failed_items=failed,
        parked_items=parked,
        capacity=None if isinf(runtime.input.capacity) else int(runtime.input.capacity),
        workers={state: workers for state, (_, workers) in states},
        seconds={state: seconds for state, (seconds, _) in states},
        fed_items=entered,
        skipped_items=skipped,
        dropped_items=dropped,
        unprocessed_items=left,
        retried_attempts=counters.retried,
        queue_wait=freeze(counters.queue_wait),
        last_completion=_last_completion(run, team),
        errors_by_type=counters.errors_by_type.copy(),
        tasks=_task_stats(runtime),
        abandoned_threads=runtime.runner.stats().abandoned + counters.abandoned_readers,
        limit_wait_share=counters.limit_wait_share(now),
        timeouts=counters.timeouts,
        give_ups=counters.give_ups,
        next_retry=_next_retry(run, runtime),
        limits=_limit_stats(runtime),
    )


def _next_retry(run: Run, runtime: StageRuntime) -> float | None:
    """Return when the next parked item is due, in Unix time."""
    due = runtime.input.parked_items.next_due
    return None if due is None or run.loop is None else time() + due - run.loop.time()


def _limit_stats(runtime: StageRuntime) -> dict[str, LimitStats]:
    limiter = runtime.limiter
    if limiter is None:
        return {}
    return {
        name: limit_stats(
            limit, limiter.waiting_for(meters_of(limit)), limiter.in_use(meters_of(limit))
        )
        for name, limit in limiter.limits.items()
    }


def _task_stats(runtime: StageRuntime) -> dict[str, TaskStats]:
    return {
        name: TaskStats(
            attempts=count(counters.duration),
            failed=counters.failed,
            retried=counters.retried,
            duration=freeze(counters.duration),
        )
        for name, counters in runtime.counters.tasks.items()
    }


def _last_completion(run: Run, team: list[Worker]) -> float | None:
    last = max((worker.completed_at for worker in team if worker.processed), default=None)
    return None if last is None else last + _to_unix(run)
