"""Recording how long items waited and attempts took, where that is watched one by one."""

from __future__ import annotations

from opentelemetry.metrics import Histogram

from antflow import Pipeline, TaskEvent, hookimpl

from ._attributes import ERROR, PIPELINE, STAGE, TASK
from ._metrics_names import Names
from ._metrics_reading import error_type

Attributes = dict[str, str]


class _Task:
    """One task of one stage, and the attributes of what is recorded of it.

    Args:
        own: of its attempts.
        entered: for the task that a stage begins with, those of the stage.
        always: whether each attempt at it is a new start of the stage, not only the first.
    """

    def __init__(self, own: Attributes, entered: Attributes | None, *, always: bool) -> None:
        self.own = own
        self.entered = entered
        self.always = always
        self.failed: dict[str, Attributes] = {}


class Recorder:
    """Records the attempts of one run, each as it ends and while its span is the current one.

    Args:
        pipeline: whose run it is.
        names: what all is called.
        waits: takes the seconds that items waited in front of a stage.
        durations: takes the seconds that attempts took.
    """

    def __init__(
        self, pipeline: Pipeline, names: Names, waits: Histogram, durations: Histogram
    ) -> None:
        self._names = names
        self._waits = waits
        self._durations = durations
        self._tasks: dict[tuple[str, str], _Task] = {}
        label = names.of(pipeline.name, PIPELINE)
        stats = pipeline.get_stats().stage_stats
        for stage in pipeline.stages:
            called = names.of(stage.name, STAGE, label)
            place = {PIPELINE: label, STAGE: called}
            entered: Attributes | None = place
            for name in stats[stage.name].tasks:
                own = {**place, TASK: names.of(name, TASK, label, called)}
                always = stage.retry == "per_stage"
                self._tasks[stage.name, name] = _Task(own, entered, always=always)
                entered = None

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Record an attempt that returned."""
        self._record(event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """Record an attempt that failed and that another follows."""
        self._record(event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """Record an attempt that failed for good."""
        self._record(event)

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """Record an attempt that was cancelled."""
        self._record(event)

    def _record(self, event: TaskEvent) -> None:
        task = self._tasks[event.stage, event.task_name]
        if task.entered is not None and (task.always or event.attempt == 1):
            self._waits.record(event.queue_wait, task.entered)
        if event.duration is not None:
            self._durations.record(event.duration, self._attributes(task, event.error))

    def _attributes(self, task: _Task, error: BaseException | None) -> Attributes:
        if error is None:
            return task.own
        name = error_type(self._names, type(error).__name__, task.own[PIPELINE], task.own[STAGE])
        known = task.failed.get(name)
        if known is None:
            known = task.failed[name] = {**task.own, ERROR: name}
        return known
