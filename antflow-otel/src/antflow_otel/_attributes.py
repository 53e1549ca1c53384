"""The names of attributes: those of the semantic conventions, and our own."""

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
