"""The plugin: its options, and the order of its hooks."""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from antflow import DURATION_BOUNDS, Pipeline, PipelineError, hookimpl
from antflow._plugins.validation import hooks_of
from antflow_prometheus import DEFAULT_BUCKETS, Prometheus, plugin
from antflow_prometheus._environment import PORT, ProcessServer
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import Scraper, key, samples, stage


def les(scraper: Scraper, name: str = "antflow_stage_queue_wait_seconds_bucket") -> set[str]:
    return {dict(labels)["le"] for sample, labels in scraper.samples() if sample == name}


def test_it_listens_to_the_command_line_and_the_start_and_the_end_of_runs_alone() -> None:
    assert hooks_of(Prometheus(CollectorRegistry())) == (
        "antflow_add_options",
        "antflow_configure",
        "antflow_pipeline_start",
        "antflow_pipeline_finish",
    )


def test_buckets_are_shown_as_chosen() -> None:
    scraper = Scraper(buckets=[1, 0.01, float("inf"), 0.01])
    simulate(lambda: scraper.pipeline(stage()).run([1]))
    assert les(scraper) == {"0.01", "1.0", "+Inf"}


def test_without_a_choice_buckets_reach_from_a_millisecond_to_a_hundred_seconds() -> None:
    scraper = Scraper()
    simulate(lambda: scraper.pipeline(stage()).run([1]))
    assert les(scraper) == {*(repr(bound) for bound in DEFAULT_BUCKETS), "+Inf"}
    assert DEFAULT_BUCKETS[:3] == (0.001, 0.0025, 0.005)
    assert DEFAULT_BUCKETS[-1] == 100.0


def test_every_bound_that_is_counted_may_be_chosen() -> None:
    scraper = Scraper(buckets=DURATION_BOUNDS)
    simulate(lambda: scraper.pipeline(stage()).run([1]))
    assert len(les(scraper)) == len(DURATION_BOUNDS) + 1


def test_pipelines_of_one_registry_may_have_buckets_of_their_own() -> None:
    scraper = Scraper()
    other = Prometheus(scraper.registry, buckets=[1])

    async def main() -> None:
        await scraper.pipeline(stage()).run([1])
        await Pipeline([stage()], name="other", plugins=[other], autoload=False).run([1])

    simulate(main)
    count = "antflow_stage_queue_wait_seconds_count"
    assert scraper.value(count, pipeline="letters", stage="Work") == 1
    assert scraper.value(count, pipeline="other", stage="Work") == 1
    assert len(les(scraper)) == len(DEFAULT_BUCKETS) + 1


@pytest.mark.parametrize(
    ("buckets", "message"),
    [
        ([0.3], "has 0.3, which antflow does not count; choose among 1e-05, 2.5e-05"),
        ([], "is empty; choose among"),
        ([float("inf")], "is empty; choose among"),
        (["often"], "give upper bounds in seconds, such as"),
        (7, "give upper bounds in seconds, such as"),
        ([float("nan")], "has nan, which antflow does not count"),
    ],
)
def test_buckets_that_are_not_counted_are_refused(buckets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Prometheus(CollectorRegistry(), buckets)


def test_what_is_no_registry_is_refused() -> None:
    registry: Any = "default"
    with pytest.raises(TypeError, match="registry of Prometheus is 'default'; give a"):
        Prometheus(registry)


def test_two_in_one_pipeline_are_refused() -> None:
    both = [Prometheus(CollectorRegistry()), Prometheus(CollectorRegistry())]
    with pytest.raises(PipelineError, match="two plugins called 'prometheus'"):
        Pipeline([stage()], plugins=both)


class Loud:
    """Raises at the start and at the end of a run, and sees what a scraper sees meanwhile."""

    antflow_name = "loud"

    def __init__(self, scraper: Scraper) -> None:
        self.scraper = scraper
        self.seen: list[float] = []

    def see(self) -> None:
        self.seen.append(self.scraper.value("antflow_pipeline_runs_active", pipeline="letters"))

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.see()
        raise ValueError("start")

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        self.see()
        raise ValueError("finish")


@pytest.mark.parametrize("is_first", [True, False])
def test_runs_are_counted_before_and_after_the_hooks_of_other_plugins(
    is_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scraper = Scraper()
    loud = Loud(scraper)
    plugins = [loud, scraper.plugin] if is_first else [scraper.plugin, loud]
    one = Pipeline([stage()], name="letters", plugins=plugins, autoload=False)
    simulate(lambda: one.run([1]))
    assert loud.seen == [1, 1]
    faults = {"pipeline": "letters", "plugin": "loud"}
    assert scraper.value("antflow_plugin_faults_total", **faults) == 2
    assert len(caplog.records) == 2


def test_an_environment_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PORT, "often")
    with pytest.raises(ValueError, match="ANTFLOW_PROMETHEUS_PORT is 'often'"):
        Prometheus(CollectorRegistry())


def configure(*arguments: str) -> None:
    prometheus, parser = Prometheus(CollectorRegistry()), argparse.ArgumentParser()
    prometheus.antflow_add_options(parser)
    prometheus.antflow_configure(parser.parse_args(arguments))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> ProcessServer:
    service = ProcessServer()
    monkeypatch.setattr(plugin, "PROCESS_SERVER", service)
    monkeypatch.setenv(PORT, "0")
    return service


def test_the_environment_opens_a_server_at_the_first_run_and_logs_its_address(
    service: ProcessServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = Pipeline([stage()], name="served", plugins=[Prometheus()], autoload=False)
    assert service.server is None
    with caplog.at_level("INFO"):
        simulate(lambda: one.run([1]))
        simulate(lambda: one.run([1]))
    assert service.server is not None
    service.server.close()
    (record,) = (each for each in caplog.records if each.name.startswith("antflow_prometheus"))
    assert record.levelname == "INFO"
    assert record.getMessage() == f"Metrics are served at {service.server.url}"
    shown = samples(generate_latest(REGISTRY).decode())
    assert shown[key("antflow_pipeline_items_fed_total", pipeline="served")] == 2


def test_the_command_line_opens_a_server_at_once(
    service: ProcessServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PORT, "1")  # which the command line overrules
    with caplog.at_level("INFO"):
        configure("--prometheus-port", "0", "--prometheus-addr", "0.0.0.0")
    assert service.server is not None
    service.server.close()
    assert f"Metrics are served at {service.server.url}" in caplog.text
    assert service.server.url.startswith("http://0.0.0.0:")


def test_the_command_line_may_ask_for_no_server(service: ProcessServer) -> None:
    configure()
    assert service.server is None


def test_an_address_without_a_port_is_refused(
    service: ProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PORT)
    with pytest.raises(ValueError, match="--prometheus-addr needs --prometheus-port; give both"):
        configure("--prometheus-addr", "127.0.0.1")
    assert service.server is None


def test_a_port_that_is_taken_is_refused_on_the_command_line(service: ProcessServer) -> None:
    other = ProcessServer()
    other.open({PORT: "0"})
    assert other.server is not None
    port = other.server.port
    with pytest.raises(ValueError, match=f"port {port}: another program listens there already"):
        configure("--prometheus-port", str(port))
    other.server.close()


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_what_is_no_port_is_refused_on_the_command_line(
    service: ProcessServer, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        configure(f"--prometheus-port={port}")
    assert f"{port!r} is not a port number; give 1 to 65535" in capsys.readouterr().err
    assert service.server is None


def test_the_environment_opens_none_for_a_registry_of_ones_own(service: ProcessServer) -> None:
    simulate(lambda: Scraper().pipeline(stage()).run([1]))
    assert service.server is None


def test_a_port_that_is_taken_is_one_line_of_the_log_and_the_run_goes_on(
    service: ProcessServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = Pipeline([stage()], plugins=[Prometheus()], autoload=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(PORT, str(port))
        assert len(simulate(lambda: one.run(range(3)))) == 3
        assert len(simulate(lambda: one.run(range(3)))) == 3
    assert one.plugin_faults == {}
    assert service.server is None
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.name.startswith("antflow_prometheus")
    assert record.getMessage() == (
        f"ANTFLOW_PROMETHEUS_PORT: Metrics cannot be served at 127.0.0.1 port {port}: another "
        "program listens there already; stop it, give another port, or 0 for any free one. The "
        "program goes on, and the next run tries again."
    )
    simulate(lambda: one.run(range(3)))
    assert service.server is not None
    service.server.close()


def test_a_push_that_fails_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    scraper = Scraper(pushgateway="127.0.0.1:1")
    one = scraper.pipeline(stage())
    assert len(asyncio.run(one.run(range(3)))) == 3
    faults = {"pipeline": "letters", "plugin": "prometheus"}
    assert scraper.value("antflow_plugin_faults_total", **faults) == 1
    assert one.plugin_faults == {"prometheus": 1}
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "could not be pushed to '127.0.0.1:1'" in str(record.exc_info[1])
