"""The table of all metrics: name, kind, unit, description and attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._attributes import (
    ERROR,
    ITEM_STATE,
    OUTCOME,
    PIPELINE,
    PLUGIN,
    QUANTILE,
    STAGE,
    TASK,
    WORKER_STATE,
)

Kind = Literal["counter", "up-down counter", "gauge", "histogram"]

_STAGE = (PIPELINE, STAGE)
_TASK = (*_STAGE, TASK)


@dataclass(frozen=True, slots=True, eq=False)
class MetricSpec:
    """One metric.

    Args:
        name: the name of the instrument.
        kind: the kind of the instrument; all but histograms are observed at each collection.
        unit: a UCUM unit.
        description: one sentence for people.
        attributes: the names of its series' attributes; `error.type` is only on series of errors.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...]

    @property
    def is_monotonic(self) -> bool:
        """Whether values only increase, so that those of ended runs stay in the sum."""
        return self.kind == "counter"


# The names differ from those of antflow-prometheus, even as the Prometheus reader translates them:
# two families of one name would make the whole page of a registry invalid.

RUNS_STARTED = MetricSpec(
    "antflow.run.started", "counter", "{run}", "Runs that have begun.", (PIPELINE,)
)
RUNS = MetricSpec("antflow.run.count", "up-down counter", "{run}", "Runs that last.", (PIPELINE,))
ITEMS_FED = MetricSpec(
    "antflow.item.fed",
    "counter",
    "{item}",
    "Items that were accepted, into whichever stage.",
    (PIPELINE,),
)
ITEMS_ENDED = MetricSpec(
    "antflow.item.ended",
    "counter",
    "{item}",
    "Items that have ended, by how: each of them in one way.",
    (PIPELINE, OUTCOME),
)
ITEMS = MetricSpec(
    "antflow.item.count",
    "up-down counter",
    "{item}",
    "Items accepted that have not ended.",
    (PIPELINE,),
)
PLUGIN_ERRORS = MetricSpec(
    "antflow.plugin.errors",
    "counter",
    "{error}",
    "Exceptions that a plugin's hooks raised; they are logged, and the run goes on.",
    (PIPELINE, PLUGIN),
)
STAGE_ENTERED = MetricSpec(
    "antflow.stage.item.entered",
    "counter",
    "{item}",
    "Items that entered the stage, from outside or from the stage before.",
    _STAGE,
)
STAGE_LEFT = MetricSpec(
    "antflow.stage.item.left",
    "counter",
    "{item}",
    "Items that left the stage, by how: each of them in one way.",
    (*_STAGE, OUTCOME, ERROR),
)
STAGE_ITEMS = MetricSpec(
    "antflow.stage.item.count",
    "up-down counter",
    "{item}",
    "Items in the stage: pending ones wait in front of it, its workers hold those in progress. "
    "Those parked for a retry are neither.",
    (*_STAGE, ITEM_STATE),
)
STAGE_CAPACITY = MetricSpec(
    "antflow.stage.capacity",
    "up-down counter",
    "{item}",
    "Items that may wait in front of the stage; not shown if without bound.",
    _STAGE,
)
WORKERS = MetricSpec(
    "antflow.stage.worker.count",
    "up-down counter",
    "{worker}",
    "Workers by what they do: idle has no item, busy works, waiting waits for a retry that is "
    "due later or for a limit, blocked waits for room downstream.",
    (*_STAGE, WORKER_STATE),
)
WORKER_TIME = MetricSpec(
    "antflow.stage.worker.time",
    "counter",
    "s",
    "Time that the workers have spent in each state.",
    (*_STAGE, WORKER_STATE),
)
THREADS = MetricSpec(
    "antflow.stage.thread.abandoned",
    "up-down counter",
    "{thread}",
    "Threads that still run a function whose attempt was cancelled, or still read an input when "
    "reading has stopped.",
    _STAGE,
)
ATTEMPTS_ENDED = MetricSpec(
    "antflow.task.attempt.ended",
    "counter",
    "{attempt}",
    "Attempts at the task that have ended, however that was.",
    _TASK,
)
ATTEMPTS_RETRIED = MetricSpec(
    "antflow.task.attempt.retried",
    "counter",
    "{attempt}",
    "Attempts at the task that failed and for which another was due.",
    _TASK,
)
ATTEMPTS_FAILED = MetricSpec(
    "antflow.task.attempt.failed",
    "counter",
    "{attempt}",
    "Attempts at the task that failed and were the last.",
    _TASK,
)

OBSERVED: tuple[MetricSpec, ...] = (
    RUNS_STARTED,
    RUNS,
    ITEMS_FED,
    ITEMS_ENDED,
    ITEMS,
    PLUGIN_ERRORS,
    STAGE_ENTERED,
    STAGE_LEFT,
    STAGE_ITEMS,
    STAGE_CAPACITY,
    WORKERS,
    WORKER_TIME,
    THREADS,
    ATTEMPTS_ENDED,
    ATTEMPTS_RETRIED,
    ATTEMPTS_FAILED,
)
"""Read from the statistics of the pipelines at each collection."""

ITEM_WAIT = MetricSpec(
    "antflow.stage.item.wait",
    "histogram",
    "s",
    "How long items waited in front of the stage.",
    _STAGE,
)
ATTEMPT_DURATION = MetricSpec(
    "antflow.task.attempt.duration",
    "histogram",
    "s",
    "How long attempts at the task took.",
    (*_TASK, ERROR),
)
HISTOGRAMS: tuple[MetricSpec, ...] = (ITEM_WAIT, ATTEMPT_DURATION)
"""Recorded at each attempt, because OpenTelemetry has no asynchronous histogram."""

ITEM_WAIT_QUANTILE = MetricSpec(
    "antflow.stage.item.wait_quantile",
    "gauge",
    "s",
    "Quantiles of how long items waited in front of the stage, over the latest minutes.",
    (*_STAGE, QUANTILE),
)
ATTEMPT_DURATION_QUANTILE = MetricSpec(
    "antflow.task.attempt.duration_quantile",
    "gauge",
    "s",
    "Quantiles of how long attempts at the task took, over the latest minutes.",
    (*_TASK, QUANTILE),
)
QUANTILES: tuple[MetricSpec, ...] = (ITEM_WAIT_QUANTILE, ATTEMPT_DURATION_QUANTILE)
"""Observed instead of the histograms, if the user chooses quantiles."""
