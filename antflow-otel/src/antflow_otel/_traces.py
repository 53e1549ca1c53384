"""The spans of one run: its own, and of each item one, with its visits and attempts below."""

from __future__ import annotations

from contextvars import Token
from time import time_ns
from typing import Literal

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    Tracer,
    get_current_span,
    set_span_in_context,
)

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
from ._carrier import Carrier, extract, inject
from ._spans import (
    name_steps,
    nanoseconds,
    note_error,
    note_failure,
    plain,
    text_of,
    type_name,
)

Parent = Literal["item", "run"]
"""What a trace is made of."""

FeedContext = Literal["link", "child"]
"""What an item is to the span that it is fed in."""


class ItemTrace:
    """What is open of one item.

    `visit` is the span of the stage that it is at, and `attempt` that of the task; `token` takes
    back the context that the task runs in, and `error` is what the last attempt failed with.
    """

    __slots__ = (
        "attempt",
        "carrier",
        "context",
        "error",
        "is_recording",
        "span",
        "token",
        "visit",
        "visit_context",
        "visited_at",
    )

    def __init__(self, carrier: Carrier, span: Span, context: Context) -> None:
        self.carrier = carrier
        self.span = span
        self.context = self.visit_context = context
        self.is_recording = span.is_recording()
        self.visited_at = 0
        self.visit: Span | None = None
        self.attempt: Span | None = None
        self.token: Token[Context] | None = None
        self.error: BaseException | None = None

    def leave(self, at: int, outcome: str | None = None) -> None:
        """End what is open below the item's own span.

        Args:
            at: Unix time in nanoseconds.
            outcome: what became of the visit, unless it simply succeeded.
        """
        if self.attempt is not None:
            self.attempt.end(at)
            self.attempt = None
        if self.visit is not None:
            if outcome is not None:
                self.visit.set_attribute(OUTCOME, outcome)
            self.visit.end(at)
            self.visit = None

    def end(self, at: int, outcome: str | None = None) -> None:
        """End all that is open.

        Args:
            at: Unix time in nanoseconds.
            outcome: what became of the item, unless it simply succeeded.
        """
        self.leave(at, outcome)
        if self.is_recording:
            if outcome is not None:
                self.span.set_attribute(OUTCOME, outcome)
            self.span.end(at)


class Traces:
    """Makes the spans of one run; takes part in it as an observer.

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
        self._tracer = tracer
        self._start = tracer.start_span
        self._name = plain(pipeline.name)
        self._run_id = plain(pipeline.get_stats().run_id)
        self._steps = name_steps(pipeline.stages)
        self._stages = {stage.name: plain(stage.name) for stage in pipeline.stages}
        self._parent = parent
        self._feed_context = feed_context
        self._live: dict[int, ItemTrace] = {}  # by the id of the carrier, which it keeps
        self._at: dict[str | None, ItemTrace] = {}  # by the name of the worker
        self._opened_in = get_current_span().get_span_context()
        attributes: dict[str, str | int] = {PIPELINE: self._name, RUN: self._run_id}
        if total_items is not None:
            attributes[TOTAL_ITEMS] = total_items
        self._run = self._start(f"run {self._name}", attributes=attributes)
        where = self._run.get_span_context()
        self._run_links = (Link(where),) if where.is_valid else ()

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        """Begin or end the span of an item, and that of its visit to a stage."""
        status = event.status
        if status == "completed":
            trace = self._at.pop(event.worker)
            if trace.is_recording:
                trace.leave(nanoseconds(event.timestamp))
            if event.final:
                self._end(trace, event)
            return
        carrier = event.item.carrier
        found = self._live.get(id(carrier))
        if status == "queued":
            if found is None:
                self._begin(event, carrier, get_current())
        elif status == "in_progress":
            trace = self._begin(event, carrier, Context()) if found is None else found
            trace.visited_at = nanoseconds(event.timestamp)
            self._at[event.worker] = trace
        elif found is not None:
            self._turn_aside(found, event)

    def _begin(self, event: StatusEvent, carrier: Carrier, feeder: Context) -> ItemTrace:
        """Begin the trace of an item that is fed in some context."""
        context, links = self._place(carrier, feeder)
        span = self._start(
            self._name,
            context,
            attributes={
                PIPELINE: self._name,
                RUN: self._run_id,
                ITEM: text_of(event.item_id),
            },
            links=links,
            start_time=nanoseconds(event.timestamp),
        )
        where = span.get_span_context()
        if where.is_valid:
            inject(where, carrier)
        trace = ItemTrace(carrier, span, set_span_in_context(span, context))
        self._live[id(carrier)] = trace
        return trace

    def _place(self, carrier: Carrier, feeder: Context) -> tuple[Context, tuple[Link, ...]]:
        """Return where an item's span belongs, as a context, and what it is linked to.

        An item that was traced before goes on in its trace; that comes before all options.
        """
        links = self._run_links
        active = get_current_span(feeder).get_span_context()
        before = extract(carrier, feeder)
        if before is None and not active.is_valid and self._parent == "item":
            return feeder, links
        is_apart = self._parent == "item" or active != self._opened_in
        if before is None and active.is_valid and self._feed_context == "child" and is_apart:
            return feeder, links
        if active.is_valid and is_apart:
            links = (*links, Link(active))
        if before is not None:
            return before, links
        if self._parent == "run":
            return set_span_in_context(self._run, feeder), links[len(self._run_links) :]
        return set_span_in_context(INVALID_SPAN, feeder), links

    def _turn_aside(self, trace: ItemTrace, event: StatusEvent) -> None:
        """Note that an item did not simply complete a stage."""
        self._at.pop(event.worker, None)
        if event.status == "skipped":
            self._skip(trace, event)
        else:
            outcome = "retried" if event.status == "retrying" else event.status
            trace.leave(nanoseconds(event.timestamp), outcome)
        if event.final:
            self._end(trace, event)

    def _skip(self, trace: ItemTrace, event: StatusEvent) -> None:
        """Make a span of no length, of a visit that was none."""
        if trace.is_recording:
            stage = self._stages[event.stage or ""]
            at = nanoseconds(event.timestamp)
            attributes = {PIPELINE: self._name, STAGE: stage, OUTCOME: event.status}
            span = self._start(stage, trace.context, attributes=attributes, start_time=at)
            span.end(at)

    def _end(self, trace: ItemTrace, event: StatusEvent) -> None:
        """End the trace of an item."""
        del self._live[id(trace.carrier)]
        if not trace.is_recording:
            return
        if event.status == "failed":
            error, told = trace.error, event.metadata
            name = told.get("error_type", "_OTHER") if error is None else type_name(error)
            note_failure(trace.span, name, plain(told.get("error", "")))
        is_success = event.status in {"completed", "skipped"}
        trace.end(nanoseconds(event.timestamp), None if is_success else event.status)

    @hookimpl(tryfirst=True)
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Begin the span of an attempt, and have the task run in it."""
        trace = self._at[event.worker]
        if not trace.is_recording:
            trace.token = attach(trace.context)
            return
        at = nanoseconds(event.timestamp)
        if trace.visit is None:
            self._visit(trace, event)
        name, attributes = self._steps[event.stage, event.task_name]
        attempt = self._start(
            name,
            trace.visit_context,
            attributes={**attributes, ATTEMPT: event.attempt},
            start_time=at,
        )
        trace.attempt = attempt
        trace.token = attach(set_span_in_context(attempt, trace.visit_context))

    def _visit(self, trace: ItemTrace, event: TaskEvent) -> None:
        """Begin the span of a visit, which has begun when the worker took the item."""
        stage = self._stages[event.stage]
        trace.visit = self._start(
            stage,
            trace.context,
            attributes={
                PIPELINE: self._name,
                STAGE: stage,
                WORKER: plain(event.worker),
                QUEUE_WAIT: event.queue_wait,
            },
            start_time=trace.visited_at,
        )
        trace.visit_context = set_span_in_context(trace.visit, trace.context)

    @hookimpl(trylast=True)
    def antflow_task_success(self, event: TaskEvent) -> None:
        """End the span of an attempt that returned."""
        trace = self._at[event.worker]
        if (attempt := _closed(trace)) is not None:
            attempt.end(nanoseconds(event.timestamp))

    @hookimpl(trylast=True)
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """End the span of an attempt that failed and is followed by another."""
        self._fail(event, "retried")

    @hookimpl(trylast=True)
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """End the span of an attempt that failed and was the last."""
        self._at[event.worker].error = event.error
        self._fail(event, "failed")

    @hookimpl(trylast=True)
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """End the span of an attempt that was cancelled, and that of its visit to the stage."""
        trace = self._at.pop(event.worker)
        at = nanoseconds(event.timestamp)
        if (attempt := _closed(trace)) is not None:
            attempt.set_attribute(OUTCOME, "cancelled")
            attempt.end(at)
        trace.leave(at, "cancelled")

    def _fail(self, event: TaskEvent, outcome: str) -> None:
        attempt = _closed(self._at[event.worker])
        if attempt is None:
            return
        attempt.set_attribute(OUTCOME, outcome)
        if event.delay is not None:
            attempt.set_attribute(DELAY, event.delay)
        if event.error is not None:
            note_error(attempt, event.error)
        attempt.end(nanoseconds(event.timestamp))

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        """End the run's span, and whatever is still open."""
        if error_summary.total_failed:
            self._run.set_attribute(FAILED_ITEMS, error_summary.total_failed)
        at = time_ns()
        while self._live:
            self._live.popitem()[1].end(at, "unprocessed")
        self._at.clear()
        self._run.end(at)


def _closed(trace: ItemTrace) -> Span | None:
    """Return the span of an attempt that is over, its context taken back."""
    if trace.token is not None:
        detach(trace.token)
        trace.token = None
    attempt, trace.attempt = trace.attempt, None
    return attempt
