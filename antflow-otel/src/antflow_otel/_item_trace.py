"""Holds the open spans of each item, and the context in which its tasks run."""

from __future__ import annotations

from contextvars import Token

from opentelemetry.context import Context
from opentelemetry.trace import Span

from antflow import Stage

from ._attributes import OUTCOME
from ._spans import replace_surrogates


class UnsampledItem:
    """An item without recorded spans.

    Its tasks run in its context all the same, so that their own spans are not sampled either.
    """

    __slots__ = ("context", "token")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.token: Token[Context] | None = None


class ItemTrace:
    """The open spans of one item.

    `visit` is the span of the item's way through `stage`, of which `remaining_tasks` have not
    succeeded yet; `attempt` is the span of the current attempt. `token` detaches the attempt's
    context, and `error` is the exception of the last attempt. Ending a span may raise, because a
    span processor does; the other spans end all the same.
    """

    # Slots, since each item of the run has one.
    __slots__ = (
        "attempt",
        "context",
        "error",
        "remaining_tasks",
        "span",
        "stage",
        "token",
        "visit",
        "visit_context",
    )

    def __init__(self, span: Span, context: Context) -> None:
        self.span = span
        self.context = self.visit_context = context
        self.remaining_tasks = 0
        self.stage = ""
        self.visit: Span | None = None
        self.attempt: Span | None = None
        self.token: Token[Context] | None = None
        self.error: BaseException | None = None

    def end_attempt(self, at: int) -> None:
        """End the span of an attempt that succeeded, and of the visit after its last task.

        Args:
            at: Unix time in nanoseconds.
        """
        attempt, self.attempt = self.attempt, None
        self.remaining_tasks -= 1
        try:
            if attempt is not None:
                attempt.end(at)
        finally:
            if not self.remaining_tasks and self.visit is not None:
                visit, self.visit = self.visit, None
                visit.end(at)

    def end_visit(self, at: int, outcome: str | None = None) -> None:
        """End the open spans below the item's own.

        Args:
            at: Unix time in nanoseconds.
            outcome: the outcome of the visit, unless it succeeded.
        """
        attempt, visit = self.attempt, self.visit
        self.attempt = self.visit = None
        try:
            _end(attempt, at, outcome)
        finally:
            _end(visit, at, outcome)

    def end(self, at: int, outcome: str | None = None) -> None:
        """End all open spans.

        Args:
            at: Unix time in nanoseconds.
            outcome: the outcome of the item, unless it succeeded.
        """
        try:
            self.end_visit(at, outcome)
        finally:
            _end(self.span, at, outcome)


def _end(span: Span | None, at: int, outcome: str | None) -> None:
    if span is not None:
        if outcome is not None:
            span.set_attribute(OUTCOME, outcome)
        span.end(at)


class StageTrace:
    """What the spans of a stage have in common."""

    __slots__ = ("is_retried", "name", "tasks")

    def __init__(self, stage: Stage) -> None:
        self.name = replace_surrogates(stage.name)
        self.tasks = len(stage.tasks)
        self.is_retried = stage.retry == "per_stage"
