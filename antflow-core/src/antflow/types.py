"""All data types of antflow in one module, for annotations, and the executor.

Each is defined in the module of its subject.
"""

from .dashboards import DashboardProtocol as DashboardProtocol
from .dashboards import DashboardSnapshot as DashboardSnapshot
from .dashboards import WorkerMetrics as WorkerMetrics
from .dashboards import WorkerState as WorkerState
from .dashboards import WorkerStatus as WorkerStatus
from .events import ItemView as ItemView
from .events import StatusEvent as StatusEvent
from .events import StatusType as StatusType
from .events import TaskEvent as TaskEvent
from .events import TaskEventType as TaskEventType
from .exceptions import ExecutorShutdownError as ExecutorShutdownError
from .executor import AsyncExecutor as AsyncExecutor
from .executor import AsyncFuture as AsyncFuture
from .executor import WaitStrategy as WaitStrategy
from .items import Item as Item
from .results import ErrorSummary as ErrorSummary
from .results import FailedItem as FailedItem
from .results import ItemOutcome as ItemOutcome
from .results import PipelineResult as PipelineResult
from .results import UnprocessedItem as UnprocessedItem
from .stage import TaskFunc as TaskFunc
from .stats import DURATION_BOUNDS as DURATION_BOUNDS
from .stats import ActivityState as ActivityState
from .stats import Histogram as Histogram
from .stats import KeyStats as KeyStats
from .stats import LimitStats as LimitStats
from .stats import PipelineStats as PipelineStats
from .stats import StageStats as StageStats
from .stats import TaskStats as TaskStats
from .stats import find_bottleneck as find_bottleneck
