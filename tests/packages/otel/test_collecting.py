"""What a meter provider collects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import create_autospec
from weakref import ref

import pytest
from opentelemetry.metrics import CallbackOptions, Meter
from opentelemetry.metrics import MeterProvider as MeterProviderOfAPI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View

from antflow.exporting import RunTotals, Sample
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered, ObservingOTel, collected, points, stage

FED, COUNT = "antflow.item.fed", "antflow.item.count"


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


def with_readers(*readers: InMemoryMetricReader, **options: Any) -> Metered:
    """Return a provider with these readers, of which the first is its own."""
    metered = Metered()
    metered.reader = readers[0]
    metered.provider = MeterProvider(readers, shutdown_on_exit=False, **options)
    metered.plugin = ObservingOTel(meter_provider=metered.provider)
    return metered


def run(metered: Metered, items: int = 1, name: str = "letters") -> None:
    simulate(lambda: metered.pipeline(stage(), name=name).run(range(items)))


def test_one_collection_reads_once(readings: list[list[Sample]]) -> None:
    metered = Metered()

    async def main() -> None:
        gate = Gate()
        pipeline = metered.pipeline(stage(task=gate))
        await pipeline.start()
        await pipeline.feed([1, 2])
        await settle()
        for _ in range(3):
            assert metered.value(COUNT) == 2
        assert len(readings) == 3
        gate.open()
        await pipeline.join()

    simulate(main)
    assert metered.value(COUNT) == 0
    assert len(readings) == 4


def test_items_in_a_stage_are_counted_by_what_they_do() -> None:
    metered = Metered()

    async def main() -> None:
        pipeline = metered.pipeline(stage(task=Gate(), queue_capacity=7))
        await pipeline.start()
        await pipeline.feed(range(5))
        await settle()
        in_stage = metered.values("antflow.stage.item.count", "antflow.item.state")
        assert in_stage == {"pending": 3, "in_progress": 2, "parked": 0}
        states = metered.values("antflow.stage.worker.count", "antflow.worker.state")
        assert states == {"idle": 0, "busy": 2, "waiting": 0, "blocked": 0}
        assert metered.value("antflow.stage.capacity") == 7
        await pipeline.shutdown(timeout=0)

    simulate(main)
    outcomes = metered.values("antflow.stage.item.left", "antflow.outcome")
    assert outcomes["unprocessed"] == 5


def test_failed_items_are_counted_by_the_class_of_the_error() -> None:
    async def odd(value: int) -> int:
        if value % 3 == 0:
            raise (ValueError if value else KeyError)(value)
        return value

    metered = Metered()
    simulate(lambda: metered.pipeline(stage(task=odd)).run(range(10)))
    left = {
        (row["antflow.outcome"], row.get("error.type")): point.value
        for series, point in metered.points("antflow.stage.item.left").items()
        if (row := dict(series))
    }
    assert left.pop(("failed", "ValueError")) == 3
    assert left.pop(("failed", "KeyError")) == 1
    # The series without a class is 0, so that a sum over the classes is right.
    others = dict.fromkeys(["failed", "skipped", "dropped", "unprocessed"], 0)
    assert left == {(name, None): n for name, n in {**others, "completed": 6}.items()}
    assert metered.value("antflow.task.attempt.failed") == 4
    assert metered.value("antflow.task.attempt.ended") == 10
    assert "antflow.stage.capacity" in metered.metrics()


def test_an_unbounded_capacity_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()

    async def main() -> None:
        pipeline = metered.pipeline(stage(queue_capacity=0))
        await pipeline.start()
        assert "antflow.stage.capacity" not in metered.metrics()
        await pipeline.join()

    simulate(main)
    assert caplog.text == ""  # the SDK would drop infinity with a warning


def test_views_that_drop_metrics_make_no_value_stale(readings: list[list[Sample]]) -> None:
    views = [View(instrument_name="antflow.run.*", aggregation=DropAggregation())]
    metered = with_readers(InMemoryMetricReader(), views=views)
    for number in range(1, 4):
        run(metered)
        assert metered.value(FED) == number
    assert len(readings) == 3


def test_every_reader_of_a_provider_gets_the_present_values() -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    metered = with_readers(*readers)
    for number in range(1, 4):
        run(metered)
        for reader in readers:
            (point,) = points(collected(reader)[FED]).values()
            assert point.value == number


def test_collections_at_once_in_two_threads_each_show_one_reading() -> None:
    # The SDK lets one collection wait for the other; the API does not promise that.
    meter = create_autospec(Meter, instance=True)
    provider = create_autospec(MeterProviderOfAPI, instance=True)
    provider.get_meter.return_value = meter
    metered = Metered()
    metered.plugin = ObservingOTel(meter_provider=provider)

    def fed_and_ended(thread: ThreadPoolExecutor) -> Iterator[float]:
        for name in (FED, "antflow.task.attempt.ended"):
            (callback,) = next(
                call.args[1]
                for call in meter.create_observable_counter.call_args_list
                if call.args[0] == name
            )
            observed = thread.submit(lambda: list(callback(CallbackOptions())))  # noqa: B023
            yield sum(each.value for each in observed.result())

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        run(metered, 3)
        first = fed_and_ended(one)
        assert next(first) == 3
        run(metered, 2)
        assert list(fed_and_ended(other)) == [5, 5]
        assert list(first) == [3]
        assert list(fed_and_ended(one)) == [5, 5]


def test_plugins_of_one_provider_add_to_the_same_metrics(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered()
    run(metered)
    first, metered.plugin = metered.plugin, ObservingOTel(meter_provider=metered.provider)
    run(metered, 2, "other")

    class Second:
        """The first plugin by another name, in one run with the second."""

        antflow_name = "second"
        antflow_pipeline_start = first.antflow_pipeline_start
        antflow_pipeline_finish = first.antflow_pipeline_finish

    simulate(lambda: metered.pipeline(stage(), name="both", plugins=[Second()]).run(range(3)))
    assert metered.values(FED, "antflow.pipeline.name") == {"letters": 1, "other": 2, "both": 3}
    assert metered.value("antflow.task.attempt.duration") == 6
    assert caplog.text == ""


def test_a_provider_is_not_kept_alive() -> None:
    def use() -> ref[MeterProvider]:
        metered = Metered()
        run(metered)
        return ref(metered.provider)

    provider = use()
    gc.collect()
    assert provider() is None


# Quantiles


def test_quantiles_take_the_place_of_histograms() -> None:
    metered = Metered(quantiles=[0.99, 0.5])
    run(metered, 100)
    shown = metered.metrics()
    for name in ("antflow.stage.item.wait", "antflow.task.attempt.duration"):
        assert name not in shown
        found = metered.values(f"{name}_quantile", "antflow.quantile")
        assert list(found) == ["0.5", "0.99"]
        assert 0 < found["0.5"] <= found["0.99"] < 0.1


def test_each_pipeline_has_its_own_quantiles() -> None:
    metered = Metered()
    for name, quantiles in {"letters": [0.5], "other": [0.9], "third": None}.items():
        metered.plugin = ObservingOTel(None, metered.provider, quantiles=quantiles)
        run(metered, name=name)
    metrics = metered.metrics()
    shown = {
        (dict(series)["antflow.pipeline.name"], dict(series)["antflow.quantile"])
        for series in points(metrics["antflow.task.attempt.duration_quantile"])
    }
    assert shown == {("letters", "0.5"), ("other", "0.9")}
    recorded = points(metrics["antflow.task.attempt.duration"])
    assert {dict(series)["antflow.pipeline.name"] for series in recorded} == {"third"}


def test_without_any_durations_there_are_no_quantiles(caplog: pytest.LogCaptureFixture) -> None:
    metered = Metered(quantiles=[0.5])
    run(metered, 0)
    assert "antflow.task.attempt.duration_quantile" not in metered.metrics()
    assert caplog.text == ""  # the SDK would drop what is not a number with a warning
