"""What a meter provider collects."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from threading import Event, Thread
from typing import Any
from weakref import ref

import pytest
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, Sum
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from antflow import GiveUp, RetryAfter
from antflow.exporting import RunTotals, Sample
from antflow_otel._instruments import INSTRUMENTS
from antflow_otel._metric_specs import HISTOGRAMS, OBSERVED, QUANTILES
from antflow_otel._metrics import Metrics
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered, MetricsPlugin, collected, points, same, stage

LIMIT = 10  # seconds


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[list[Sample]]:
    """All readings of totals from now on."""
    made: list[list[Sample]] = []
    read = RunTotals.read

    def note(self: RunTotals) -> list[Sample]:
        made.append(read(self))
        return made[-1]

    monkeypatch.setattr(RunTotals, "read", note)
    return made


def test_every_metric_is_there_with_its_unit_and_kind() -> None:
    metered = Metered()
    simulate(lambda: metered.pipeline(stage()).run([1]))
    metrics = metered.metrics()
    assert set(metrics) == {spec.name for spec in (*OBSERVED, *HISTOGRAMS)}
    for spec in OBSERVED:
        metric = metrics[spec.name]
        assert (metric.unit, metric.description) == (spec.unit, spec.description)
        assert isinstance(metric.data, Sum)
        assert metric.data.is_monotonic is (spec.kind == "counter")
        for point in metric.data.data_points:
            assert {*(point.attributes or {}), "error.type"} == {*spec.attributes, "error.type"}


def test_one_collection_reads_once(readings: list[list[Sample]]) -> None:
    metered = Metered()

    async def main() -> None:
        gate = Gate()
        pipeline = metered.pipeline(stage(task=gate))
        await pipeline.start()
        await pipeline.feed([1, 2])
        await settle()
        for _ in range(3):
            assert metered.value("antflow.item.count") == 2
        assert len(readings) == 3
        gate.open()
        await pipeline.join()

    simulate(main)
    assert metered.value("antflow.item.count") == 0
    assert len(readings) == 4


def test_what_waits_for_a_retry_and_what_was_given_up_is_collected() -> None:
    metered = Metered()

    async def work(value: int) -> None:
        if value == 0:
            await asyncio.sleep(1000)
        raise RetryAfter(30) if value == 1 else GiveUp(KeyError(value))

    async def main() -> None:
        one = metered.pipeline(stage(task=work, task_attempts=2, task_timeout=5, retry_wait=60))
        await one.start()
        await one.feed(range(4))
        await asyncio.sleep(10)
        states = metered.values("antflow.stage.item.count", "antflow.item.state")
        assert states == {"pending": 0, "in_progress": 0, "parked": 2}
        await one.join()

    simulate(main)
    assert metered.value("antflow.stage.item.count") == 0
    assert metered.value("antflow.stage.attempt.timed_out") == 2
    assert metered.value("antflow.stage.attempt.given_up") == 2


def test_views_that_drop_metrics_make_no_value_stale(readings: list[list[Sample]]) -> None:
    reader = InMemoryMetricReader()
    views = [View(instrument_name="antflow.run.*", aggregation=DropAggregation())]
    plugin = MetricsPlugin(Metrics(MeterProvider([reader], views=views, shutdown_on_exit=False)))
    metered = Metered()
    metered.plugin, metered.reader = plugin, reader
    for number in range(1, 4):
        simulate(lambda: metered.pipeline(stage()).run([1]))
        assert metered.value("antflow.item.fed") == number
    assert len(readings) == 3


def test_every_reader_of_a_provider_gets_the_present_values() -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    metered = Metered()
    metered.plugin = MetricsPlugin(Metrics(MeterProvider(readers, shutdown_on_exit=False)))
    for number in range(1, 4):
        simulate(lambda: metered.pipeline(stage()).run([1]))
        for reader in readers:
            (point,) = points(collected(reader)["antflow.item.fed"]).values()
            assert point.value == number


def test_a_reader_that_wants_differences_gets_them() -> None:
    reader = InMemoryMetricReader({ObservableCounter: AggregationTemporality.DELTA})
    metered = Metered()
    metered.plugin = MetricsPlugin(Metrics(MeterProvider([reader], shutdown_on_exit=False)))
    for number in (3, 4):
        simulate(metered.pipeline(stage()).run(range(number)))
        metrics = collected(reader)
        (point,) = points(metrics["antflow.item.fed"]).values()
        assert point.value == number
        (level,) = points(metrics["antflow.item.count"]).values()
        assert level.value == 0


def test_plugins_of_one_provider_add_to_the_same_metrics(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metered = Metered()
    simulate(lambda: metered.pipeline(stage()).run([1]))
    metered.plugin = MetricsPlugin(Metrics(metered.provider))
    simulate(lambda: metered.pipeline(stage(), name="other").run([1, 2]))
    assert metered.values("antflow.item.fed", "antflow.pipeline.name") == {"letters": 1, "other": 2}
    assert caplog.text == ""


def test_a_provider_is_not_kept_alive() -> None:
    def use() -> ref[MeterProvider]:
        metered = Metered()
        simulate(lambda: metered.pipeline(stage()).run([1]))
        return ref(metered.provider)

    provider = use()
    gc.collect()
    assert provider() is None


def test_quantiles_take_the_place_of_histograms() -> None:
    metered = Metered(quantiles=[0.99, 0.5])
    simulate(lambda: metered.pipeline(stage()).run(range(100)))
    metrics = metered.metrics()
    assert set(metrics) == {spec.name for spec in (*OBSERVED, *QUANTILES)}
    assert metered.plugin.observers == ()
    for name in (spec.name for spec in QUANTILES):
        found = metered.values(name, "antflow.quantile")
        assert list(found) == ["0.5", "0.99"]
        assert 0 < found["0.5"] <= found["0.99"] < 0.1


def test_each_pipeline_has_the_quantiles_that_were_asked_for() -> None:
    metered = Metered(quantiles=[0.5])
    simulate(lambda: metered.pipeline(stage()).run([1]))
    metered.plugin = MetricsPlugin(Metrics(metered.provider, quantiles=[0.9]))
    simulate(lambda: metered.pipeline(stage(), name="other").run([1]))
    metered.plugin = MetricsPlugin(Metrics(metered.provider))
    simulate(lambda: metered.pipeline(stage(), name="third").run([1]))
    metrics = metered.metrics()
    shown = {
        (dict(series)["antflow.pipeline.name"], dict(series)["antflow.quantile"])
        for series in points(metrics["antflow.task.attempt.duration_quantile"])
    }
    assert shown == {("letters", "0.5"), ("other", "0.9")}
    recorded = points(metrics["antflow.task.attempt.duration"])
    assert {dict(series)["antflow.pipeline.name"] for series in recorded} == {"third"}


def test_of_what_did_not_happen_there_are_no_quantiles() -> None:
    metered = Metered(quantiles=[0.5])
    simulate(lambda: metered.pipeline(stage(), stage("Never")).run([]))
    assert "antflow.task.attempt.duration_quantile" not in metered.metrics()


def test_exemplars_are_those_of_the_current_span() -> None:
    tracer = TracerProvider(ALWAYS_ON, shutdown_on_exit=False).get_tracer("test")
    metered = Metered()

    async def main() -> int:
        with tracer.start_as_current_span("around") as span:
            await metered.pipeline(stage(task=same)).run([1])
            return span.get_span_context().span_id

    span_id = simulate(main)
    (point,) = metered.points("antflow.task.attempt.duration").values()
    assert [each.span_id for each in point.exemplars] == [span_id]


def test_no_counter_falls_while_it_is_collected_from_another_thread() -> None:
    metered = Metered()
    stop = Event()
    fallen: list[str] = []
    collections = 0

    def watch() -> None:
        nonlocal collections
        known: dict[tuple[str, frozenset[tuple[str, Any]]], float] = {}
        while not stop.is_set():
            for name, metric in metered.metrics().items():
                if getattr(metric.data, "is_monotonic", False):
                    for series, point in points(metric).items():
                        if point.value < known.get((name, series), 0):
                            fallen.append(f"{name} {dict(series)}")
                        known[name, series] = point.value
            collections += 1

    async def main() -> None:
        pipelines = [metered.pipeline(stage(), stage("Other")) for _ in range(2)]
        while collections < 30:
            await asyncio.gather(*(pipeline.run(range(200)) for pipeline in pipelines))

    thread = Thread(target=watch)
    thread.start()
    try:
        asyncio.run(main())
    finally:
        stop.set()
        thread.join()
    assert fallen == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("held", ["source", "exposition", "module"])
def test_a_forked_process_shows_its_own_runs_whatever_lock_was_held(held: str) -> None:
    metered = Metered(quantiles=[0.5])
    simulate(lambda: metered.pipeline(stage()).run(range(3)))
    instruments = INSTRUMENTS._known[metered.provider]
    locks = {
        "source": instruments._cache._lock,
        "exposition": instruments._lock,
        "module": INSTRUMENTS._lock,
    }
    assert metered.value("antflow.item.fed") == 3
    sys.stdout.flush()
    with locks[held]:
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT)  # which ends a child that waits for a lock
            try:
                simulate(lambda: metered.pipeline(stage()).run([1]))
                os._exit(int(metered.value("antflow.item.fed") != 1))
            finally:
                os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert metered.value("antflow.item.fed") == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_quantiles_of_its_own_runs() -> None:
    metered = Metered(quantiles=[0.5])
    simulate(lambda: metered.pipeline(stage()).run([1]))
    instruments = INSTRUMENTS._known[metered.provider]
    before = dict(instruments._windows)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        after = instruments._windows
        is_anew = all(after[spec] is not before[spec] for spec in before)
        os._exit(0 if before and set(after) == set(before) and is_anew else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
