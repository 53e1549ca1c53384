"""The tables of docs/ show what a provider really gets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Metric, Sum
from prometheus_client import CollectorRegistry

from antflow import Limit
from antflow_prometheus import Prometheus
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered, ObservingOTel, points, stage
from tests.packages.otel.tracing import Traced, attributes_of

DOCS = Path(__file__).resolve().parents[3] / "docs"
Row = tuple[str, ...]


def rows(page: str, columns: int) -> list[Row]:
    """Return the rows of a page's tables whose first cell is the name of a metric or attribute."""
    cells = r" \| (.*?)" * (columns - 1)
    pattern = rf"^\| `((?:antflow|error|code)\.[\w.]+)`{cells} \|$"
    return re.findall(pattern, (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)


async def odd(value: int) -> int:
    if value % 2:
        raise ValueError(value)
    return value


@pytest.fixture(scope="module")
def shown() -> dict[str, Metric]:
    """All metrics, while a run lasts that has a value for each."""
    metered = Metered()

    async def main() -> dict[str, Metric]:
        await metered.pipeline(stage(task=odd), name="histograms").run(range(4))
        metered.plugin = ObservingOTel(meter_provider=metered.provider, quantiles=[0.5])
        limits = [Limit(concurrency=5), Limit(rate=100, key=str, name="numbers")]
        last = stage("Next", Gate(), queue_capacity=9, limits=limits)
        one = metered.pipeline(stage(task=odd), last)
        await one.start()
        await one.feed(range(4))
        await settle()
        found = metered.metrics()
        await one.shutdown(timeout=0)
        return found

    return simulate(main)


def kind_of(metric: Metric) -> str:
    data = metric.data
    if isinstance(data, Sum):
        return "counter" if data.is_monotonic else "up-down counter"
    return {Gauge: "gauge", Histogram: "histogram"}[type(data)]


def test_the_page_lists_every_metric_as_it_is(shown: dict[str, Metric]) -> None:
    listed = rows("otel-metrics.md", 5)
    assert len(listed) == len(shown) > 15
    for name, kind, unit, attributes, description in listed:
        metric = shown[name]
        found = {key for series in points(metric) for key, _ in series}
        assert (kind, unit) == (kind_of(metric), f"`{metric.unit}`")
        assert set(re.findall(r"`(.*?)`", attributes)) == found
        assert description == metric.description


def test_names_and_units_are_as_the_conventions_have_them(shown: dict[str, Metric]) -> None:
    for name, metric in shown.items():
        assert re.fullmatch(r"antflow(\.[a-z]+)+(_[a-z]+)*", name)
        assert not name.endswith(("_total", ".total", "seconds"))
        assert re.fullmatch(r"s|\{[a-z]+\}", metric.unit or "")
        assert str(metric.description).endswith(".")
        assert not [other for other in shown if other.startswith(f"{name}.")]


def test_no_metric_has_the_name_of_one_of_antflow_prometheus(shown: dict[str, Metric]) -> None:
    def in_prometheus(metric: Metric) -> str:
        name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        return f"{name}_total" if kind_of(metric) == "counter" else name

    registry = CollectorRegistry()
    Prometheus(registry)
    theirs = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in registry.collect()
    }
    assert len(theirs) > 20
    assert not set(map(in_prometheus, shown.values())) & theirs


def test_the_page_lists_the_attributes_of_every_span() -> None:
    traced = Traced()

    async def main() -> None:
        one = traced.pipeline(stage(task=odd, task_attempts=2, task_wait_seconds=0.5))
        await one.run(list(range(4)))

    simulate(main)
    kinds = {"run letters": "runs", "letters": "items", "Work": "visits", "Work odd": "attempts"}
    found: dict[str, set[str]] = {}
    types: dict[str, Any] = {}
    for span in traced.spans:
        for name, value in attributes_of(span).items():
            found.setdefault(name, set()).add(kinds[span.name])
            types[name] = type(value)
    listed = rows("tracing.md", 3)
    assert {name for name, *_ in listed} == found.keys()
    for name, on, value in listed:
        expected = set(kinds.values()) - {"runs"} if on == "all but runs" else set(on.split(", "))
        assert found[name] == expected
        assert (
            re.split("[,;]", value)[0] == {str: "string", int: "int", float: "double"}[types[name]]
        )
