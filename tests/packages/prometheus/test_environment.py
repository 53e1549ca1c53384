"""Environment variables and the command line open a server: one, in the main process.

Each test forks, since a process opens the server once.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from urllib.request import urlopen

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from antflow import Pipeline
from antflow_prometheus import Prometheus
from tests.helpers.forks import in_a_child, needs_fork
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import key, samples, stage

pytestmark = needs_fork

PORT, ADDR = "ANTFLOW_PROMETHEUS_PORT", "ANTFLOW_PROMETHEUS_ADDR"
ONLY_IN_MAIN = f"{PORT} opens a port in the main process only, not in the child process"

Logged = Callable[[], list[str]]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logged]:
    """Returns what antflow-prometheus has logged since the last call."""
    monkeypatch.setenv(PORT, "0")
    monkeypatch.delenv(ADDR, raising=False)

    def take() -> list[str]:
        lines = [
            f"{record.levelname} {record.getMessage()}"
            for record in caplog.records
            if record.name.startswith("antflow_prometheus")
        ]
        caplog.clear()
        return lines

    with caplog.at_level("INFO"):
        yield take


def run(registry: CollectorRegistry = REGISTRY) -> Pipeline:
    """Run a pipeline with the plugin."""
    one = Pipeline([stage()], name="served", plugins=[Prometheus(registry)], autoload=False)
    assert len(simulate(lambda: one.run([1]))) == 1
    return one


def url_in(lines: list[str]) -> str:
    (line,) = lines
    found = re.fullmatch(r"INFO Metrics are served at (http://\S+)", line)
    assert found
    return found[1]


def configure(*arguments: str) -> None:
    """Do what `antflow run` does with its options."""
    plugin, parser = Prometheus(CollectorRegistry()), argparse.ArgumentParser()
    plugin.antflow_add_options(parser)
    plugin.antflow_configure(parser.parse_args(arguments))


@pytest.mark.parametrize("port", ["0", " 0 "])
def test_the_first_run_opens_a_server_and_logs_its_address(
    port: str, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PORT, port)

    def work() -> str:
        for _ in range(2):
            assert run().plugin_faults == {}
        url = url_in(logged())
        assert url.startswith("http://127.0.0.1:")
        with urlopen(url, timeout=10) as answer:
            shown = samples(answer.read().decode())
        return str(shown[key("antflow_pipeline_items_fed_total", pipeline="served")])

    assert in_a_child(work) == "2.0"


@pytest.mark.parametrize("port", ["", "  ", None])
def test_nothing_is_opened_unless_a_port_is_set(
    port: str | None, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PORT) if port is None else monkeypatch.setenv(PORT, port)

    def work() -> str:
        run()
        configure()
        return str(logged())

    assert in_a_child(work) == "[]"


def test_nothing_is_opened_for_a_registry_of_ones_own(logged: Logged) -> None:
    def work() -> str:
        run(CollectorRegistry())
        return str(logged())

    assert in_a_child(work) == "[]"


@pytest.mark.parametrize("port", ["http", "-1", "65536", "94 64", "1.5", "0x10"])
def test_an_invalid_port_is_refused_before_any_run(
    port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PORT, port)
    with pytest.raises(ValueError, match=re.escape(f"{PORT} is {port!r}; set it to")):
        Prometheus(CollectorRegistry())


def test_the_address_may_be_set(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDR, " 0.0.0.0 ")

    def work() -> str:
        run()
        return url_in(logged())

    assert in_a_child(work).startswith("http://0.0.0.0:")


def test_an_invalid_address_is_a_fault_that_names_the_variable(
    caplog: pytest.LogCaptureFixture, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDR, "[::1]")

    def work() -> str:
        assert run().plugin_faults == {"prometheus": 1}
        return caplog.text

    expected = f"ValueError: {ADDR} is '[::1]'; give '::1', without the brackets"
    assert expected in in_a_child(work)


def test_a_taken_port_is_one_warning_and_a_later_run_tries_again(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> str:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            monkeypatch.setenv(PORT, str(port))
            for _ in range(2):
                assert run().plugin_faults == {}
            (warning,) = logged()
        run()
        assert url_in(logged()) == f"http://127.0.0.1:{port}/metrics"
        return warning.replace(str(port), "PORT")

    assert in_a_child(work) == (
        "WARNING ANTFLOW_PROMETHEUS_PORT: Metrics cannot be served at 127.0.0.1 port PORT: another "
        "program listens there already; stop it, give another port, or 0 for any free one. The "
        "program goes on, and the next run tries again."
    )


# Child processes


@pytest.mark.parametrize("is_set", [True, False])
def test_a_child_of_multiprocessing_opens_none_and_says_so_once(
    is_set: bool, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_set:
        monkeypatch.delenv(PORT)
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def work() -> None:
        run()
        run()
        theirs.send(logged())

    child = context.Process(target=work, name="Worker-7")
    child.start()
    assert ours.poll(30)
    lines = ours.recv()
    child.join(10)
    assert child.exitcode == 0
    assert len(lines) == is_set
    for line in lines:
        assert line.startswith(f"WARNING {ONLY_IN_MAIN} Worker-7 ({child.pid});")
        assert "start_http_server" in line
        assert "ANTFLOW_PROMETHEUS_PUSHGATEWAY" in line


def test_children_and_grandchildren_leave_the_server_to_the_process_that_has_it(
    logged: Logged,
) -> None:
    def run_twice() -> str:
        run()
        run()
        (line,) = logged()
        assert f"({os.getpid()})" in line
        return line

    def work() -> str:
        run()
        url = url_in(logged())
        assert ONLY_IN_MAIN in in_a_child(run_twice)
        assert ONLY_IN_MAIN in in_a_child(lambda: in_a_child(run_twice))
        with urlopen(url, timeout=10) as answer:
            return str(answer.status)

    assert in_a_child(work) == "200"


# The command line


def test_the_command_line_opens_a_server_at_once_in_place_of_the_environments(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PORT, "1")

    def work() -> str:
        configure("--prometheus-port", "0", "--prometheus-addr", "0.0.0.0")
        return url_in(logged())

    assert in_a_child(work).startswith("http://0.0.0.0:")


def test_an_address_needs_a_port(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> str:
        configure("--prometheus-addr", "127.0.0.1")
        return url_in(logged())

    assert in_a_child(work).startswith("http://127.0.0.1:")  # the environment's port
    monkeypatch.delenv(PORT)
    with pytest.raises(ValueError, match="--prometheus-addr needs --prometheus-port; give both"):
        configure("--prometheus-addr", "127.0.0.1")


def test_the_command_line_refuses_a_taken_port(logged: Logged) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ValueError, match="another program listens there already"),
    ):
        configure("--prometheus-port", str(taken.getsockname()[1]))


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_the_command_line_refuses_an_invalid_port(
    port: str, logged: Logged, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        configure(f"--prometheus-port={port}")
    assert f"{port!r} is not a port number; give 1 to 65535" in capsys.readouterr().err
