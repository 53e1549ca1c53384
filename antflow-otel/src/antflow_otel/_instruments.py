"""Every metric: its name, its kind, its unit, what it says, and which attributes it has."""

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
class InstrumentSpec:
    """One metric.

    Args:
        name: as OpenTelemetry has it.
        kind: which instrument shows it; all but histograms are read when they are collected.
        unit: in the notation of UCUM.
        description: what it says.
        attributes: names of the attributes of its series; of `error.type`, on some of them.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...]

    @property
    def only_rises(self) -> bool:
        """Whether figures of ended runs stay in the sum."""
        return self.kind == "counter"


RUNS_STARTED = InstrumentSpec(
    "antflow.run.started", "counter", "{run}", "Runs that have begun.", (PIPELINE,)
)
RUNS = InstrumentSpec(
    "antflow.run.count", "up-down counter", "{run}", "Runs that last.", (PIPELINE,)
)
ITEMS_FED = InstrumentSpec(
    "antflow.item.fed",
    "counter",
    "{item}",
    "Items that were accepted, into whichever stage.",
    (PIPELINE,),
)
ITEMS_ENDED = InstrumentSpec(
    "antflow.item.ended",
    "counter",
    "{item}",
    "Items that have ended, by how: each of them in one way.",
    (PIPELINE, OUTCOME),
)
ITEMS = InstrumentSpec(
    "antflow.item.count",
    "up-down counter",
    "{item}",
    "Items accepted that have not ended.",
    (PIPELINE,),
)
PLUGIN_ERRORS = InstrumentSpec(
    "antflow.plugin.errors",
    "counter",
    "{error}",
    "Exceptions that a plugin's hooks raised; they are logged, and the run goes on.",
    (PIPELINE, PLUGIN),
)
STAGE_ENTERED = InstrumentSpec(
    "antflow.stage.item.entered",
    "counter",
    "{item}",
    "Items that entered the stage, from outside or from the stage before.",
    _STAGE,
)
STAGE_LEFT = InstrumentSpec(
    "antflow.stage.item.left",
    "counter",
    "{item}",
    "Items that left the stage, by how: each of them in one way.",
    (*_STAGE, OUTCOME, ERROR),
)
STAGE_ITEMS = InstrumentSpec(
    "antflow.stage.item.count",
    "up-down counter",
    "{item}",
    "Items in the stage: pending ones wait in front of it, its workers hold those in progress. "
    "Those parked for a retry are neither.",
    (*_STAGE, ITEM_STATE),
)
STAGE_CAPACITY = InstrumentSpec(
    "antflow.stage.capacity",
    "up-down counter",
    "{item}",
    "Items that may wait in front of the stage; not shown if without bound.",
    _STAGE,
)
WORKERS = InstrumentSpec(
    "antflow.stage.worker.count",
    "up-down counter",
    "{worker}",
    "Workers by what they do: idle has no item, busy works, waiting waits for a retry that is "
    "due later or for a limit, blocked waits for room downstream.",
    (*_STAGE, WORKER_STATE),
)
WORKER_TIME = InstrumentSpec(
    "antflow.stage.worker.time",
    "counter",
    "s",
    "Time that the workers have spent in each state.",
    (*_STAGE, WORKER_STATE),
)
THREADS = InstrumentSpec(
    "antflow.stage.thread.abandoned",
    "up-down counter",
    "{thread}",
    "Threads that still run a function whose attempt was cancelled, or still read an input when "
    "reading has stopped.",
    _STAGE,
)
ATTEMPTS_ENDED = InstrumentSpec(
    "antflow.task.attempt.ended",
    "counter",
    "{attempt}",
    "Attempts at the task that have ended, however that was.",
    _TASK,
)
ATTEMPTS_RETRIED = InstrumentSpec(
    "antflow.task.attempt.retried",
    "counter",
    "{attempt}",
    "Attempts at the task that failed and for which another was due.",
    _TASK,
)
ATTEMPTS_FAILED = InstrumentSpec(
    "antflow.task.attempt.failed",
    "counter",
    "{attempt}",
    "Attempts at the task that failed and were the last.",
    _TASK,
)

OBSERVED: tuple[InstrumentSpec, ...] = (
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
"""Read from the engine's own figures, when they are collected."""

ITEM_WAIT = InstrumentSpec(
    "antflow.stage.item.wait",
    "histogram",
    "s",
    "How long items waited in front of the stage.",
    _STAGE,
)
ATTEMPT_DURATION = InstrumentSpec(
    "antflow.task.attempt.duration",
    "histogram",
    "s",
    "How long attempts at the task took.",
    (*_TASK, ERROR),
)
HISTOGRAMS: tuple[InstrumentSpec, ...] = (ITEM_WAIT, ATTEMPT_DURATION)
"""Recorded at each attempt, because OpenTelemetry has no histogram that is read."""

ITEM_WAIT_QUANTILE = InstrumentSpec(
    "antflow.stage.item.wait_quantile",
    "gauge",
    "s",
    "Quantiles of how long items waited in front of the stage, over the latest minutes.",
    (*_STAGE, QUANTILE),
)
ATTEMPT_DURATION_QUANTILE = InstrumentSpec(
    "antflow.task.attempt.duration_quantile",
    "gauge",
    "s",
    "Quantiles of how long attempts at the task took, over the latest minutes.",
    (*_TASK, QUANTILE),
)
QUANTILES: tuple[InstrumentSpec, ...] = (ITEM_WAIT_QUANTILE, ATTEMPT_DURATION_QUANTILE)
"""Read, where they are asked for, instead of the histograms."""
