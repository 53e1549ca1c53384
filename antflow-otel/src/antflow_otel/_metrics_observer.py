"""Records the waits and durations of each attempt of a run."""

from __future__ import annotations

from opentelemetry.metrics import Histogram

from antflow import Pipeline, TaskEvent, hookimpl
from antflow.exporting import LabelLimiter

from ._attributes import ERROR, PIPELINE, STAGE, TASK
from ._metric_specs import Attributes, error_type


class _TaskAttributes:
    """The attributes of the records of one task.

    Args:
        attempt: the attributes of its attempts.
        wait: for the first task of a stage, the attributes of items' waits; None for others.
        always_waits: whether each attempt follows a wait in front of the stage, not only the first.
    """

    def __init__(self, attempt: Attributes, wait: Attributes | None, *, always_waits: bool) -> None:
        self.attempt = attempt
        self.wait = wait
        self.always_waits = always_waits
        self.failed: dict[str, Attributes] = {}


class MetricsObserver:
    """Records the attempts of one run, each as it ends and while its span is the current one.

    Args:
        limiter: gives the labels.
        waits: takes the seconds that items waited in front of a stage.
        durations: takes the seconds that attempts took.
    """

    def __init__(
        self, pipeline: Pipeline, limiter: LabelLimiter, waits: Histogram, durations: Histogram
    ) -> None:
        self._limiter = limiter
        self._waits = waits
        self._durations = durations
        # Attributes are made once for each task: `_record` runs for every attempt.
        self._tasks: dict[tuple[str, str], _TaskAttributes] = {}
        (pipeline_label,) = limiter.limit("pipeline", pipeline.name)
        stats = pipeline.get_stats().stage_stats
        for stage in pipeline.stages:
            labels = limiter.limit("stage", stage.name, pipeline_label)
            of_stage = {PIPELINE: pipeline_label, STAGE: labels[1]}
            wait: Attributes | None = of_stage
            # A stage that is retried as a whole waits in front of itself before each attempt.
            always_waits = stage.retry == "per_stage"
            for name in stats[stage.name].tasks:
                attempt = {**of_stage, TASK: limiter.limit("task", name, *labels)[2]}
                self._tasks[stage.name, name] = _TaskAttributes(
                    attempt, wait, always_waits=always_waits
                )
                wait = None

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Record an attempt that succeeded."""
        self._record(event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """Record an attempt that failed and is retried."""
        self._record(event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """Record an attempt that failed and is not retried."""
        self._record(event)

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """Record an attempt that was cancelled."""
        self._record(event)

    def _record(self, event: TaskEvent) -> None:
        task = self._tasks[event.stage, event.task_name]
        if task.wait is not None and (task.always_waits or event.attempt == 1):
            self._waits.record(event.queue_wait, task.wait)
        if event.duration is not None:
            self._durations.record(event.duration, self._attributes(task, event.error))

    def _attributes(self, task: _TaskAttributes, error: BaseException | None) -> Attributes:
        if error is None:
            return task.attempt
        labels = task.attempt[PIPELINE], task.attempt[STAGE]
        name = error_type(self._limiter.limit("error_type", type(error).__name__, *labels)[2])
        known = task.failed.get(name)
        if known is None:
            known = task.failed[name] = {**task.attempt, ERROR: name}
        return known
