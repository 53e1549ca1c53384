"""Runs items through multi-stage asynchronous pipelines. Begin with `Stage` and `Pipeline`."""

from ._version import __version__
from .context import (
    CurrentItem,
    call_rate_has_capacity,
    concurrency_limit,
    current_item,
    rate_limit,
    set_task_status,
)
from .exceptions import (
    AntFlowError,
    PipelineError,
    PluginError,
    PluginWarning,
    StageValidationError,
    TaskFailedError,
)
from .hookspecs import hookimpl
from .items import Item
from .pipeline import Pipeline, PipelineBuilder
from .stage import Stage
from .tracker import StatusTracker
from .types import (
    DURATION_BOUNDS,
    DashboardProtocol,
    DashboardSnapshot,
    ErrorSummary,
    FailedItem,
    Histogram,
    ItemView,
    PipelineResult,
    PipelineStats,
    StageStats,
    StatusEvent,
    StatusType,
    TaskEvent,
    TaskEventType,
    TaskFunc,
    TaskStats,
    UnprocessedItem,
    WorkerMetrics,
    WorkerState,
    WorkerStatus,
)

__all__ = [
    "DURATION_BOUNDS",
    "AntFlowError",
    "CurrentItem",
    "DashboardProtocol",
    "DashboardSnapshot",
    "ErrorSummary",
    "FailedItem",
    "Histogram",
    "Item",
    "ItemView",
    "Pipeline",
    "PipelineBuilder",
    "PipelineError",
    "PipelineResult",
    "PipelineStats",
    "PluginError",
    "PluginWarning",
    "Stage",
    "StageStats",
    "StageValidationError",
    "StatusEvent",
    "StatusTracker",
    "StatusType",
    "TaskEvent",
    "TaskEventType",
    "TaskFailedError",
    "TaskFunc",
    "TaskStats",
    "UnprocessedItem",
    "WorkerMetrics",
    "WorkerState",
    "WorkerStatus",
    "__version__",
    "call_rate_has_capacity",
    "concurrency_limit",
    "current_item",
    "hookimpl",
    "rate_limit",
    "set_task_status",
]
