"""The names of attributes: those of the semantic conventions, and our own.

| name | is | of spans | of metrics |
|---|---|---|---|
| `antflow.pipeline.name` | string | of runs, items and stages | of all |
| `antflow.run.id` | string, unique in the process | of runs and items | |
| `antflow.run.total_items` | int; absent where it is unknown | of runs | |
| `antflow.run.failed_items` | int; absent where it is 0 | of runs | |
| `antflow.item.id` | string | of items | |
| `antflow.item.state` | string: pending, in_progress, parked | | of items in a stage |
| `antflow.stage.name` | string | of stages and attempts | of stages and tasks |
| `antflow.stage.queue_wait` | double, in seconds | of stages | |
| `antflow.worker.name` | string | of stages | |
| `antflow.worker.state` | string: idle, busy, waiting, blocked | | of workers |
| `antflow.task.name` | string | of attempts | of tasks |
| `antflow.attempt.number` | int, from 1 | of attempts | |
| `antflow.attempt.delay` | double, in seconds | of attempts that another follows | |
| `antflow.limit.name` | string | of events of attempts | of limits |
| `antflow.limit.wait_duration` | double, in seconds | of events of attempts | |
| `antflow.outcome` | string | of all that did not simply succeed | of items |
| `antflow.plugin.name` | string | | of plugin errors |
| `antflow.quantile` | string | | of quantiles |
| `code.function.name` | string | of attempts | |
| `error.type` | string | of failed attempts and items | of failures |
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "antflow_otel"
"""The instrumentation scope of all spans and metrics of this package."""

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.33.0"
"""The semantic conventions behind the names without `antflow.`."""

PIPELINE: Final = "antflow.pipeline.name"
RUN: Final = "antflow.run.id"
TOTAL_ITEMS: Final = "antflow.run.total_items"
FAILED_ITEMS: Final = "antflow.run.failed_items"
ITEM: Final = "antflow.item.id"
ITEM_STATE: Final = "antflow.item.state"
STAGE: Final = "antflow.stage.name"
QUEUE_WAIT: Final = "antflow.stage.queue_wait"
WORKER: Final = "antflow.worker.name"
WORKER_STATE: Final = "antflow.worker.state"
TASK: Final = "antflow.task.name"
ATTEMPT: Final = "antflow.attempt.number"
DELAY: Final = "antflow.attempt.delay"
LIMIT: Final = "antflow.limit.name"
LIMIT_WAIT: Final = "antflow.limit.wait_duration"
OUTCOME: Final = "antflow.outcome"
PLUGIN: Final = "antflow.plugin.name"
QUANTILE: Final = "antflow.quantile"

FUNCTION: Final = "code.function.name"
ERROR: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
