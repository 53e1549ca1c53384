"""The names, kinds and units of metrics."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry

from antflow_otel._metric_specs import HISTOGRAMS, OBSERVED, QUANTILES, InstrumentSpec
from antflow_prometheus import Prometheus

ALL = (*OBSERVED, *HISTOGRAMS, *QUANTILES)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_names_and_units_are_as_the_conventions_have_them(spec: InstrumentSpec) -> None:
    assert re.fullmatch(r"antflow(\.[a-z]+)+(_[a-z]+)*", spec.name)
    assert not spec.name.endswith(("_total", ".total", "seconds"))
    assert re.fullmatch(r"s|\{[a-z]+\}", spec.unit)
    assert spec.description.endswith(".")


def test_no_name_is_within_another() -> None:
    names = [spec.name for spec in ALL]
    assert len(set(names)) == len(names)
    assert not [(a, b) for a in names for b in names if b.startswith(f"{a}.")]


def test_none_is_called_as_one_of_antflow_prometheus_is() -> None:
    def in_prometheus(spec: InstrumentSpec) -> str:
        name = spec.name.replace(".", "_") + ("_seconds" if spec.unit == "s" else "")
        return f"{name}_total" if spec.kind == "counter" else name

    registry = CollectorRegistry()
    Prometheus(registry)
    theirs = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in registry.collect()
    }
    assert len(theirs) > 20
    assert not {in_prometheus(spec) for spec in ALL} & theirs
