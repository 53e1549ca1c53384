"""The parent and the links of an item's span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    get_current_span,
    set_span_in_context,
)

from antflow_otel._parents import FeedContext, ParentResolver, TraceUnit, inject


def span(number: int) -> Span:
    return NonRecordingSpan(SpanContext(number, number, is_remote=False))


RUN, FEEDER, CALLER, BEFORE = (span(number) for number in range(1, 5))


@contextmanager
def within(one: Span) -> Iterator[None]:
    token = attach(set_span_in_context(one))
    try:
        yield
    finally:
        detach(token)


def number(one: Span) -> int:
    return one.get_span_context().span_id


def made(
    parent: TraceUnit = "item", feed_context: FeedContext = "link", run: Span = RUN
) -> ParentResolver:
    """Return the resolver of a run that begins in the span of a caller."""
    with within(CALLER):
        resolver = ParentResolver(parent, feed_context)
    resolver.set_run_span(run)
    return resolver


def resolve(resolver: ParentResolver, feeder: Span, **carrier: str) -> tuple[int, list[int]]:
    """Return the ids of the parent and of the links of an item that is fed in a span."""
    with within(feeder):
        context, links = resolver.resolve(carrier)
    return number(get_current_span(context)), [link.context.span_id for link in links]


NOWHERE = INVALID_SPAN


@pytest.mark.parametrize(
    ("parent", "feed_context", "feeder", "expected"),
    [
        ("item", "link", NOWHERE, (0, [1])),
        ("item", "link", FEEDER, (0, [1, 2])),
        ("item", "link", CALLER, (0, [1, 3])),
        ("item", "child", NOWHERE, (0, [1])),
        ("item", "child", FEEDER, (2, [1])),
        ("item", "child", CALLER, (3, [1])),
        ("run", "link", NOWHERE, (1, [])),
        ("run", "link", FEEDER, (1, [2])),
        ("run", "link", CALLER, (1, [])),
        ("run", "child", NOWHERE, (1, [])),
        ("run", "child", FEEDER, (2, [1])),
        ("run", "child", CALLER, (1, [])),
    ],
)
def test_a_place_by_the_options(
    parent: TraceUnit, feed_context: FeedContext, feeder: Span, expected: tuple[int, list[int]]
) -> None:
    assert resolve(made(parent, feed_context), feeder) == expected


@pytest.mark.parametrize("parent", ["item", "run"])
@pytest.mark.parametrize("feed_context", ["link", "child"])
def test_who_was_traced_before_goes_on_in_that_trace(
    parent: TraceUnit, feed_context: FeedContext
) -> None:
    carrier: dict[str, str] = {}
    inject(BEFORE.get_span_context(), carrier)
    resolver = made(parent, feed_context)
    assert resolve(resolver, NOWHERE, **carrier) == (4, [1])
    assert resolve(resolver, FEEDER, **carrier) == (4, [1, 2])


def test_a_carrier_that_makes_no_sense_is_as_good_as_none() -> None:
    assert resolve(made(), FEEDER, traceparent="nonsense") == (0, [1, 2])


def test_successive_feeders_have_parents_of_their_own() -> None:
    resolver = made()
    assert [resolve(resolver, each)[1] for each in (FEEDER, FEEDER, CALLER, NOWHERE, FEEDER)] == [
        *([1, 2], [1, 2], [1, 3], [1], [1, 2])
    ]


def test_alternating_feeders_keep_their_parents() -> None:
    resolver = made()
    contexts = [set_span_in_context(each) for each in (FEEDER, CALLER)]
    found: list[list[int]] = []
    for context in contexts * 2:
        token = attach(context)
        found += ([link.context.span_id for link in resolver.resolve({})[1]] for _ in range(2))
        detach(token)
    assert found == [[1, 2], [1, 2], [1, 3], [1, 3]] * 2


def test_a_run_without_a_span_is_linked_to_by_nobody() -> None:
    assert resolve(made(run=INVALID_SPAN), NOWHERE) == (0, [])
    assert resolve(made(run=INVALID_SPAN), FEEDER) == (0, [2])


@pytest.mark.parametrize("parent", ["item", "run"])
def test_what_else_is_in_the_context_of_the_feeder_stays(parent: TraceUnit) -> None:
    resolver = made(parent)
    token = attach(baggage.set_baggage("customer", "a"))
    try:
        context, _ = resolver.resolve({})
    finally:
        detach(token)
    assert baggage.get_baggage("customer", context) == "a"
