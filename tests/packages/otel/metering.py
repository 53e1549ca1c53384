"""Meter providers for tests, and what they collect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric

from antflow import Pipeline, Stage, hookimpl
from antflow_otel._metrics import Metrics

Series = frozenset[tuple[str, Any]]


class MetricsPlugin:
    """A plugin that adds its runs to metrics."""

    antflow_name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.observers: tuple[object, ...] = ()

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline) -> object:
        self.observers = self.metrics.start_run(pipeline)
        return self.observers[0] if self.observers else None

    @hookimpl(trylast=True)
    def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
        self.metrics.finish_run(pipeline)


class Metered:
    """A meter provider that keeps what it collects, and a plugin that adds runs to it.

    Args:
        options: of the metrics.
    """

    def __init__(self, **options: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.plugin = MetricsPlugin(Metrics(self.provider, **options))

    def pipeline(self, *stages: Stage, name: str = "letters", **options: Any) -> Pipeline:
        return Pipeline(stages, name=name, plugins=[self.plugin], autoload=False, **options)

    def metrics(self) -> dict[str, Metric]:
        return collected(self.reader)

    def points(self, name: str) -> dict[Series, Any]:
        return points(self.metrics()[name])

    def values(self, name: str, attribute: str = "") -> dict[str, float]:
        """Return the values of a metric by one of its attributes, summed over the others."""
        found: dict[str, float] = {}
        for series, point in self.points(name).items():
            value = str(dict(series).get(attribute, ""))
            found[value] = found.get(value, 0) + point.value
        return found

    def value(self, name: str) -> float:
        return sum(self.values(name).values())


def collected(reader: InMemoryMetricReader) -> dict[str, Metric]:
    """Collect, and return the metrics by name; one that comes twice is refused."""
    metrics = reader.get_metrics_data()
    found: dict[str, Metric] = {}
    for resource in metrics.resource_metrics if metrics else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                assert metric.name not in found, f"{metric.name} is there twice"
                found[metric.name] = metric
    return found


def points(metric: Metric) -> dict[Series, Any]:
    """Return the points of a metric by their attributes."""
    return {frozenset((p.attributes or {}).items()): p for p in metric.data.data_points}


async def same(value: Any) -> Any:
    return value


def stage(name: str = "Work", task: Callable[..., Any] = same, **options: Any) -> Stage:
    return Stage(name=name, **{"workers": 2, "tasks": [task], "task_attempts": 1, **options})
