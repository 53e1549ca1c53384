"""antflow runs items through multi-stage asynchronous pipelines."""

from ._version import __version__
from .exceptions import AntFlowError, PipelineError, StageValidationError, TaskFailedError
from .pipeline import Pipeline
from .stage import Stage
from .types import (
    Histogram,
    PipelineResult,
    PipelineStats,
    StageStats,
    TaskFunc,
    TaskStats,
    UnprocessedItem,
    WorkerMetrics,
    WorkerState,
    WorkerStatus,
)

__all__ = [
    "AntFlowError",
    "Histogram",
    "Pipeline",
    "PipelineError",
    "PipelineResult",
    "PipelineStats",
    "Stage",
    "StageStats",
    "StageValidationError",
    "TaskFailedError",
    "TaskFunc",
    "TaskStats",
    "UnprocessedItem",
    "WorkerMetrics",
    "WorkerState",
    "WorkerStatus",
    "__version__",
]
