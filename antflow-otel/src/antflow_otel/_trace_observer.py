"""Makes the spans of one run: one for the run and each item, below it its visits and attempts."""

from __future__ import annotations

from asyncio import current_task
from contextlib import ExitStack
from time import time_ns

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, Tracer, get_current_span, set_span_in_context

from antflow import ErrorSummary, Pipeline, StatusEvent, TaskEvent, hookimpl

from ._attributes import (
    ATTEMPT,
    DELAY,
    FAILED_ITEMS,
    ITEM,
    OUTCOME,
    PIPELINE,
    QUEUE_WAIT,
    RUN,
    STAGE,
    TOTAL_ITEMS,
    WORKER,
)
from ._item_trace import ItemTrace, StageTrace, UnsampledItem
from ._parents import FeedContext, ParentResolver, TraceUnit, inject
from ._spans import (
    describe_attempts,
    record_exception,
    record_limit_wait,
    replace_surrogates,
    safe_str,
    set_error,
    to_nanoseconds,
    type_name,
)

INTERNAL = SpanKind.INTERNAL
SUCCESSES = frozenset({"completed", "skipped"})


class TraceObserver:
    """Makes the spans of one run, as an observer of the run.

    Create it in the context that the run copies for its workers: it attaches the run's span there,
    so that spans of callbacks do not end up in the trace of the run's caller.

    Args:
        tracer: makes the spans.
        total_items: the number of items; None if it is unknown.
        unit: whether each item is a trace of its own, or the run as a whole.
        feed_context: whether an item's span links to the span that is current when the item is
            fed, or is its child.
    """

    def __init__(
        self,
        tracer: Tracer,
        pipeline: Pipeline,
        total_items: int | None,
        unit: TraceUnit,
        feed_context: FeedContext,
    ) -> None:
        self._start_span = tracer.start_span
        self._name = replace_surrogates(pipeline.name)
        self._run_id = replace_surrogates(pipeline.run_id)
        self._attempts = describe_attempts(pipeline.stages)
        self._stages = {stage.name: StageTrace(stage) for stage in pipeline.stages}
        self._parents = ParentResolver(unit, feed_context)
        # By the id of the item's carrier, which is the same object for as long as the run has it.
        self._open_items: dict[int, ItemTrace | UnsampledItem] = {}
        self._by_worker: dict[str, ItemTrace | UnsampledItem] = {}  # items in an attempt
        attributes: dict[str, str | int] = {PIPELINE: self._name, RUN: self._run_id}
        if total_items is not None:
            attributes[TOTAL_ITEMS] = total_items
        self._run_span = self._start_span(f"run {self._name}", attributes=attributes)
        self._parents.set_run_span(self._run_span, current_task())
        attach(set_span_in_context(self._run_span))

    # `antflow_item_status` is not among the hooks: two events an item and two an attempt are all
    # that tracing costs.

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        """Start the span of an item, in the context in which the item is fed."""
        carrier = event.item.carrier
        parent, links = self._parents.resolve(carrier)
        attributes = {PIPELINE: self._name, RUN: self._run_id, ITEM: safe_str(event.item_id)}
        at = to_nanoseconds(event.timestamp)
        span = self._start_span(self._name, parent, INTERNAL, attributes, links, at)
        context = set_span_in_context(span, parent)
        if span.is_recording():
            inject(span.get_span_context(), carrier)
            self._open_items[id(carrier)] = ItemTrace(span, context)
        else:
            self._open_items[id(carrier)] = UnsampledItem(context)

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        """End the span of an item, and the open spans below it."""
        carrier = event.item.carrier
        trace = self._open_items.pop(id(carrier), None)
        if trace is None:
            return
        if isinstance(trace, UnsampledItem):
            # Only an unprocessed item may be fed again, and needs its trace context then.
            if event.status == "unprocessed":
                inject(get_current_span(trace.context).get_span_context(), carrier)
            return
        if event.status == "failed":
            error, metadata = trace.error, event.metadata
            name = metadata.get("error_type", "_OTHER") if error is None else type_name(error)
            set_error(trace.span, name, replace_surrogates(metadata.get("error", "")))
        is_success = event.status in SUCCESSES
        trace.end(to_nanoseconds(event.timestamp), None if is_success else event.status)

    # The start of an attempt comes before other plugins' hooks, and its end after them, so that
    # what they log belongs to the attempt. Both are called in one context, which attach and detach
    # need.

    @hookimpl(tryfirst=True)
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Start the span of an attempt, and attach its context."""
        trace = self._open_items.get(id(event.item.carrier))
        if trace is None:
            return
        if isinstance(trace, ItemTrace):
            trace.token = attach(self._start_attempt(trace, event))
        else:
            trace.token = attach(trace.context)
        self._by_worker[event.worker] = trace

    def _start_attempt(self, trace: ItemTrace, event: TaskEvent) -> Context:
        """Start the span of an attempt, and of the visit before its first; return its context."""
        at = to_nanoseconds(event.timestamp)
        if trace.visit is not None and trace.stage != event.stage:
            trace.end_visit(at)  # its end was missed, since a sampler raised, for example
        # The item holds its limits for all tasks of the stage, and takes them again for a retry.
        is_task_retried = event.attempt > 1 and not self._stages[event.stage].is_retried
        has_just_taken_limits = trace.visit is None or is_task_retried
        # A visit starts with its first attempt, and ends with an attempt, so it needs no event.
        if trace.visit is None:
            self._start_visit(trace, event, at)
        context = trace.visit_context
        name, of_task = self._attempts[event.stage, event.task_name]
        attributes: dict[str, str | int] = {**of_task, ATTEMPT: event.attempt}
        trace.attempt = self._start_span(name, context, INTERNAL, attributes, (), at)
        if has_just_taken_limits:
            record_limit_wait(trace.attempt, event)
        return set_span_in_context(trace.attempt, context)

    def _start_visit(self, trace: ItemTrace, event: TaskEvent, at: int) -> None:
        stage = self._stages[event.stage]
        attributes: dict[str, str | float] = {
            PIPELINE: self._name,
            STAGE: stage.name,
            WORKER: replace_surrogates(event.worker),
            QUEUE_WAIT: event.queue_wait,
        }
        trace.stage, trace.remaining_tasks = event.stage, stage.tasks
        trace.visit = self._start_span(stage.name, trace.context, INTERNAL, attributes, (), at)
        trace.visit_context = set_span_in_context(trace.visit, trace.context)

    @hookimpl(trylast=True)
    def antflow_task_success(self, event: TaskEvent) -> None:
        """End the span of an attempt that succeeded, and of the visit after its last task."""
        trace = self._detach(event)
        if trace is not None:
            trace.end_attempt(to_nanoseconds(event.timestamp))

    @hookimpl(trylast=True)
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """End the span of an attempt that failed and is retried."""
        trace = self._detach(event)
        if trace is None:
            return
        self._end_failed_attempt(trace, event, "retried")
        # A retry of the whole stage is a new visit; a retry of one task is not.
        if self._stages[event.stage].is_retried:
            trace.end_visit(to_nanoseconds(event.timestamp), "retried")

    @hookimpl(trylast=True)
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """End the spans of an attempt that failed and is not retried, and of its visit."""
        trace = self._detach(event)
        if trace is not None:
            trace.error = event.error
            self._end_failed_attempt(trace, event, "failed")
            trace.end_visit(to_nanoseconds(event.timestamp), "failed")

    @hookimpl(trylast=True)
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """End the spans of an attempt that was cancelled, and of its visit."""
        trace = self._detach(event)
        if trace is not None:
            trace.end_visit(to_nanoseconds(event.timestamp), "cancelled")

    def _detach(self, event: TaskEvent) -> ItemTrace | None:
        """Detach the context of an attempt that has ended; return its item if it is sampled."""
        trace = self._by_worker.pop(event.worker, None)
        if trace is None:
            return None
        if trace.token is not None:
            detach(trace.token)
            trace.token = None
        return trace if isinstance(trace, ItemTrace) else None

    def _end_failed_attempt(self, trace: ItemTrace, event: TaskEvent, outcome: str) -> None:
        attempt, trace.attempt = trace.attempt, None
        if attempt is None:
            return
        attempt.set_attribute(OUTCOME, outcome)
        if event.delay is not None:
            attempt.set_attribute(DELAY, float(event.delay))
        try:
            if event.error is not None:
                record_exception(attempt, event.error)
        finally:
            attempt.end(to_nanoseconds(event.timestamp))

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        """End the run's span, and all spans that are still open."""
        if error_summary.total_failed:
            self._run_span.set_attribute(FAILED_ITEMS, error_summary.total_failed)
        at = time_ns()
        # The stack ends all spans even if one raises; the run's span ends last.
        with ExitStack() as ending:
            ending.callback(self._run_span.end, at)
            for trace in self._open_items.values():
                if isinstance(trace, ItemTrace):
                    ending.callback(trace.end, at, "unprocessed")
            self._open_items.clear()
