"""The metrics follow Prometheus's conventions, and the documents describe them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from antflow import DURATION_BOUNDS
from antflow_prometheus import DEFAULT_BUCKETS
from antflow_prometheus._metric_specs import METRICS, MetricSpec, Scope

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "prometheus.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(antflow_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", re.MULTILINE)
UNBOUNDED = {"item", "item_id", "id", "error", "message", "run_id", "worker"}

every_metric = pytest.mark.parametrize("spec", METRICS, ids=[spec.name for spec in METRICS])


def test_names_are_unique() -> None:
    assert len({spec.name for spec in METRICS}) == len(METRICS)


@every_metric
def test_a_name_keeps_to_the_conventions(spec: MetricSpec) -> None:
    assert re.fullmatch(r"antflow_[a-z]+(_[a-z]+)+", spec.name)
    assert spec.name.endswith("_total") == (spec.kind == "counter")
    assert not {"milliseconds", "minutes", "ms", "percent"} & set(spec.name.split("_"))
    assert spec.help.endswith(".")
    assert "\n" not in spec.help
    assert "\\" not in spec.help


@every_metric
def test_labels_are_of_bounded_number(spec: MetricSpec) -> None:
    assert not UNBOUNDED & set(spec.labels)
    assert len(set(spec.labels)) == len(spec.labels)
    assert "le" not in spec.labels


@every_metric
def test_fields_are_those_of_the_scope(spec: MetricSpec) -> None:
    known = spec.scope.counters if spec.kind == "counter" else spec.scope.gauges
    assert set(spec.fields) <= set(known)
    assert bool(spec.label) == (len(spec.fields) > 1)


def test_every_field_is_shown() -> None:
    shown = {(spec.scope, spec.kind, figure) for spec in METRICS for figure in spec.fields}
    for scope in Scope:
        histograms = [spec for spec in METRICS if (spec.scope, spec.kind) == (scope, "histogram")]
        counters = {figure for figure in scope.counters if not figure.startswith(("below", "sum"))}
        assert bool(histograms) == (counters < set(scope.counters))
        assert {(scope, "counter", figure) for figure in counters} <= shown
        assert {(scope, "gauge", figure) for figure in scope.gauges} <= shown


def test_the_page_lists_every_metric_as_it_is() -> None:
    listed = ROW.findall(PAGE)
    assert listed == [
        (spec.name, spec.kind, ", ".join(f"`{label}`" for label in spec.labels) or "-", spec.help)
        for spec in METRICS
    ]


def test_the_page_tells_how_many_series_a_stage_has() -> None:
    buckets = len(DEFAULT_BUCKETS) + 3
    assert set(DEFAULT_BUCKETS) <= set(DURATION_BOUNDS)
    series = dict.fromkeys(Scope, 0)
    for spec in METRICS:
        series[spec.scope] += buckets if spec.kind == "histogram" else max(1, len(spec.fields))
    total = 10 * (series[Scope.STAGE] + series[Scope.TASK]) + series[Scope.PIPELINE]
    assert f"of ten stages of one task each has about {round(total, -1)}." in PAGE
    assert (
        f"{series[Scope.STAGE]} series per stage, {series[Scope.TASK]} per task, and "
        f"{series[Scope.PIPELINE]} per pipeline" in PAGE
    )
