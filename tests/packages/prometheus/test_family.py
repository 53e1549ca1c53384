"""A metric's series are the same as samples and as lines."""

from __future__ import annotations

from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest

from antflow import DURATION_BOUNDS
from antflow_prometheus._exposition import expose
from antflow_prometheus._family import Family
from antflow_prometheus._metric_specs import LAG, METRICS, MetricSpec, Scope
from tests.packages.prometheus.scraping import OPEN, samples

BUCKETS = (0.001, 1.0)
SPECS = {spec.name: spec for spec in METRICS}
# What `Names` gives: all that UTF-8 has. The parser takes a carriage return for the end of a line.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


class Fixed:
    """A collector of metrics that are given."""

    def __init__(self, *metrics: Metric) -> None:
        self.metrics = metrics

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> tuple[Metric, ...]:
        return self.metrics


def registry_of(*metrics: Metric) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Fixed(*metrics))
    return registry


def family(spec: MetricSpec, labels: tuple[str, ...], start: float = 1.0) -> Family:
    figures = spec.scope.counters if spec.kind != "gauge" else spec.scope.gauges
    row = [start + number for number in range(max(1, len(figures)))]
    return Family(spec, {labels: row}, {labels[0]: BUCKETS})


@pytest.mark.parametrize("spec", METRICS, ids=list(SPECS))
@pytest.mark.parametrize("accept", ["", OPEN])
def test_lines_say_what_the_library_would_write(spec: MetricSpec, accept: str) -> None:
    labels = tuple(f"<{label}>" for label in spec.scope.labels)
    made = registry_of(family(spec, labels))
    by_the_library = Metric(spec.name.removesuffix("_total"), spec.help, spec.kind)
    by_the_library.samples = family(spec, labels).samples
    is_open = bool(accept)
    ours = expose(made, accept)[1].decode()
    theirs = expose(registry_of(by_the_library), accept)[1].decode()
    assert samples(ours, is_open=is_open) == samples(theirs, is_open=is_open)
    comments = [line for line in ours.splitlines() if line.startswith("#")]
    assert comments == [line for line in theirs.splitlines() if line.startswith("#")]


@given(st.tuples(texts, texts, texts))
def test_labels_come_back_as_they_were(labels: tuple[str, str, str]) -> None:
    spec = SPECS["antflow_task_failures_total"]
    found = samples(expose(registry_of(family(spec, labels)), "")[1].decode())
    ((_, shown),) = found
    assert dict(shown) == dict(zip(spec.scope.labels, labels, strict=True))


@pytest.mark.parametrize("number", [0, 3, 0.1, 1e-9, 1e21, inf, nan])
def test_numbers_come_back_as_they_were(number: float) -> None:
    one = Family(LAG, {("p",): [number]})
    (value,) = samples(expose(registry_of(one), "")[1].decode()).values()
    assert value == number or (isnan(value) and isnan(number))


def test_a_histogram_shows_the_bounds_that_are_asked_for_and_adds_up_the_rest() -> None:
    spec = SPECS["antflow_task_duration_seconds"]
    counts = [1] * (len(DURATION_BOUNDS) + 1)
    row: list[float] = [0, 0, *counts, 4.5]
    one = Family(spec, {("p", "s", "t"): row, ("q", "s", "t"): row}, {"p": BUCKETS, "q": (0.01,)})
    shown = [(s.labels["pipeline"], s.labels.get("le", s.name), s.value) for s in one.samples]
    assert shown == [
        ("p", "0.001", 7),
        ("p", "1.0", 16),
        ("p", "+Inf", 26),
        ("p", f"{spec.name}_count", 26),
        ("p", f"{spec.name}_sum", 4.5),
        ("q", "0.01", 10),
        ("q", "+Inf", 26),
        ("q", f"{spec.name}_count", 26),
        ("q", f"{spec.name}_sum", 4.5),
    ]


def test_a_registry_of_the_library_shows_the_same() -> None:
    made = registry_of(
        *(family(spec, ("a", "b", "c")[: len(spec.scope.labels)]) for spec in METRICS)
    )
    assert samples(generate_latest(made).decode()) == samples(expose(made, "")[1].decode())


def test_samples_are_made_once() -> None:
    one = family(SPECS["antflow_stage_workers"], ("p", "s"))
    assert one.samples is one.samples
    with pytest.raises(AttributeError):
        _ = one.nothing
    assert Scope.STAGE.labels == ("pipeline", "stage")
