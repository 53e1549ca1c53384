"""The plugin: what it is asked for, and whether a run is watched at all."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Iterable
from typing import get_args

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import NoOpTracer, ProxyTracer, Tracer, TracerProvider

from antflow import Pipeline, hookimpl

from ._attributes import SCHEMA_URL, SCOPE
from ._metrics import Metrics
from ._places import FeedContext, Parent
from ._providers import PROVIDERS, given_tracer_provider
from ._together import together
from ._traces import Traces
from ._version import __version__


class OTel:
    """Makes traces and metrics of pipelines by OpenTelemetry.

    Whether there are providers is looked at when a run starts; a run without one costs nothing.

    Args:
        tracer_provider: makes the spans; None for the one that is set globally.
        meter_provider: makes the metrics; None for the one that is set globally.
        trace: "item" for a trace of each item, linked to the span of its run, or "run" for one
            trace of the run with all of its items, which is for small runs.
        feed_context: what an item is to the span that it is fed in: "link" for linked to it, or
            "child" for a part of its trace.
        quantiles: which quantiles of durations are shown, from 0 to 1, in place of histograms;
            None for histograms.
        metrics: whether there are metrics; None to leave them to antflow-prometheus where it takes
            part in the run and OpenTelemetry's Prometheus reader is loaded, unless a meter
            provider is given.

    Raises:
        TypeError: a provider is none.
        ValueError: an option is none of these, or a quantile is none.
    """

    antflow_name = "otel"

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        trace: Parent = "item",
        feed_context: FeedContext = "link",
        quantiles: Iterable[float] | None = None,
        metrics: bool | None = None,
    ) -> None:
        _check_provider("tracer_provider", tracer_provider, TracerProvider)
        _check_provider("meter_provider", meter_provider, MeterProvider)
        _check_choice("trace", trace, get_args(Parent))
        _check_choice("feed_context", feed_context, get_args(FeedContext))
        self._tracer_provider = given_tracer_provider(tracer_provider)
        self._trace: Parent = trace
        self._feed_context: FeedContext = feed_context
        self._metrics = Metrics(meter_provider, quantiles=quantiles, enabled=metrics)

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        """Let `antflow run` say how its run is traced; where to, the variables OTEL_* say."""
        parser.add_argument(
            "--otel-trace",
            choices=get_args(Parent),
            help="a trace of each item, or one of the run with all its items (default: item)",
        )
        parser.add_argument(
            "--otel-quantiles",
            metavar="Q,...",
            type=_quantiles,
            help="show these quantiles of durations, as in 0.5,0.95, in place of histograms",
        )
        parser.add_argument(
            "--otel-metrics",
            action=BooleanOptionalAction,
            help="have metrics, or none; by default, none where antflow-prometheus shows the same",
        )

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        """Do as `antflow run` was asked."""
        if options.otel_trace is not None:
            self._trace = options.otel_trace
        if options.otel_quantiles is not None or options.otel_metrics is not None:
            self._metrics = Metrics(
                None, quantiles=options.otel_quantiles, enabled=options.otel_metrics
            )

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> object:
        """Return what watches the run, where a provider is configured."""
        observers = [*self._metrics.begin(pipeline)]
        tracer = self._tracer()
        if tracer is not None:
            choices = self._trace, self._feed_context
            observers.append(Traces(tracer, pipeline, total_items, *choices))
        return together(observers)

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
        """Keep what the run has counted."""
        self._metrics.finish(pipeline)

    def _tracer(self) -> Tracer | None:
        """Return what makes spans, or None if nothing would."""
        provider = self._tracer_provider or PROVIDERS.tracer_provider(os.environ)
        if provider is None:
            return None
        tracer = provider.get_tracer(SCOPE, __version__, SCHEMA_URL)
        return None if isinstance(tracer, NoOpTracer | ProxyTracer) else tracer


def _quantiles(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"{text!r} has a part that is no number; give 0.5,0.95") from None


def _check_provider(option: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"{option} of OTel is {value!r}; give an OpenTelemetry {kind.__name__}, or leave it "
            "out for the global one"
        )


def _check_choice(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{option} of OTel is {value!r}; choose {' or '.join(map(repr, known))}")
