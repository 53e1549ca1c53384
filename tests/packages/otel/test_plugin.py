"""The plugin: its options on the command line and in programs."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

import pytest
from opentelemetry import metrics, trace

from antflow import hookimpl
from antflow_otel import OTel
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered, ObservingOTel
from tests.packages.otel.tracing import Traced, attributes_of, stage


def configured(*arguments: str) -> ObservingOTel:
    parser, plugin = ArgumentParser(), ObservingOTel()
    plugin.antflow_add_options(parser)
    plugin.antflow_configure(parser.parse_args(arguments))
    return plugin


@pytest.mark.usefixtures("no_global_providers")
@pytest.mark.parametrize(
    ("arguments", "is_one_trace", "durations"),
    [
        ([], False, ["duration"]),
        (["--otel-trace=item", "--otel-metrics"], False, ["duration"]),
        (["--otel-trace=run"], True, ["duration"]),
        (["--otel-quantiles=0.5,0.95"], False, ["duration_quantile"]),
        (["--no-otel-metrics"], False, []),
    ],
)
def test_the_command_line_chooses_traces_and_metrics(
    arguments: list[str], is_one_trace: bool, durations: list[str]
) -> None:
    traced, metered = Traced(), Metered()
    trace.set_tracer_provider(traced.provider)
    metrics.set_meter_provider(metered.provider)
    metered.plugin = configured(*arguments)
    simulate(lambda: metered.pipeline(stage()).run([1]))
    assert (traced.tree()[1] == "  letters") is is_one_trace
    prefix = "antflow.task.attempt."
    shown = metered.metrics()
    assert [name for name in shown if "duration" in name] == [prefix + each for each in durations]
    if durations == ["duration_quantile"]:
        values = metered.values(f"{prefix}duration_quantile", "antflow.quantile")
        assert values.keys() == {"0.5", "0.95"}


def test_the_command_line_refuses_what_is_no_quantile(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        configured("--otel-quantiles=most")
    assert "'most' is not a list of numbers" in capsys.readouterr().err
    with pytest.raises(ValueError, match="2"):
        configured("--otel-quantiles=2")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trace": "stage"}, ValueError, "trace of OTel is 'stage'; choose 'item' or 'run'"),
        ({"feed_context": None}, ValueError, "feed_context of OTel is None; choose 'link' or"),
        ({"tracer_provider": "x"}, TypeError, "tracer_provider of OTel is 'x'; give an OpenTel"),
        ({"meter_provider": "x"}, TypeError, "meter_provider of OTel is 'x'; give an OpenTel"),
        *(
            ({"quantiles": wanted}, ValueError, f"quantiles of OTel are {wanted!r}; give numbers")
            for wanted in ((), [2], [-0.1, 0.5], ["many"], 0.5, [float("nan")])
        ),
    ],
)
def test_an_invalid_option_is_refused(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        OTel(**options)


def test_a_fault_at_the_end_of_a_run_is_counted() -> None:
    class Faulty:
        antflow_name = "faulty"

        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            raise ValueError

    metered = Metered()
    one = metered.pipeline(stage(), plugins=[Faulty()])
    simulate(lambda: one.run([1]))
    assert metered.values("antflow.plugin.errors", "antflow.plugin.name")["faulty"] == 1


def test_each_run_of_a_pipeline_has_a_span_of_its_own() -> None:
    traced = Traced()
    one = traced.pipeline(stage())
    run_ids: list[str] = []
    simulate(lambda: one.run([1]))
    run_ids.append(one.run_id)
    simulate(lambda: one.run(iter([1])))
    run_ids.append(one.run_id)
    runs = [attributes_of(span) for span in traced.named("run letters")]
    assert [run["antflow.run.id"] for run in runs] == run_ids
    assert len(set(run_ids)) == 2
    assert ["antflow.run.total_items" in run for run in runs] == [True, False]
