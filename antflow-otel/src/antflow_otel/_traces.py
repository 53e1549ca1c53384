"""The spans of one run: its own, and of each item one, with its visits and attempts below."""

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
from ._carrier import inject
from ._places import FeedContext, Parent, Places
from ._records import ItemTrace, StageTrace, Unsampled
from ._spans import name_steps, nanoseconds, note_error, note_failure, plain, text_of, type_name

INTERNAL = SpanKind.INTERNAL
SUCCESSES = frozenset({"completed", "skipped"})


class Traces:
    """Makes the spans of one run; takes part in it as an observer.

    It is made in the context that the run copies for its workers, and leaves the run's span
    current there, so that what callbacks make does not end up in the trace of who began the run.

    Args:
        tracer: makes them.
        pipeline: whose run it is.
        total_items: how many items there are; None where that is unknown.
        parent: whether each item is a trace of its own, or the run as a whole.
        feed_context: whether an item is linked to the span that it is fed in, or is its child.
    """

    def __init__(
        self,
        tracer: Tracer,
        pipeline: Pipeline,
        total_items: int | None,
        parent: Parent,
        feed_context: FeedContext,
    ) -> None:
        self._start = tracer.start_span
        self._name = plain(pipeline.name)
        self._run_id = plain(pipeline.get_stats().run_id)
        self._steps = name_steps(pipeline.stages)
        self._stages = {stage.name: StageTrace(stage) for stage in pipeline.stages}
        self._places = Places(parent, feed_context)
        self._live: dict[int, ItemTrace | Unsampled] = {}  # by the id of the item's carrier
        self._at: dict[str, ItemTrace | Unsampled] = {}  # in a task, by the name of the worker
        attributes: dict[str, str | int] = {PIPELINE: self._name, RUN: self._run_id}
        if total_items is not None:
            attributes[TOTAL_ITEMS] = total_items
        self._run = self._start(f"run {self._name}", attributes=attributes)
        self._places.know(self._run, current_task())
        attach(set_span_in_context(self._run))

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        """Begin the span of an item, where it belongs by the context of who feeds it."""
        carrier = event.item.carrier
        context, links = self._places.of(carrier)
        of_item = {PIPELINE: self._name, RUN: self._run_id, ITEM: text_of(event.item_id)}
        at = nanoseconds(event.timestamp)
        span = self._start(self._name, context, INTERNAL, of_item, links, at)
        within = set_span_in_context(span, context)
        if span.is_recording():
            inject(span.get_span_context(), carrier)
            self._live[id(carrier)] = ItemTrace(span, within)
        else:
            self._live[id(carrier)] = Unsampled(within)

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        """End the span of an item, and whatever is open below it."""
        carrier = event.item.carrier
        trace = self._live.pop(id(carrier), None)
        if trace is None:
            return
        if isinstance(trace, Unsampled):
            if event.status == "unprocessed":
                inject(get_current_span(trace.context).get_span_context(), carrier)
            return
        if event.status == "failed":
            error, told = trace.error, event.metadata
            name = told.get("error_type", "_OTHER") if error is None else type_name(error)
            note_failure(trace.span, name, plain(told.get("error", "")))
        is_success = event.status in SUCCESSES
        trace.end(nanoseconds(event.timestamp), None if is_success else event.status)

    @hookimpl(tryfirst=True)
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Begin the span of an attempt, and have the task run in it."""
        trace = self._live.get(id(event.item.carrier))
        if trace is None:
            return
        context = self._attempt(trace, event) if isinstance(trace, ItemTrace) else trace.context
        trace.token = attach(context)
        self._at[event.worker] = trace

    def _attempt(self, trace: ItemTrace, event: TaskEvent) -> Context:
        """Begin the span of an attempt, and of a visit with the first; return its context."""
        at = nanoseconds(event.timestamp)
        if trace.visit is not None and trace.stage != event.stage:
            trace.leave(at)  # a visit whose end was missed, since a sampler raised, or the like
        if trace.visit is None:
            self._visit(trace, event, at)
        context = trace.visit_context
        name, of_task = self._steps[event.stage, event.task_name]
        of_attempt: dict[str, str | int] = {**of_task, ATTEMPT: event.attempt}
        trace.attempt = self._start(name, context, INTERNAL, of_attempt, (), at)
        return set_span_in_context(trace.attempt, context)

    def _visit(self, trace: ItemTrace, event: TaskEvent, at: int) -> None:
        """Begin the span of a visit to a stage."""
        stage = self._stages[event.stage]
        of_visit: dict[str, str | float] = {
            PIPELINE: self._name,
            STAGE: stage.name,
            WORKER: plain(event.worker),
            QUEUE_WAIT: event.queue_wait,
        }
        trace.stage, trace.left = event.stage, stage.tasks
        trace.visit = self._start(stage.name, trace.context, INTERNAL, of_visit, (), at)
        trace.visit_context = set_span_in_context(trace.visit, trace.context)

    @hookimpl(trylast=True)
    def antflow_task_success(self, event: TaskEvent) -> None:
        """End the span of an attempt that returned, and that of the visit with its last task."""
        trace = self._out_of(event)
        if trace is not None:
            trace.succeed(nanoseconds(event.timestamp))

    @hookimpl(trylast=True)
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """End the span of an attempt that failed and is followed by another."""
        trace = self._out_of(event)
        if trace is None:
            return
        self._fail(trace, event, "retried")
        if self._stages[event.stage].is_retried:
            trace.leave(nanoseconds(event.timestamp), "retried")

    @hookimpl(trylast=True)
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """End the span of an attempt that failed and was the last, and that of the visit."""
        trace = self._out_of(event)
        if trace is not None:
            trace.error = event.error
            self._fail(trace, event, "failed")
            trace.leave(nanoseconds(event.timestamp), "failed")

    @hookimpl(trylast=True)
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """End the span of an attempt that was cancelled, and that of the visit."""
        trace = self._out_of(event)
        if trace is not None:
            trace.leave(nanoseconds(event.timestamp), "cancelled")

    def _out_of(self, event: TaskEvent) -> ItemTrace | None:
        """Take back the context of an attempt that is over; return its item if that is recorded."""
        trace = self._at.pop(event.worker, None)
        if trace is None:
            return None
        if trace.token is not None:
            detach(trace.token)
            trace.token = None
        return trace if isinstance(trace, ItemTrace) else None

    def _fail(self, trace: ItemTrace, event: TaskEvent, outcome: str) -> None:
        attempt, trace.attempt = trace.attempt, None
        if attempt is None:
            return
        attempt.set_attribute(OUTCOME, outcome)
        if event.delay is not None:
            attempt.set_attribute(DELAY, event.delay)
        try:
            if event.error is not None:
                note_error(attempt, event.error)
        finally:
            attempt.end(nanoseconds(event.timestamp))

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        """End the run's span, and whatever is still open."""
        if error_summary.total_failed:
            self._run.set_attribute(FAILED_ITEMS, error_summary.total_failed)
        at = time_ns()
        with ExitStack() as ending:
            ending.callback(self._run.end, at)
            for trace in self._live.values():
                if isinstance(trace, ItemTrace):
                    ending.callback(trace.end, at, "unprocessed")
            self._live.clear()
