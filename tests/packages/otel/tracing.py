"""A tracer provider for tests, and the spans that it has made."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import StatusCode

from antflow import Pipeline, Stage
from tests.packages.otel.metering import ObservingOTel, same, stage

__all__ = ["Traced", "attributes_of", "complaints", "ids", "is_error", "links_of", "same", "stage"]


class Traced:
    """A provider that keeps its spans, and a plugin that uses it.

    Args:
        sampler: of the provider.
        options: of the plugin.
    """

    def __init__(self, sampler: Sampler = DEFAULT_ON, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")
        self.plugin = ObservingOTel(self.provider, **options)

    def pipeline(self, *stages: Stage, name: str = "letters", **options: Any) -> Pipeline:
        plugins = [self.plugin, *options.pop("plugins", ())]
        return Pipeline(stages, name=name, plugins=plugins, autoload=False, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans that have ended, in the order in which they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name, in the order in which they began."""
        return [span for span in self.spans if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def tree(self) -> list[str]:
        """Return the names of all spans, each below its parent and indented."""
        return list(self._below(None, ""))

    def _below(self, parent: int | None, indent: str) -> Iterator[str]:
        known = {ids(span)[1] for span in self.spans}
        for span in self.spans:
            above = parent_of(span)
            if above == parent or (parent is None and above not in known):
                yield indent + span.name
                yield from self._below(ids(span)[1], indent + "  ")

    def outcomes(self) -> dict[str, list[Any]]:
        """Return what became of the spans that did not simply succeed, by their names."""
        found: dict[str, list[Any]] = {}
        for span in self.spans:
            outcome = attributes_of(span).get("antflow.outcome")
            if outcome is not None or is_error(span):
                found.setdefault(span.name, []).append((outcome, is_error(span)))
        return found


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def is_error(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of the span above; None for the root of a trace."""
    return None if span.parent is None else span.parent.span_id


def links_of(span: ReadableSpan) -> set[int]:
    """Return the ids of the spans that one is linked to."""
    return {link.context.span_id for link in span.links}


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Return the ids of a span's trace and of itself."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def complaints(records: list[logging.LogRecord]) -> list[str]:
    """Return what OpenTelemetry has logged, or a plugin's fault."""
    return [
        record.getMessage()
        for record in records
        if record.name.startswith("opentelemetry") or record.exc_info is not None
    ]
