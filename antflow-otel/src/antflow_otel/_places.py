"""Where the span of an item belongs: below which other one, and what it is linked to."""

from __future__ import annotations

from asyncio import Task, current_task
from typing import Any, Literal

from opentelemetry.context import Context, get_current
from opentelemetry.trace import INVALID_SPAN, Link, Span, get_current_span, set_span_in_context

from ._carrier import TRACEPARENT, Carrier, extract

Parent = Literal["item", "run"]
"""What a trace is made of."""

FeedContext = Literal["link", "child"]
"""What an item is to the span that it is fed in."""

Place = tuple[Context, tuple[Link, ...]]
"""The context that a span is made in, and its links."""


class Places:
    """Finds places for the items of one run; made in the context in which the run begins.

    Args:
        parent: whether each item is a trace of its own, or the run as a whole.
        feed_context: whether an item is linked to the span that it is fed in, or is its child.
    """

    def __init__(self, parent: Parent, feed_context: FeedContext) -> None:
        self._is_apart = parent == "item"
        self._is_child = feed_context == "child"
        self._opener = get_current_span()
        self._opened_in = self._opener.get_span_context()
        self._opening: Task[Any] | None = None
        self._run: Span = INVALID_SPAN
        self._run_links: tuple[Link, ...] = ()
        self._feeder: Context | None = None
        self._latest: Place = Context(), ()

    def know(self, run: Span, opening: Task[Any] | None = None) -> None:
        """Learn of the run's span.

        Args:
            run: the span, which is current in workers outside of attempts.
            opening: what the run begins in; it tells of items that were fed before.
        """
        where = run.get_span_context()
        self._run, self._opening = run, opening
        self._run_links = (Link(where),) if where.is_valid else ()

    def of(self, carrier: Carrier) -> Place:
        """Return the place of an item that is fed in the present context.

        An item that was traced before goes on in its trace; that comes before all options.
        """
        feeder = get_current()
        if TRACEPARENT in carrier:
            before = extract(carrier, feeder)
            if before is not None:
                return before, self._run_links + self._links_to(self._as_fed(feeder))
        if feeder is not self._feeder:
            self._feeder = self._as_fed(feeder)
            self._latest = self._among(self._feeder)
        return self._latest

    def _as_fed(self, feeder: Context) -> Context:
        """Return the context that an item was fed in: one fed before the run, around the run."""
        if self._opening is None or get_current_span(feeder) is not self._run:
            return feeder
        is_opening = current_task() is self._opening
        return set_span_in_context(self._opener, feeder) if is_opening else feeder

    def _among(self, feeder: Context) -> Place:
        """Return the place of an item that was not traced before, by the options."""
        links = self._links_to(feeder)
        if links and self._is_child:
            return feeder, self._run_links
        if not self._is_apart:
            return set_span_in_context(self._run, feeder), links
        return set_span_in_context(INVALID_SPAN, feeder), self._run_links + links

    def _links_to(self, feeder: Context) -> tuple[Link, ...]:
        """Return a link to the span that is current in a context, if there is one but the run's.

        Where the run is the parent, that is none if the run was begun in the same span: it is
        known as the run's own parent.
        """
        span = get_current_span(feeder)
        active = span.get_span_context()
        if span is self._run or not active.is_valid:
            return ()
        if not self._is_apart and active == self._opened_in:
            return ()
        return (Link(active),)
