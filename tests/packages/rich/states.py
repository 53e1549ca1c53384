"""Snapshots of a run: in the middle, at its beginning, at its end; small and large ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from antflow import (
    DURATION_BOUNDS,
    DashboardSnapshot,
    ErrorSummary,
    FailedItem,
    Histogram,
    LimitStats,
    PipelineStats,
    StageStats,
    TaskStats,
    WorkerMetrics,
    WorkerState,
)

NOW = 1_000_000.0
"""Unix time of every snapshot here."""


def stage(name: str = "Work", **known: Any) -> StageStats:
    figures: dict[str, Any] = {
        "pending_items": 0,
        "in_progress_items": 0,
        "completed_items": 0,
        "failed_items": 0,
        "capacity": 10,
        "workers": {"idle": 2, "busy": 0, "waiting": 0, "blocked": 0},
    }
    return StageStats(stage_name=name, **(figures | known))


def failed(item: object, kind: str = "ValueError", ago: float = 0.0, **known: Any) -> FailedItem:
    about: dict[str, Any] = {"stage": "Work", "attempts": 1} | known
    if "error" not in about:
        about["error"] = f"{item} is wrong"
    return FailedItem(item_id=item, error_type=kind, timestamp=NOW - ago, **about)


def errors(items: Sequence[FailedItem] = (), more: Mapping[str, int] | None = None) -> ErrorSummary:
    """Return a summary of these items, and more that are not kept, by type."""
    by_type = dict(more or {})
    for item in items:
        by_type[item.error_type] = by_type.get(item.error_type, 0) + 1
    return ErrorSummary(sum(by_type.values()), by_type, {}, list(items))


def snapshot(
    *stages: StageStats,
    workers: Sequence[WorkerState] = (),
    metrics: Sequence[WorkerMetrics] = (),
    summary: ErrorSummary | None = None,
    **counts: int,
) -> DashboardSnapshot:
    none: dict[str, Any] = {"items_processed": 0, "items_failed": 0, "items_in_flight": 0}
    return DashboardSnapshot(
        worker_states={state.worker_name: state for state in workers},
        worker_metrics={each.worker_name: each for each in metrics},
        pipeline_stats=PipelineStats(
            queue_sizes={},
            stage_stats={each.stage_name: each for each in stages},
            **(none | counts),
        ),
        error_summary=summary or errors(),
        timestamp=NOW,
    )


SECONDS = 15.3
"""From the beginning to the other states."""

STATES = ("busy", "waiting", "blocked", "idle")


def durations(at: float, count: int, longest: float = 0.0) -> dict[str, TaskStats]:
    """Return statistics of attempts that took `at` seconds, and a tenth of them the longest."""
    counts = [0] * (len(DURATION_BOUNDS) + 1)
    for seconds, number in (at, count), (longest, count // 10):
        counts[next(i for i, bound in enumerate(DURATION_BOUNDS) if seconds <= bound)] += number
    total = at * count + longest * (count // 10)
    return {"task": TaskStats(count, 0, 0, Histogram(DURATION_BOUNDS, tuple(counts), total))}


def worked(name: str, number: int, shares: Sequence[float], /, **known: Any) -> StageStats:
    """Return a stage whose workers have spent those shares of the time in each state."""
    spent = {state: share * number * SECONDS for state, share in zip(STATES, shares, strict=True)}
    known = {"workers": {"idle": number}} | known
    return stage(name, seconds=spent, **known)


STAGES = (
    worked(
        "Fetch", 20, (0.16, 0.02, 0.80, 0.02), workers={"busy": 3, "blocked": 17},
        in_progress_items=3, pending_items=100, capacity=100, completed_items=6_342,
        failed_items=4, retried_attempts=31, tasks=durations(0.048, 6_000, 0.31),
    ),
    worked(
        "Parse", 8, (0.98, 0.0, 0.0, 0.02), workers={"busy": 8},
        in_progress_items=8, pending_items=80, capacity=80, completed_items=6_250,
        failed_items=1, tasks=durations(0.019, 6_250),
    ),
    worked(
        "Enrich", 12, (0.34, 0.22, 0.0, 0.44), workers={"busy": 4, "waiting": 3, "idle": 5},
        in_progress_items=7, pending_items=2, capacity=120, completed_items=6_228,
        retried_attempts=118, tasks=durations(0.0071, 6_228),
    ),
    worked(
        "Store", 4, (0.22, 0.0, 0.0, 0.78), workers={"busy": 1, "idle": 3},
        in_progress_items=1, capacity=40, completed_items=6_209, tasks=durations(0.0021, 6_209),
    ),
)  # fmt: skip

REFUSED: dict[str, Any] = {
    "kind": "ConnectionError", "error": "the host did not answer within 10 s", "stage": "Fetch",
    "attempts": 3, "location": "orders.py:24, in fetch",
}  # fmt: skip
UNREADABLE: dict[str, Any] = {
    "kind": "UnicodeDecodeError", "stage": "Parse", "location": "orders.py:31, in parse",
    "error": "'utf-8' codec can't decode byte 0xe9 in position 1044: unexpected end",
}  # fmt: skip
FAILURES = [
    failed("order-0042", ago=14.6, **REFUSED),
    failed("order-2214", ago=12.0, **REFUSED),
    failed("order-5310", ago=9.1, **REFUSED),
    failed("order-5988", ago=3.2, **UNREADABLE),
    failed("order-6201", ago=1.4, **REFUSED),
]


def holding(number: int) -> tuple[WorkerState, WorkerMetrics]:
    """Return a worker that holds an item."""
    stage = ("Fetch", "Parse", "Enrich")[number % 3]
    name = f"{stage}-W{number // 3}"
    doing = f"GET /orders/{6201 + number}, {number * 7 % 90} of 96 kB" if stage == "Fetch" else None
    state = WorkerState(
        name, stage, "busy", f"order-{6201 + number}", doing, NOW - 4.2 / (1 + number / 3),
        stage.lower(), 1 + (number % 5 == 0),
    )  # fmt: skip
    done, lost = 300 + 11 * number, int(number % 7 == 0)
    return state, WorkerMetrics(name, stage, done, lost, (done + lost) * (0.04 + number / 900))


IDLE = [
    (WorkerState(name, "Store", "idle"), WorkerMetrics(name, "Store", 1550, 0, 3.41))
    for name in ("Store-W1", "Store-W2", "Store-W3")
]


def state(
    stages: Sequence[StageStats] = STAGES,
    failures: Sequence[FailedItem] = FAILURES,
    workers: Sequence[tuple[WorkerState, WorkerMetrics]] = (*map(holding, range(19)), *IDLE),
    fraction: float | None = None,
    more: dict[str, int] | None = None,
    **counts: Any,
) -> DashboardSnapshot:
    """Return the run in the middle, with some of it replaced."""
    figures: dict[str, Any] = {
        "items_processed": 6_209,
        "items_failed": 5,
        "items_fed": 6_400,
    } | counts
    states, metrics = zip(*workers, strict=True)
    made = snapshot(
        *stages, workers=states, metrics=metrics, summary=errors(failures, more), **figures
    )
    return replace(made, input_fraction=fraction)


def only(processed: int = 0, failed: int = 0, **counts: Any) -> DashboardSnapshot:
    """Return a state of which no more is known than how many items have ended."""
    counts = {"items_fed": processed + failed} | counts
    return snapshot(items_processed=processed, items_failed=failed, **counts)


def beginning(of: DashboardSnapshot) -> DashboardSnapshot:
    """Return the state before anything has happened in a run."""
    stages = of.pipeline_stats.stage_stats.values()
    return snapshot(
        *(stage(each.stage_name, capacity=each.capacity, workers=each.workers) for each in stages)
    )


MIDWAY = state()
READING = state(fraction=0.508)
"""A file of which half has been read."""
WITHOUT_ERRORS = state(
    [replace(stage, failed_items=0) for stage in STAGES], [], items_processed=6_214, items_failed=0
)
BEGINNING = beginning(MIDWAY)
ENDED = state(
    failures=FAILURES[3:], more={"ConnectionError": 10},
    items_processed=9_988, items_failed=12, items_fed=10_000,
)  # fmt: skip
STOPPED = state(items_unprocessed=186)
LARGE = state(
    [
        replace(
            STAGES[at % 4],
            stage_name=f"Import orders of region {at}",
            workers={"busy": 199, "idle": 1 + at},
            in_progress_items=199,
            pending_items=1999 - at,
            capacity=2000,
            completed_items=8_209_411 - at,
            failed_items=190_214 if at == 17 else 0,
            seconds={"busy": 9.0} if at == 13 else {"busy": 3 + at / 10, "blocked": 6 - at / 10},
        )
        for at in range(30)
    ],
    [replace(FAILURES[at % 5], error_type=f"Error{at % 40}") for at in range(100)],
    [*map(holding, range(200))],
    more={f"Error{at}": 4000 - at for at in range(40)},
    items_processed=8_209_411, items_failed=190_214, items_dropped=120, items_fed=8_400_000,
)  # fmt: skip
"""Thirty stages, six thousand workers, two hundred thousand failures."""

LIMITED = state(
    [
        replace(
            STAGES[0],
            limits={"requests": LimitStats(2, 3), "tokens": LimitStats(120, 9)},
        ),
        replace(STAGES[1], limits={"hosts": LimitStats(0, 8)}),
        replace(STAGES[2], limits={"credits": LimitStats(7, 0, paused_until=NOW + 12)}),
        STAGES[3],
    ]
)
"""Fetch and Enrich wait for limits, of which one is paused."""

ALL = {
    "midway": MIDWAY,
    "limited": LIMITED,
    "reading": READING,
    "without errors": WITHOUT_ERRORS,
    "beginning": BEGINNING,
    "ended": ENDED,
    "large": LARGE,
}
