"""The open spans of an item."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan

from antflow_otel._item_trace import ItemTrace, StageTrace
from tests.packages.otel.tracing import Traced, stage


def opened(traced: Traced) -> ItemTrace:
    trace = ItemTrace(traced.tracer.start_span("item"), Context())
    trace.visit = traced.tracer.start_span("visit")
    trace.attempt = traced.tracer.start_span("attempt")
    return trace


def outcome(span: ReadableSpan) -> object:
    return (span.attributes or {}).get("antflow.outcome")


def test_the_innermost_ends_first_and_none_twice() -> None:
    traced = Traced()
    trace = opened(traced)
    trace.end(2**62)
    assert [span.name for span in traced.spans] == ["attempt", "visit", "item"]
    assert [span.end_time for span in traced.spans] == [2**62] * 3
    assert not any(outcome(span) for span in traced.spans)
    trace.end_visit(2**62)
    assert len(traced.spans) == 3


def test_a_visit_ends_with_what_has_become_of_it() -> None:
    traced = Traced()
    trace = opened(traced)
    trace.end_visit(2**62, "cancelled")
    trace.end(2**62, "unprocessed")
    assert [(span.name, outcome(span)) for span in traced.spans] == [
        ("attempt", "cancelled"),
        ("visit", "cancelled"),
        ("item", "unprocessed"),
    ]


def test_a_stage_knows_how_many_tasks_a_visit_has() -> None:
    one = StageTrace(stage("St\udcffage", tasks=[len, len], retry="per_stage"))
    assert (one.name, one.tasks, one.is_retried) == ("St\\udcffage", 2, True)
    assert not StageTrace(stage()).is_retried
