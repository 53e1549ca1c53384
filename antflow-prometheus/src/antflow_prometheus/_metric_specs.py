"""The table of all metrics: name, kind, help, labels and the values that each shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from antflow import DURATION_BOUNDS
from antflow.stats import ActivityState

MetricKind = Literal["counter", "gauge", "histogram"]

# The values of labels and the fields of `Scope`, in the order in which `_snapshots` lists them.

STATES: tuple[ActivityState, ...] = ("idle", "busy", "waiting", "blocked")
ENDS = ("completed", "failed", "skipped", "dropped", "unprocessed")
PIPELINE_ENDS = ("succeeded", "failed", "dropped", "unprocessed")
BUCKETS = tuple(f"below {bound}" for bound in (*DURATION_BOUNDS, "infinity"))


class Scope(Enum):
    """The thing that values belong to: its labels, its counters and its gauges.

    Counters only increase, and those of ended runs stay. Gauges are sums over live runs.
    """

    PROCESS = ("version", "plugin_version"), (), ()
    PIPELINE = (
        ("pipeline",),
        ("runs", "fed", *PIPELINE_ENDS),
        ("runs", "outstanding"),
    )
    FAULT = ("pipeline", "plugin"), ("faults",), ()
    STAGE = (
        ("pipeline", "stage"),
        ("fed", *ENDS, "retries", *STATES, *BUCKETS, "sum"),
        ("pending", "in progress", "capacity", *STATES, "threads"),
    )
    ERROR = ("pipeline", "stage", "error_type"), ("failures",), ()
    TASK = ("pipeline", "stage", "task"), ("failures", "retries", *BUCKETS, "sum"), ()

    def __init__(
        self, labels: tuple[str, ...], counters: tuple[str, ...], gauges: tuple[str, ...]
    ) -> None:
        self.labels = labels
        self.counters = counters
        self.gauges = gauges


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric.

    Args:
        name: the name in Prometheus, without the endings of a histogram's samples.
        kind: its type in Prometheus.
        help: one sentence for people.
        scope: the thing that its values belong to.
        fields: the scope's counters or gauges that it shows, one in each series; none for a
            histogram.
        label: the label that holds the field's name, if there are several fields.
    """

    name: str
    kind: MetricKind
    help: str
    scope: Scope
    fields: tuple[str, ...] = ()
    label: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """All its labels."""
        return (*self.scope.labels, self.label) if self.label else self.scope.labels


BUILD = MetricSpec(
    "antflow_build_info",
    "gauge",
    "Versions of antflow-core and antflow-prometheus; always 1.",
    Scope.PROCESS,
)
LAG = MetricSpec(
    "antflow_event_loop_lag_seconds",
    "gauge",
    "How long the event loop of the pipeline's run took to answer this scrape; 0.1 is the most "
    "that is waited for.",
    Scope.PIPELINE,
)
LAST_COMPLETION = MetricSpec(
    "antflow_stage_last_completion_timestamp_seconds",
    "gauge",
    "Unix time of the last item that the stage passed on; 0 before the first.",
    Scope.STAGE,
)

METRICS: tuple[MetricSpec, ...] = (
    BUILD,
    MetricSpec(
        "antflow_pipeline_runs_total",
        "counter",
        "Runs that have begun.",
        Scope.PIPELINE,
        ("runs",),
    ),
    MetricSpec(
        "antflow_pipeline_runs_active",
        "gauge",
        "Runs that last.",
        Scope.PIPELINE,
        ("runs",),
    ),
    MetricSpec(
        "antflow_pipeline_items_fed_total",
        "counter",
        "Items that were accepted, into whichever stage.",
        Scope.PIPELINE,
        ("fed",),
    ),
    MetricSpec(
        "antflow_pipeline_items_total",
        "counter",
        "Items that have ended, by how: each of them in one way.",
        Scope.PIPELINE,
        PIPELINE_ENDS,
        "outcome",
    ),
    MetricSpec(
        "antflow_pipeline_items_outstanding",
        "gauge",
        "Items accepted that have not ended.",
        Scope.PIPELINE,
        ("outstanding",),
    ),
    LAG,
    MetricSpec(
        "antflow_plugin_faults_total",
        "counter",
        "Exceptions that a plugin's hooks raised; they are logged, and the run goes on.",
        Scope.FAULT,
        ("faults",),
    ),
    MetricSpec(
        "antflow_stage_items_fed_total",
        "counter",
        "Items that entered the stage, from outside or from the stage before.",
        Scope.STAGE,
        ("fed",),
    ),
    MetricSpec(
        "antflow_stage_items_total",
        "counter",
        "Items that left the stage, by how: each of them in one way.",
        Scope.STAGE,
        ENDS,
        "outcome",
    ),
    MetricSpec(
        "antflow_stage_failures_total",
        "counter",
        "Items that failed in the stage, by the class of the exception.",
        Scope.ERROR,
        ("failures",),
    ),
    MetricSpec(
        "antflow_stage_retries_total",
        "counter",
        "Attempts in the stage that failed and for which another was due.",
        Scope.STAGE,
        ("retries",),
    ),
    MetricSpec(
        "antflow_stage_items_pending",
        "gauge",
        "Items that wait in front of the stage, without those parked for a retry.",
        Scope.STAGE,
        ("pending",),
    ),
    MetricSpec(
        "antflow_stage_items_in_progress",
        "gauge",
        "Items that the stage's workers hold.",
        Scope.STAGE,
        ("in progress",),
    ),
    MetricSpec(
        "antflow_stage_capacity_items",
        "gauge",
        "Items that may wait in front of the stage; +Inf if without bound.",
        Scope.STAGE,
        ("capacity",),
    ),
    MetricSpec(
        "antflow_stage_workers",
        "gauge",
        "Workers by what they do: idle has no item, busy works, waiting waits for a retry that "
        "is due later or for a limit, blocked waits for room downstream.",
        Scope.STAGE,
        STATES,
        "state",
    ),
    MetricSpec(
        "antflow_stage_worker_seconds_total",
        "counter",
        "Time that the workers have spent in each state.",
        Scope.STAGE,
        STATES,
        "state",
    ),
    MetricSpec(
        "antflow_stage_abandoned_threads",
        "gauge",
        "Threads that still run a function whose attempt was cancelled, or still read an input "
        "when reading has stopped.",
        Scope.STAGE,
        ("threads",),
    ),
    LAST_COMPLETION,
    MetricSpec(
        "antflow_stage_queue_wait_seconds",
        "histogram",
        "How long items waited in front of the stage.",
        Scope.STAGE,
    ),
    MetricSpec(
        "antflow_task_duration_seconds",
        "histogram",
        "How long attempts at the task took.",
        Scope.TASK,
    ),
    MetricSpec(
        "antflow_task_failures_total",
        "counter",
        "Attempts at the task that failed and were the last.",
        Scope.TASK,
        ("failures",),
    ),
    MetricSpec(
        "antflow_task_retries_total",
        "counter",
        "Attempts at the task that failed and for which another was due.",
        Scope.TASK,
        ("retries",),
    ),
)
"""All metrics, in the order of the exposition."""
