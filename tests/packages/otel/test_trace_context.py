"""W3C trace context in carriers, as the library's own propagator reads and writes it."""

from __future__ import annotations

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from antflow_otel._parents import extract, inject

PROPAGATOR = TraceContextTextMapPropagator()
STATE = TraceState([("vendor", "a"), ("other", "b")])
SPANS = [
    SpanContext(1, 2, is_remote=False),
    SpanContext(2**128 - 1, 2**64 - 1, is_remote=False, trace_flags=TraceFlags(1)),
    SpanContext(0xA0, 0xB0, is_remote=False, trace_flags=TraceFlags(3), trace_state=STATE),
]


@pytest.mark.parametrize("span", SPANS)
def test_it_is_written_as_the_propagator_does(span: SpanContext) -> None:
    ours: dict[str, str] = {}
    theirs: dict[str, str] = {}
    inject(span, ours)
    PROPAGATOR.inject(theirs, set_span_in_context(NonRecordingSpan(span)))
    assert ours == theirs


@pytest.mark.parametrize("span", SPANS)
def test_what_was_written_is_read(span: SpanContext) -> None:
    carrier: dict[str, str] = {}
    inject(span, carrier)
    found = extract(carrier, Context({"kept": "here"}))
    assert found is not None
    assert found["kept"] == "here"
    read = get_current_span(found).get_span_context()
    assert (read.trace_id, read.span_id) == (span.trace_id, span.span_id)
    assert (read.trace_flags, read.trace_state) == (span.trace_flags, span.trace_state)
    assert read.is_remote


def test_a_state_of_an_earlier_span_does_not_stay() -> None:
    carrier: dict[str, str] = {}
    inject(SPANS[2], carrier)
    inject(SPANS[0], carrier)
    assert carrier.keys() == {"traceparent"}


def test_a_span_that_is_none_is_not_written() -> None:
    carrier = {"other": "kept"}
    inject(INVALID_SPAN_CONTEXT, carrier)
    assert carrier == {"other": "kept"}


@pytest.mark.parametrize("text", ["", "of another kind", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_what_makes_no_sense_is_not_read(text: str) -> None:
    assert extract({"traceparent": text}, Context()) is None
    assert extract({}, Context()) is None
