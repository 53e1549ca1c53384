"""Several observers of one run, combined into one."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from antflow import ErrorSummary, Pipeline, TaskEvent, hookimpl
from antflow._plugins.validation import hooks_of
from antflow_otel import OTel
from antflow_otel._observers import combine_observers
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered, same, stage


class Listener:
    """Notes what it hears, under a name."""

    def __init__(self, name: str, events: list[str]) -> None:
        self._name = name
        self._events = events

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        self._events.append(f"{self._name} {event.item_id}")


class Ender(Listener):
    """Listens to the end of runs, too."""

    @hookimpl
    def antflow_pipeline_finish(self, error_summary: ErrorSummary) -> None:
        self._events.append(f"{self._name} end")


def test_one_stands_for_itself_and_none_for_nothing() -> None:
    only = Listener("a", [])
    assert combine_observers([only]) is only
    assert combine_observers([]) is None


def test_the_first_is_called_first_and_each_for_what_it_listens_to() -> None:
    events: list[str] = []
    both = combine_observers([Listener("a", events), Ender("b", events)])
    assert hooks_of(both) == ("antflow_task_success", "antflow_pipeline_finish")
    pipeline = Pipeline([stage(task=same)], plugins=[both], autoload=False)
    simulate(lambda: pipeline.run([7, 8]))
    ids: list[Any] = [0, 1]
    assert events == [f"{name} {each}" for each in ids for name in "ab"] + ["b end"]


def test_one_that_raises_keeps_nothing_from_the_others() -> None:
    class Raising(Listener):
        @hookimpl
        def antflow_task_success(self, event: TaskEvent) -> None:
            raise LookupError

    events: list[str] = []
    both = combine_observers([Raising("a", events), Listener("b", events)])
    pipeline = Pipeline([stage(task=same)], plugins=[both], autoload=False)
    simulate(lambda: pipeline.run([7, 8]))
    assert events == ["b 0", "b 1"]
    assert sum(pipeline.plugin_faults.values()) == 2


def test_what_is_recorded_of_an_attempt_leads_to_its_span() -> None:
    spans = InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    metered = Metered()
    plugin = OTel(tracers, metered.provider)
    pipeline = Pipeline([stage(task=same)], plugins=[plugin], autoload=False)
    simulate(lambda: pipeline.run([1]))
    assert pipeline.plugin_faults == {}
    (attempt,) = [span for span in spans.get_finished_spans() if span.name == "Work same"]
    (point,) = metered.points("antflow.task.attempt.duration").values()
    assert [each.span_id for each in point.exemplars] == [attempt.context.span_id]


@pytest.mark.parametrize("given", ["provider", object])
def test_what_is_no_meter_provider_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"meter_provider of OTel is .*give an OpenTelemetry"):
        OTel(meter_provider=given)
