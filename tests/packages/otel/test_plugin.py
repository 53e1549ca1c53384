"""The plugin: its options, and whether it observes a run."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider
from opentelemetry.util._once import Once

from antflow import Pipeline, PipelineError, StatusEvent, hookimpl
from antflow._plugins.validation import hooks_of
from antflow_otel import OTel, _providers
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered
from tests.packages.otel.tracing import Traced, links_of, stage


@pytest.fixture
def globally() -> Iterator[None]:
    """Have no provider set globally, before and after."""
    saved = trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    yield
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = saved


def configured(*arguments: str) -> OTel:
    parser, plugin = ArgumentParser(), OTel()
    plugin.antflow_add_options(parser)
    plugin.antflow_configure(parser.parse_args(arguments))
    return plugin


def test_a_command_that_asks_for_nothing_changes_nothing() -> None:
    plugin, replace_surrogates = configured(), OTel()
    assert plugin._trace == replace_surrogates._trace == "item"
    assert (plugin._metrics._quantiles, plugin._metrics._enabled) == (None, None)


def test_a_command_chooses_what_is_traced_and_measured() -> None:
    plugin = configured("--otel-trace=run", "--otel-quantiles=0.5,0.95", "--no-otel-metrics")
    assert plugin._trace == "run"
    assert plugin._metrics._quantiles == (0.5, 0.95)
    assert plugin._metrics._enabled is False


def test_a_command_refuses_what_is_no_quantile(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        configured("--otel-quantiles=most")
    assert "'most' is not a list of numbers" in capsys.readouterr().err
    with pytest.raises(ValueError, match="2"):
        configured("--otel-quantiles=2")


class Watching:
    """A plugin that sees who takes part in a run."""

    @hookimpl(trylast=True)
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        run: Any = vars(self.pipeline)["_run"]
        self.is_silent = run.dispatcher.is_silent


def run_with(plugin: OTel) -> Watching:
    watching = Watching()
    one = Pipeline([stage()], plugins=[plugin, watching], autoload=False)
    assert len(simulate(lambda: one.run([1, 2]))) == 2
    assert not one.plugin_faults
    return watching


def test_it_listens_to_no_item_and_no_attempt() -> None:
    assert hooks_of(OTel()) == (
        "antflow_add_options",
        "antflow_configure",
        "antflow_pipeline_start",
        "antflow_pipeline_finish",
    )


@pytest.mark.usefixtures("globally")
@pytest.mark.parametrize("provider", [None, NoOpTracerProvider(), ProxyTracerProvider()])
def test_without_a_provider_no_hook_of_items_or_attempts_has_a_listener(provider: Any) -> None:
    assert run_with(OTel(provider)).is_silent


def test_with_an_sdk_that_is_disabled_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert run_with(OTel(TracerProvider(shutdown_on_exit=False))).is_silent


def test_with_a_provider_there_are_listeners() -> None:
    assert not run_with(Traced().plugin).is_silent


@pytest.mark.usefixtures("globally")
def test_a_provider_that_is_set_globally_is_seen_by_the_next_run() -> None:
    traced, plugin = Traced(), OTel()
    one = Pipeline([stage()], plugins=[plugin], autoload=False)
    simulate(lambda: one.run([1]))
    trace.set_tracer_provider(traced.provider)
    simulate(lambda: one.run([1]))
    assert len(traced.named("pipeline")) == 1


@pytest.mark.usefixtures("globally")
def test_what_stands_for_the_global_one_is_that_once_it_is_set() -> None:
    traced, plugin = Traced(), OTel(trace.get_tracer_provider())
    assert run_with(plugin).is_silent
    trace.set_tracer_provider(traced.provider)
    assert not run_with(plugin).is_silent
    assert traced.named("pipeline")


@pytest.mark.usefixtures("globally")
@pytest.mark.parametrize(
    ("options", "is_traced", "is_measured"),
    [
        ({}, True, True),
        ({"tracer_provider": NoOpTracerProvider()}, False, True),
        ({"metrics": False}, True, False),
        ({"tracer_provider": NoOpTracerProvider(), "metrics": False}, False, False),
    ],
)
def test_each_signal_is_switched_off_by_itself(
    options: Any, is_traced: bool, is_measured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced, metered = Traced(), Metered()
    trace.set_tracer_provider(traced.provider)
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: metered.provider)
    watching = run_with(OTel(**options))
    assert bool(traced.spans) is is_traced
    assert bool(metered.metrics()) is is_measured
    assert watching.is_silent is not (is_traced or is_measured)


@pytest.mark.usefixtures("globally")
@pytest.mark.parametrize("disabled", ["antflow", "*"])
def test_both_are_off_when_the_instrumentation_is_disabled(
    disabled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = trace.get_tracer_provider()
    trace.set_tracer_provider(Traced().provider)
    monkeypatch.setattr(_providers, "get_meter_provider", lambda: Metered().provider)
    monkeypatch.setenv(_providers.DISABLED, disabled)
    assert run_with(OTel()).is_silent
    assert run_with(OTel(early)).is_silent
    assert not run_with(Traced().plugin).is_silent


@pytest.mark.usefixtures("globally")
def test_one_that_is_given_comes_before_the_global_one() -> None:
    other, traced = Traced(), Traced()
    trace.set_tracer_provider(other.provider)
    simulate(lambda: traced.pipeline(stage()).run([1]))
    assert traced.named("letters")
    assert not other.spans


def test_what_goes_wrong_at_the_end_of_a_run_is_counted() -> None:
    class Faulty:
        antflow_name = "faulty"

        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            raise ValueError

    metered = Metered()
    plugins = [Faulty(), OTel(meter_provider=metered.provider)]
    one = Pipeline([stage()], plugins=plugins, autoload=False)
    simulate(lambda: one.run([1]))
    assert metered.values("antflow.plugin.errors", "antflow.plugin.name")["faulty"] == 1


def test_each_run_of_a_pipeline_has_a_span() -> None:
    run_ids: list[str] = []

    class Noting:
        @hookimpl
        def antflow_item_finish(self, event: StatusEvent) -> None:
            run_ids.append(event.run_id)

    traced = Traced()
    one = traced.pipeline(stage(), plugins=[Noting()])
    simulate(lambda: one.run([1]))
    simulate(lambda: one.run(iter([1])))
    runs = [dict(span.attributes or {}) for span in traced.named("run letters")]
    assert [run["antflow.run.id"] for run in runs] == run_ids
    assert len(set(run_ids)) == 2
    assert ["antflow.run.total_items" in run for run in runs] == [True, False]


def test_the_run_may_be_the_trace() -> None:
    traced = Traced(trace="run")
    simulate(lambda: traced.pipeline(stage()).run(range(2)))
    below = ["  letters", "    Work", "      Work same"]
    assert traced.tree() == ["run letters", *below, *below]
    assert not any(links_of(item) for item in traced.named("letters"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trace": "stage"}, "trace of OTel is 'stage'; choose 'item' or 'run'"),
        ({"feed_context": None}, "feed_context of OTel is None; choose 'link' or 'child'"),
    ],
)
def test_an_option_that_is_unknown_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        OTel(**options)


@pytest.mark.parametrize("option", ["tracer_provider", "meter_provider"])
def test_what_is_no_provider_is_refused(option: str) -> None:
    options: Any = {option: "default"}
    with pytest.raises(TypeError, match=f"{option} of OTel is 'default'; give an OpenTelemetry"):
        OTel(**options)


def test_two_in_one_pipeline_are_refused() -> None:
    with pytest.raises(PipelineError, match="two plugins called 'otel'"):
        Pipeline([stage()], plugins=[OTel(), OTel()])
