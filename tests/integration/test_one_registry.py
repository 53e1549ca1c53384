"""antflow-prometheus and OpenTelemetry's Prometheus reader, both showing one registry."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from inspect import signature

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from antflow import Pipeline
from antflow_otel import OTel
from antflow_prometheus import Prometheus
from tests.helpers.virtual_time import simulate
from tests.integration.plugins.installing import plain_environ
from tests.integration.prometheus_server import LIMIT
from tests.packages.otel.metering import stage
from tests.requirements import required

OURS = "antflow_stage_items_total"
THEIRS = "antflow_stage_item_left_total"


def reader_of(registry: CollectorRegistry) -> PrometheusMetricReader:
    """Return OpenTelemetry's reader, showing a registry; an older one knows but the default."""
    if "registry" in signature(PrometheusMetricReader).parameters:
        return PrometheusMetricReader(registry=registry)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("opentelemetry.exporter.prometheus.REGISTRY", registry)
        return PrometheusMetricReader()


class Both:
    """A registry that both exporters show, and what it shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.provider = MeterProvider([reader_of(self.registry)], shutdown_on_exit=False)

    def run(self, *plugins: object) -> None:
        pipeline = Pipeline([stage()], name="p", plugins=plugins, autoload=False)
        simulate(lambda: pipeline.run([1, 2, 3]))
        assert pipeline.plugin_faults == {}

    def metrics(self) -> set[str]:
        """Return the names of samples; a family or a series that comes twice is refused."""
        text = generate_latest(self.registry).decode()
        families = list(text_string_to_metric_families(text))
        names = Counter(family.name for family in families)
        assert max(names.values()) == 1, names
        series = Counter(
            (sample.name, frozenset(sample.labels.items()))
            for family in families
            for sample in family.samples
        )
        assert max(series.values()) == 1, series
        return {name for name, _ in series if name.startswith("antflow")}


def test_without_antflow_prometheus_the_reader_shows_all() -> None:
    both = Both()
    both.run(OTel(meter_provider=both.provider))
    names = both.metrics()
    assert OURS not in names
    assert THEIRS in names
    assert "antflow_task_attempt_duration_seconds_bucket" in names


@pytest.mark.parametrize("quantiles", [None, [0.5]])
@pytest.mark.parametrize("metrics", [None, True])
def test_where_both_are_demanded_their_names_differ(
    metrics: bool | None, quantiles: list[float] | None
) -> None:
    both = Both()
    plugin = OTel(meter_provider=both.provider, metrics=metrics, quantiles=quantiles)
    both.run(Prometheus(both.registry), plugin)
    assert {OURS, THEIRS} < both.metrics()


PROGRAM = """
import asyncio

from prometheus_client import generate_latest

from antflow import Pipeline, Stage


async def same(value):
    return value


pipeline = Pipeline([Stage("Work", 2, [same])], name="p")
asyncio.run(pipeline.run(range(5)))
assert pipeline.plugin_faults == {}, pipeline.plugin_faults
print(generate_latest().decode())
"""


def shown(**environ: str) -> Mapping[str, str]:
    """Return what a program's default registry shows that OpenTelemetry's tools configure."""
    telemetry = {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "logging",  # see test_otlp
    }
    ran = subprocess.run(
        [required("opentelemetry-instrument"), sys.executable, "-c", PROGRAM],
        env=plain_environ() | telemetry | environ,
        capture_output=True,
        text=True,
        timeout=3 * LIMIT,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    families = list(text_string_to_metric_families(ran.stdout))
    names = Counter(family.name for family in families)
    assert max(names.values()) == 1, names
    samples = (sample for family in families for sample in family.samples)
    return {sample.name: str(sample.value) for sample in samples if sample.value == 5}


def test_installed_side_by_side_they_show_each_figure_once() -> None:
    found = shown()
    assert OURS in found
    assert THEIRS not in found


def test_with_antflow_prometheus_turned_off_the_reader_shows_all() -> None:
    found = shown(ANTFLOW_DISABLE_PLUGINS="prometheus")
    assert OURS not in found
    assert THEIRS in found
