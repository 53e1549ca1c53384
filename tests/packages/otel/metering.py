"""Meter providers for tests, and what they collect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric

from antflow import Pipeline, Stage, hookimpl
from antflow_otel import OTel

Series = frozenset[tuple[str, Any]]


class ObservingOTel(OTel):
    """The plugin, with the observers that its last run got."""

    observers: tuple[object, ...] = ()

    @hookimpl(tryfirst=True)
    def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> object:
        found: Any = super().antflow_pipeline_start(pipeline, total_items)
        self.observers = tuple(found)
        return found


class Metered:
    """A meter provider that keeps what it collects, and a plugin that uses it.

    Args:
        options: of the plugin.
    """

    def __init__(self, **options: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.plugin = ObservingOTel(meter_provider=self.provider, **options)

    def pipeline(self, *stages: Stage, name: str = "letters", **options: Any) -> Pipeline:
        plugins = [self.plugin, *options.pop("plugins", ())]
        return Pipeline(stages, name=name, plugins=plugins, autoload=False, **options)

    def metrics(self) -> dict[str, Metric]:
        return collected(self.reader)

    def points(self, name: str) -> dict[Series, Any]:
        return points(self.metrics()[name])

    def values(self, name: str, attribute: str = "") -> dict[str, float]:
        """Return the values of a metric by one of its attributes, summed over the others.

        Of a histogram, the value is the number of records.
        """
        found: dict[str, float] = {}
        for series, point in self.points(name).items():
            value = str(dict(series).get(attribute, ""))
            number = point.count if hasattr(point, "count") else point.value
            found[value] = found.get(value, 0) + number
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
