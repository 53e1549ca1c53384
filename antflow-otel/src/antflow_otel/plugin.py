"""The plugin: its options, and its observers for each run."""

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
from ._parents import FeedContext, TraceUnit
from ._providers import PROVIDERS, given_tracer_provider
from ._trace_observer import TraceObserver
from ._version import __version__


class OTel:
    """The plugin that makes OpenTelemetry traces and metrics of pipelines.

    It looks for providers when a run starts; a run without any costs nothing.

    Args:
        tracer_provider: makes the spans; None for the global one.
        meter_provider: makes the metrics; None for the global one.
        trace: "item" for one trace per item, linked to the span of its run; or "run" for one trace
            of the run with all of its items, which suits small runs.
        feed_context: how an item relates to the span that is current when it is fed: "link" links
            its span to that one, "child" makes its span a part of that trace.
        quantiles: quantiles of durations to show instead of histograms, each from 0 to 1; None for
            histograms.
        metrics: whether to make metrics. None means yes, except if antflow-prometheus takes part
            in the run and OpenTelemetry's Prometheus reader is loaded; with a meter provider given,
            None means yes in any case.

    Raises:
        TypeError: a provider is not a TracerProvider or MeterProvider.
        ValueError: an option has another value, or a quantile is not from 0 to 1.
    """

    antflow_name = "otel"

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        trace: TraceUnit = "item",
        feed_context: FeedContext = "link",
        quantiles: Iterable[float] | None = None,
        metrics: bool | None = None,
    ) -> None:
        _check_provider("tracer_provider", tracer_provider, TracerProvider)
        _check_provider("meter_provider", meter_provider, MeterProvider)
        _check_choice("trace", trace, get_args(TraceUnit))
        _check_choice("feed_context", feed_context, get_args(FeedContext))
        self._tracer_provider = given_tracer_provider(tracer_provider)
        self._trace: TraceUnit = trace
        self._feed_context: FeedContext = feed_context
        self._metrics = Metrics(meter_provider, quantiles=quantiles, enabled=metrics)

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        """Add options for traces and metrics; the variables OTEL_* say where these are sent."""
        parser.add_argument(
            "--otel-trace",
            choices=get_args(TraceUnit),
            help="one trace per item, or one of the run with all its items (default: item)",
        )
        parser.add_argument(
            "--otel-quantiles",
            metavar="Q,...",
            type=_parse_quantiles,
            help="show these quantiles of durations, as in 0.5,0.95, in place of histograms",
        )
        parser.add_argument(
            "--otel-metrics",
            action=BooleanOptionalAction,
            help="make metrics, or do not; by default, do not if antflow-prometheus shows the same",
        )

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        """Use the options of `antflow run`."""
        if options.otel_trace is not None:
            self._trace = options.otel_trace
        if options.otel_quantiles is not None or options.otel_metrics is not None:
            self._metrics = Metrics(
                None, quantiles=options.otel_quantiles, enabled=options.otel_metrics
            )

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> object:
        """Return observers of the run; none if no provider is configured."""
        # Metrics come first: exemplars need the attempt's span, which the traces end.
        observers = [*self._metrics.start_run(pipeline)]
        tracer = self._tracer()
        if tracer is not None:
            choices = self._trace, self._feed_context
            observers.append(TraceObserver(tracer, pipeline, total_items, *choices))
        return observers

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
        """Keep the counts of the run."""
        self._metrics.finish_run(pipeline)

    def _tracer(self) -> Tracer | None:
        """Return a tracer; None if it would record no spans."""
        provider = self._tracer_provider or PROVIDERS.tracer_provider(os.environ)
        if provider is None:
            return None
        tracer = provider.get_tracer(SCOPE, __version__, SCHEMA_URL)
        # Without a real tracer the run gets no observer, and items cost nothing.
        return None if isinstance(tracer, NoOpTracer | ProxyTracer) else tracer


def _parse_quantiles(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a list of numbers; give 0.5,0.95") from None


def _check_provider(option: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"{option} of OTel is {value!r}; give an OpenTelemetry {kind.__name__}, or leave it "
            "out for the global one"
        )


def _check_choice(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{option} of OTel is {value!r}; choose {' or '.join(map(repr, known))}")
