"""The table of the instruments: names, units, attributes, and the metrics that they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Literal

from antflow.exporting import METRICS, OTHER, Metric, Sample

from ._attributes import (
    ERROR,
    ITEM_STATE,
    LIMIT,
    OUTCOME,
    PIPELINE,
    PLUGIN,
    QUANTILE,
    STAGE,
    TASK,
    WORKER_STATE,
)

InstrumentKind = Literal["counter", "up-down counter", "gauge", "histogram"]
Attributes = dict[str, str]
SamplesByMetric = Mapping[Metric, Sequence[Sample]]

ATTRIBUTES = {
    "pipeline": PIPELINE,
    "plugin": PLUGIN,
    "stage": STAGE,
    "limit": LIMIT,
    "task": TASK,
    "outcome": OUTCOME,
    "state": WORKER_STATE,
    "error_type": ERROR,
}
"""The attributes that stand for the labels of metrics."""

UNNAMED_ERROR = "_OTHER"
"""The value of `error.type`, by the semantic conventions, for an error without a type."""

KINDS: Mapping[str, InstrumentKind] = {
    "counter": "counter",
    "gauge": "up-down counter",
    "histogram": "counter",  # of the observations
}

_METRICS = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True, eq=False)
class InstrumentSpec:
    """One instrument.

    Args:
        name: the name of the instrument.
        unit: a UCUM unit.
        kind: the kind of the instrument; all but histograms are observed at each collection.
        description: one sentence for people.
        attributes: the names of its series' attributes; `error.type` is only on series of errors.
        sources: the metrics that it shows, each with the attributes that the metric does not have.
    """

    name: str
    unit: str
    kind: InstrumentKind
    description: str
    attributes: tuple[str, ...]
    sources: tuple[tuple[Metric, Attributes], ...] = ()

    def points(self, samples: SamplesByMetric) -> Iterator[tuple[float, Attributes]]:
        """Return the values of its series, with their attributes."""
        for metric, more in self.sources:
            for sample in samples.get(metric, ()):
                attributes = series_attributes(sample) | more
                # Failed items are counted by the class of the error. This series, always 0, exists
                # from the start, so that a rate sees the first failure.
                is_counted_by_error = self is STAGE_LEFT and attributes.get(OUTCOME) == "failed"
                value = 0 if is_counted_by_error and ERROR not in attributes else sample.value
                if not isinf(value):  # a capacity without bound
                    yield value, attributes


def series_attributes(sample: Sample) -> Attributes:
    """Return the attributes that stand for the labels of a sample."""
    attributes = {
        ATTRIBUTES[name]: value
        for name, value in zip(sample.metric.labels, sample.labels, strict=True)
    }
    if ERROR in attributes:
        attributes[ERROR] = error_type(attributes[ERROR])
    return attributes


def error_type(label: str) -> str:
    """Return the value of `error.type` for the label of an exception class."""
    return UNNAMED_ERROR if label == OTHER else label


def _observed(
    name: str,
    unit: str,
    *sources: str | tuple[str, Attributes],
    description: str | None = None,
) -> InstrumentSpec:
    """Return the instrument of metrics, each with the attributes that the metric does not have."""
    pairs = [source if isinstance(source, tuple) else (source, {}) for source in sources]
    shown = tuple((_METRICS[metric], attributes) for metric, attributes in pairs)
    first, _ = shown[0]
    known = dict.fromkeys(ATTRIBUTES[label] for metric, _ in shown for label in metric.labels)
    added = dict.fromkeys(each for _, attributes in shown for each in attributes)
    return InstrumentSpec(
        name, unit, KINDS[first.kind], description or first.description, (*(known | added),), shown
    )


# The names differ from those of antflow-prometheus, even as the Prometheus reader translates them:
# two families of one name would make the whole page of a registry invalid.

STAGE_LEFT = _observed(
    "antflow.stage.item.left", "{item}", "stage_items", ("stage_failures", {OUTCOME: "failed"})
)

OBSERVED: tuple[InstrumentSpec, ...] = (
    _observed("antflow.run.started", "{run}", "pipeline_runs"),
    _observed("antflow.run.count", "{run}", "pipeline_runs_active"),
    _observed("antflow.item.fed", "{item}", "pipeline_items_fed"),
    _observed("antflow.item.ended", "{item}", "pipeline_items"),
    _observed("antflow.item.count", "{item}", "pipeline_items_outstanding"),
    _observed("antflow.plugin.errors", "{error}", "plugin_faults"),
    _observed("antflow.stage.item.entered", "{item}", "stage_items_fed"),
    STAGE_LEFT,
    _observed(
        "antflow.stage.item.count",
        "{item}",
        ("stage_items_pending", {ITEM_STATE: "pending"}),
        ("stage_items_in_progress", {ITEM_STATE: "in_progress"}),
        ("stage_items_parked", {ITEM_STATE: "parked"}),
        description="Items in the stage: pending ones wait in front of it, its workers hold those "
        "in progress, and parked ones wait until their next attempt is due, or for their key of a "
        "limit.",
    ),
    _observed(
        "antflow.stage.capacity",
        "{item}",
        "stage_capacity_items",
        description="Items that may wait in front of the stage; not shown if without bound.",
    ),
    _observed("antflow.stage.worker.count", "{worker}", "stage_workers"),
    _observed("antflow.stage.worker.time", "s", "stage_worker_seconds"),
    _observed("antflow.stage.attempt.timed_out", "{timeout}", "stage_timeouts"),
    _observed("antflow.stage.attempt.given_up", "{attempt}", "stage_give_ups"),
    _observed("antflow.stage.thread.abandoned", "{thread}", "stage_abandoned_threads"),
    _observed("antflow.stage.limit.item.waiting", "{item}", "stage_limit_items_waiting"),
    _observed("antflow.stage.limit.attempt.count", "{attempt}", "stage_limit_attempts_in_use"),
    _observed("antflow.stage.limit.concurrency", "{attempt}", "stage_limit_attempts_allowed"),
    _observed("antflow.stage.limit.pause.count", "{pause}", "stage_limit_paused"),
    _observed("antflow.stage.limit.key.count", "{key}", "stage_limit_keys"),
    _observed(
        "antflow.task.attempt.ended",
        "{attempt}",
        "task_duration_seconds",
        description="Attempts at the task that have ended, with any outcome.",
    ),
    _observed("antflow.task.attempt.retried", "{attempt}", "task_retries"),
    _observed("antflow.task.attempt.failed", "{attempt}", "task_failures"),
)
"""Read from the statistics of the pipelines at each collection."""


def _of_durations(
    name: str, kind: InstrumentKind, description: str, metric: str, attribute: str = ""
) -> InstrumentSpec:
    shown = _METRICS[metric]
    attributes = [ATTRIBUTES[label] for label in shown.labels] + [attribute] * bool(attribute)
    return InstrumentSpec(name, "s", kind, description, tuple(attributes), ((shown, {}),))


ITEM_WAIT = _of_durations(
    "antflow.stage.item.wait",
    "histogram",
    "How long items waited in front of the stage.",
    "stage_queue_wait_seconds",
)
ATTEMPT_DURATION = _of_durations(
    "antflow.task.attempt.duration",
    "histogram",
    "How long attempts at the task took.",
    "task_duration_seconds",
    ERROR,
)
HISTOGRAMS: tuple[InstrumentSpec, ...] = (ITEM_WAIT, ATTEMPT_DURATION)
"""Recorded at each attempt, because OpenTelemetry has no asynchronous histogram."""

QUANTILES: tuple[InstrumentSpec, ...] = (
    _of_durations(
        "antflow.stage.item.wait_quantile",
        "gauge",
        "Quantiles of how long items waited in front of the stage, over the latest minutes.",
        "stage_queue_wait_seconds",
        QUANTILE,
    ),
    _of_durations(
        "antflow.task.attempt.duration_quantile",
        "gauge",
        "Quantiles of how long attempts at the task took, over the latest minutes.",
        "task_duration_seconds",
        QUANTILE,
    ),
)
"""Observed instead of the histograms, if the user chooses quantiles."""
