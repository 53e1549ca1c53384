"""What is open of each item: its spans, and the context that its tasks run in."""

from __future__ import annotations

from contextvars import Token

from opentelemetry.context import Context
from opentelemetry.trace import Span

from antflow import Stage

from ._attributes import OUTCOME
from ._spans import plain


class Unsampled:
    """An item of which nothing is recorded; its tasks run in its context all the same.

    So what they make is not sampled either. `token` takes the context back. The carrier is told
    only when the item leaves the run unprocessed, to be fed again.
    """

    __slots__ = ("context", "token")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.token: Token[Context] | None = None


class ItemTrace:
    """What is open of one item.

    `visit` is the span of `stage`, where the item is and `left` tasks are still to succeed, and
    `attempt` that of the task. `token` takes back the context that the task runs in, and `error` is
    what the last attempt failed with. A span that raises at its end, since a processor of spans
    does, leaves no other open.
    """

    __slots__ = (
        "attempt",
        "context",
        "error",
        "left",
        "span",
        "stage",
        "token",
        "visit",
        "visit_context",
    )

    def __init__(self, span: Span, context: Context) -> None:
        self.span = span
        self.context = self.visit_context = context
        self.left = 0
        self.stage = ""
        self.visit: Span | None = None
        self.attempt: Span | None = None
        self.token: Token[Context] | None = None
        self.error: BaseException | None = None

    def succeed(self, at: int) -> None:
        """End the span of an attempt that returned, and that of the visit with its last task.

        Args:
            at: Unix time in nanoseconds.
        """
        attempt, self.attempt = self.attempt, None
        self.left -= 1
        try:
            if attempt is not None:
                attempt.end(at)
        finally:
            if not self.left and self.visit is not None:
                visit, self.visit = self.visit, None
                visit.end(at)

    def leave(self, at: int, outcome: str | None = None) -> None:
        """End what is open below the item's own span.

        Args:
            at: Unix time in nanoseconds.
            outcome: what became of the visit, unless it simply succeeded.
        """
        attempt, visit = self.attempt, self.visit
        self.attempt = self.visit = None
        try:
            _end(attempt, at, outcome)
        finally:
            _end(visit, at, outcome)

    def end(self, at: int, outcome: str | None = None) -> None:
        """End all that is open.

        Args:
            at: Unix time in nanoseconds.
            outcome: what became of the item, unless it simply succeeded.
        """
        try:
            self.leave(at, outcome)
        finally:
            _end(self.span, at, outcome)


def _end(span: Span | None, at: int, outcome: str | None) -> None:
    if span is not None:
        if outcome is not None:
            span.set_attribute(OUTCOME, outcome)
        span.end(at)


class StageTrace:
    """What the spans of a stage have in common.

    Args:
        stage: which one.
    """

    __slots__ = ("is_retried", "name", "tasks")

    def __init__(self, stage: Stage) -> None:
        self.name = plain(stage.name)
        self.tasks = len(stage.tasks)
        self.is_retried = stage.retry == "per_stage"
