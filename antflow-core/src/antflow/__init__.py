"""Runs items through multi-stage asynchronous pipelines. Begin with `Stage` and `Pipeline`."""

from ._engine.channels.handle import ItemHandle
from ._version import __version__
from .context import (
    CurrentItem,
    call_rate_has_capacity,
    concurrency_limit,
    current_item,
    current_limits,
    mark_waiting,
    rate_limit,
    set_task_status,
)
from .dashboards import (
    DashboardProtocol,
    DashboardSnapshot,
    WorkerMetrics,
    WorkerState,
    WorkerStatus,
)
from .events import ItemView, StatusEvent, StatusType, TaskEvent, TaskEventType
from .exceptions import (
    AntFlowError,
    AttemptTimeoutError,
    ExecutorShutdownError,
    GiveUp,
    ItemDroppedError,
    ItemsFailedError,
    ItemTimeoutError,
    PipelineError,
    PipelineFullError,
    PluginError,
    PluginWarning,
    RetryAfter,
    StageValidationError,
    TaskFailedError,
    TooManyFailuresError,
)
from .executor import AsyncExecutor, AsyncFuture, WaitStrategy
from .hookspecs import hookimpl
from .items import Item
from .limits import Adaptive, Limit
from .pipeline import Pipeline, PipelineBuilder, ResultStream
from .results import ErrorSummary, FailedItem, PipelineResult, UnprocessedItem
from .retry import Backoff
from .stage import Stage, TaskFunc
from .stats import (
    DURATION_BOUNDS,
    Histogram,
    KeyStats,
    LimitStats,
    PipelineStats,
    StageStats,
    TaskStats,
)
from .tracker import StatusTracker

__all__ = [
    "DURATION_BOUNDS",
    "Adaptive",
    "AntFlowError",
    "AsyncExecutor",
    "AsyncFuture",
    "AttemptTimeoutError",
    "Backoff",
    "CurrentItem",
    "DashboardProtocol",
    "DashboardSnapshot",
    "ErrorSummary",
    "ExecutorShutdownError",
    "FailedItem",
    "GiveUp",
    "Histogram",
    "Item",
    "ItemDroppedError",
    "ItemHandle",
    "ItemTimeoutError",
    "ItemView",
    "ItemsFailedError",
    "KeyStats",
    "Limit",
    "LimitStats",
    "Pipeline",
    "PipelineBuilder",
    "PipelineError",
    "PipelineFullError",
    "PipelineResult",
    "PipelineStats",
    "PluginError",
    "PluginWarning",
    "ResultStream",
    "RetryAfter",
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
    "TooManyFailuresError",
    "UnprocessedItem",
    "WaitStrategy",
    "WorkerMetrics",
    "WorkerState",
    "WorkerStatus",
    "__version__",
    "call_rate_has_capacity",
    "concurrency_limit",
    "current_item",
    "current_limits",
    "hookimpl",
    "mark_waiting",
    "rate_limit",
    "set_task_status",
]
