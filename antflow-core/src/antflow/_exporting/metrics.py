"""The table of the metrics: name, kind, unit, description and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]

_PIPELINE = ("pipeline",)
_STAGE = ("pipeline", "stage")
_LIMIT = ("pipeline", "stage", "limit")
_TASK = ("pipeline", "stage", "task")


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What a sample measures.

    Args:
        name: the name, without a prefix; it ends with the unit if that is seconds.
        kind: "counter" for sums that only rise, those of ended runs included; "gauge" for sums over
            active runs; "histogram" for durations, which are counted like a counter.
        unit: the unit in the plural, such as "items" or "seconds".
        description: one sentence for people.
        labels: the names of the labels.
    """

    name: str
    kind: MetricKind
    unit: str
    description: str
    labels: tuple[str, ...]


RUNS = Metric("pipeline_runs", "counter", "runs", "Runs that have begun.", _PIPELINE)
RUNS_ACTIVE = Metric(
    "pipeline_runs_active", "gauge", "runs", "Runs that are in progress.", _PIPELINE
)
ITEMS_FED = Metric(
    "pipeline_items_fed",
    "counter",
    "items",
    "Items that were accepted, into any stage.",
    _PIPELINE,
)
ITEMS = Metric(
    "pipeline_items",
    "counter",
    "items",
    "Items that have ended, each with one outcome.",
    (*_PIPELINE, "outcome"),
)
ITEMS_OUTSTANDING = Metric(
    "pipeline_items_outstanding",
    "gauge",
    "items",
    "Items accepted that have not ended.",
    _PIPELINE,
)
PLUGIN_FAULTS = Metric(
    "plugin_faults",
    "counter",
    "errors",
    "Exceptions that a plugin's hooks raised; they are logged, and the run goes on.",
    (*_PIPELINE, "plugin"),
)
STAGE_ITEMS_FED = Metric(
    "stage_items_fed",
    "counter",
    "items",
    "Items that entered the stage, from outside or from the stage before.",
    _STAGE,
)
STAGE_ITEMS = Metric(
    "stage_items",
    "counter",
    "items",
    "Items that left the stage, each with one outcome.",
    (*_STAGE, "outcome"),
)
STAGE_FAILURES = Metric(
    "stage_failures",
    "counter",
    "items",
    "Items that failed in the stage, by the class of the exception.",
    (*_STAGE, "error_type"),
)
STAGE_RETRIES = Metric(
    "stage_retries",
    "counter",
    "attempts",
    "Attempts in the stage that failed and for which another was due.",
    _STAGE,
)
TIMEOUTS = Metric(
    "stage_timeouts",
    "counter",
    "timeouts",
    "Attempts that took more than task_timeout, and items that took more than item_timeout.",
    _STAGE,
)
GIVE_UPS = Metric(
    "stage_give_ups",
    "counter",
    "attempts",
    "Attempts in the stage that ended with a GiveUp.",
    _STAGE,
)
ITEMS_PENDING = Metric(
    "stage_items_pending",
    "gauge",
    "items",
    "Items that wait in front of the stage, without those parked for a retry.",
    _STAGE,
)
ITEMS_PARKED = Metric(
    "stage_items_parked",
    "gauge",
    "items",
    "Items that wait until their next attempt at the stage is due, or for their key of a limit; "
    "they hold no worker.",
    _STAGE,
)
ITEMS_IN_PROGRESS = Metric(
    "stage_items_in_progress",
    "gauge",
    "items",
    "Items that the stage's workers hold.",
    _STAGE,
)
CAPACITY = Metric(
    "stage_capacity_items",
    "gauge",
    "items",
    "Items that may wait in front of the stage; +Inf if without bound.",
    _STAGE,
)
WORKERS = Metric(
    "stage_workers",
    "gauge",
    "workers",
    "Workers by what they do: idle has no item, busy works, waiting waits for a retry that is due "
    "later or for a limit, blocked waits for room downstream.",
    (*_STAGE, "state"),
)
WORKER_SECONDS = Metric(
    "stage_worker_seconds",
    "counter",
    "seconds",
    "Time that the workers have spent in each state.",
    (*_STAGE, "state"),
)
ABANDONED_THREADS = Metric(
    "stage_abandoned_threads",
    "gauge",
    "threads",
    "Threads that still run a function whose attempt was cancelled, or still read an input when "
    "reading has stopped.",
    _STAGE,
)
LAST_COMPLETION = Metric(
    "stage_last_completion_timestamp_seconds",
    "gauge",
    "seconds",
    "Unix time of the last item that the stage passed on; 0 before the first.",
    _STAGE,
)
QUEUE_WAIT = Metric(
    "stage_queue_wait_seconds",
    "histogram",
    "seconds",
    "How long items waited in front of the stage.",
    _STAGE,
)
LIMIT_WAITING = Metric(
    "stage_limit_items_waiting",
    "gauge",
    "items",
    "Items of the stage that wait for the limit.",
    _LIMIT,
)
LIMIT_IN_USE = Metric(
    "stage_limit_attempts_in_use",
    "gauge",
    "attempts",
    "Attempts in the stage that hold the limit.",
    _LIMIT,
)
LIMIT_ALLOWED = Metric(
    "stage_limit_attempts_allowed",
    "gauge",
    "attempts",
    "Attempts that may hold the limit at once at present, in all stages that share it; only of a "
    "limit with a concurrency and without keys.",
    _LIMIT,
)
LIMIT_PAUSED = Metric(
    "stage_limit_paused",
    "gauge",
    "limits",
    "1 while the limit is paused, otherwise 0; a pause of single keys does not count.",
    _LIMIT,
)
LIMIT_KEYS = Metric(
    "stage_limit_keys",
    "gauge",
    "keys",
    "Keys of the limit in use, or lately; only of a limit with keys.",
    _LIMIT,
)
TASK_DURATION = Metric(
    "task_duration_seconds",
    "histogram",
    "seconds",
    "How long attempts at the task took.",
    _TASK,
)
TASK_FAILURES = Metric(
    "task_failures",
    "counter",
    "attempts",
    "Attempts at the task that failed and were the last.",
    _TASK,
)
TASK_RETRIES = Metric(
    "task_retries",
    "counter",
    "attempts",
    "Attempts at the task that failed and for which another was due.",
    _TASK,
)

METRICS: tuple[Metric, ...] = (
    RUNS,
    RUNS_ACTIVE,
    ITEMS_FED,
    ITEMS,
    ITEMS_OUTSTANDING,
    PLUGIN_FAULTS,
    STAGE_ITEMS_FED,
    STAGE_ITEMS,
    STAGE_FAILURES,
    STAGE_RETRIES,
    TIMEOUTS,
    GIVE_UPS,
    ITEMS_PENDING,
    ITEMS_PARKED,
    ITEMS_IN_PROGRESS,
    CAPACITY,
    WORKERS,
    WORKER_SECONDS,
    ABANDONED_THREADS,
    LAST_COMPLETION,
    QUEUE_WAIT,
    LIMIT_WAITING,
    LIMIT_IN_USE,
    LIMIT_ALLOWED,
    LIMIT_PAUSED,
    LIMIT_KEYS,
    TASK_DURATION,
    TASK_FAILURES,
    TASK_RETRIES,
)
"""All metrics, in the order in which samples are read."""
