"""Each metric as text and as the library's samples: names, labels, buckets, and the page."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest

from antflow import DURATION_BOUNDS, Limit, Pipeline
from antflow_prometheus import DEFAULT_BUCKETS, Prometheus
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import OPEN, Scraper, samples, stage

PAGE = Path(__file__).resolve().parents[3] / "docs" / "prometheus.md"
ROW = re.compile(r"^\| `(antflow_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", re.MULTILINE)
UNBOUNDED = {"item", "item_id", "id", "error", "message", "run_id", "worker"}
# Names as UTF-8 can encode them. The parser takes a carriage return for the end of a line.
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=8
).filter(str.strip)


def described() -> list[Metric]:
    """Return the metrics of a registry without any run, in the order of the exposition."""
    registry = CollectorRegistry()
    Prometheus(registry)
    return list(registry.collect())


def full_name(metric: Metric) -> str:
    return metric.name + ("_total" if metric.type == "counter" else "")


def example() -> Scraper:
    """Return a scraper with a run that has a value for every metric."""

    async def odd(value: int) -> int:
        if value % 2:
            raise KeyError(value)
        return value

    scraper = Scraper()
    limits = [Limit(concurrency=5), Limit(rate=100, key=str, name="numbers")]
    simulate(lambda: scraper.pipeline(stage(task=odd, limits=limits)).run(range(4)))
    return scraper


def labels_of(metric: Metric) -> tuple[str, ...]:
    (labels,) = {tuple(name for name in s.labels if name != "le") for s in metric.samples}
    return labels


def test_the_text_is_what_the_library_would_write() -> None:
    scraper = example()
    ours, theirs = scraper.text(), generate_latest(scraper.registry).decode()
    assert samples(ours).keys() == samples(theirs).keys()
    assert samples(scraper.text(OPEN), is_open=True).keys() == samples(ours).keys()
    comments = [line for line in ours.splitlines() if line.startswith("#")]
    assert comments == [line for line in theirs.splitlines() if line.startswith("#")]


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=10))
def test_labels_come_back_as_they_were(names: list[tuple[str, str, str]]) -> None:
    scraper = Scraper()

    async def main() -> None:
        for pipeline, step, task in names:

            async def work(value: int) -> int:
                return value

            work.__name__ = task
            await scraper.pipeline(stage(step, work), name=pipeline).run([1])

    simulate(main)
    found = samples(scraper.text())
    assert found == samples(generate_latest(scraper.registry).decode())
    shown = {
        tuple(dict(labels)[name] for name in ("pipeline", "stage", "task"))
        for name, labels in found
        if name == "antflow_task_failures_total"
    }
    assert shown == set(names)


def test_a_histogram_has_the_buckets_of_its_pipeline() -> None:
    registry = CollectorRegistry()
    buckets = {"p": (0.001, 1.0), "q": (0.01,)}
    for name, bounds in buckets.items():
        plugin = Prometheus(registry, bounds)
        pipeline = Pipeline([stage()], name=name, plugins=[plugin], autoload=False)
        simulate(partial(pipeline.run, range(3)))
    (metric,) = [m for m in registry.collect() if m.name == "antflow_task_duration_seconds"]
    shown = [(s.labels["pipeline"], s.labels.get("le", s.name), s.value) for s in metric.samples]
    assert [each for each in shown if not each[1].endswith("_sum")] == [
        ("p", "0.001", 3),
        ("p", "1.0", 3),
        ("p", "+Inf", 3),
        ("p", "antflow_task_duration_seconds_count", 3),
        ("q", "0.01", 3),
        ("q", "+Inf", 3),
        ("q", "antflow_task_duration_seconds_count", 3),
    ]
    assert metric.samples is metric.samples  # they are made once
    with pytest.raises(AttributeError):
        _ = metric.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", described(), ids=full_name)
def test_a_metric_keeps_to_the_conventions(metric: Metric) -> None:
    name = full_name(metric)
    assert re.fullmatch(r"antflow_[a-z]+(_[a-z]+)+", name)
    assert not {"milliseconds", "minutes", "ms", "percent"} & set(name.split("_"))
    assert metric.documentation.endswith(".")
    assert not {"\n", "\\"} & set(metric.documentation)


def test_labels_are_of_bounded_number() -> None:
    for metric in example().registry.collect():
        assert not UNBOUNDED & set(labels_of(metric))


def test_the_page_lists_every_metric_as_it_is() -> None:
    metrics = {full_name(metric): metric for metric in example().registry.collect()}
    listed = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert Counter(listed) == Counter(
        (
            full_name(each),
            each.type,
            ", ".join(f"`{label}`" for label in labels_of(metrics[full_name(each)])) or "-",
            each.documentation,
        )
        for each in described()
    )


def test_the_page_says_how_many_series_a_stage_has() -> None:
    async def same(value: int) -> int:
        return value

    scraper = Scraper()
    simulate(lambda: scraper.pipeline(stage(task=same)).run([1]))
    series = Counter(
        "task" if "task" in labels else "stage" if "stage" in labels else "pipeline"
        for labels in (dict(labels) for _, labels in scraper.samples())
        if "pipeline" in labels and "plugin" not in labels
    )
    assert set(DEFAULT_BUCKETS) <= set(DURATION_BOUNDS)
    text = PAGE.read_text(encoding="utf-8")
    total = 10 * (series["stage"] + series["task"]) + series["pipeline"]
    assert f"of ten stages of one task each has about {round(total, -1)}." in text
    assert (
        f"{series['stage']} series per stage, {series['task']} per task, and "
        f"{series['pipeline']} per pipeline" in text
    )
