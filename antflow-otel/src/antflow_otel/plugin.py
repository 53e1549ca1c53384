"""The plugin: what it is asked for, and whether a run is watched at all."""

from __future__ import annotations

from typing import get_args

from opentelemetry.trace import (
    NoOpTracer,
    ProxyTracer,
    Tracer,
    TracerProvider,
    get_tracer_provider,
)

from antflow import Pipeline, hookimpl

from ._attributes import SCHEMA_URL, SCOPE
from ._traces import FeedContext, Parent, Traces
from ._version import __version__


class OTel:
    """Makes traces and metrics of pipelines by OpenTelemetry.

    Whether there is a provider is looked at when a run starts; a run without one costs nothing.

    Args:
        tracer_provider: makes the spans; None for the one that is set globally.
        trace: "item" for a trace of each item, linked to the span of its run, or "run" for one
            trace of the run with all of its items, which is for small runs.
        feed_context: what an item is to the span that it is fed in: "link" for linked to it, or
            "child" for a part of its trace.

    Raises:
        TypeError: a provider is none.
        ValueError: an option is none of these.
    """

    antflow_name = "otel"

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        trace: Parent = "item",
        feed_context: FeedContext = "link",
    ) -> None:
        if not isinstance(tracer_provider, TracerProvider | None):
            raise TypeError(
                f"tracer_provider of OTel is {tracer_provider!r}; give an OpenTelemetry "
                "TracerProvider, or leave it out for the global one"
            )
        _check("trace", trace, get_args(Parent))
        _check("feed_context", feed_context, get_args(FeedContext))
        self._tracer_provider = tracer_provider
        self._trace: Parent = trace
        self._feed_context: FeedContext = feed_context

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> object:
        """Return what watches the run, where a provider is configured."""
        tracer = self._tracer()
        if tracer is None:
            return None
        return Traces(tracer, pipeline, total_items, self._trace, self._feed_context)

    def _tracer(self) -> Tracer | None:
        """Return what makes spans, or None if nothing would."""
        provider = self._tracer_provider or get_tracer_provider()
        tracer = provider.get_tracer(SCOPE, __version__, SCHEMA_URL)
        return None if isinstance(tracer, NoOpTracer | ProxyTracer) else tracer


def _check(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{option} of OTel is {value!r}; choose {' or '.join(map(repr, known))}")
