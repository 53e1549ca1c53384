"""A forked child process counts its own runs, and waits for no lock of its parent."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from socket import socketpair

import pytest
from prometheus_client import CollectorRegistry

from antflow_prometheus import make_asgi_app, start_http_server
from antflow_prometheus._environment import PORT, ProcessServer
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import Scraper, stage
from tests.packages.prometheus.serving import get
from tests.packages.prometheus.test_apps import HTTP, call

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

SECONDS = 30
"""After which a child that hangs is killed by its own alarm."""


def in_a_child(work: Callable[[], str]) -> str:
    """Return what `work` returns in a forked child process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            os.write(writing, work().encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as stream:
        output = stream.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return output


def test_a_child_shows_its_own_runs_alone() -> None:
    scraper = Scraper()
    name = "antflow_pipeline_items_fed_total"
    simulate(lambda: scraper.pipeline(stage()).run(range(3)))

    def work() -> str:
        before = scraper.values(name, "pipeline")
        asyncio.run(scraper.pipeline(stage(), name="child").run(range(2)))
        return f"{before} {scraper.values(name, 'pipeline')}"

    assert in_a_child(work) == "{} {'child': 2.0}"
    assert scraper.values(name, "pipeline") == {"letters": 3}


def test_a_child_does_not_keep_the_port_of_its_parent() -> None:
    with start_http_server(0, registry=CollectorRegistry()) as server:
        ours, childs = socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            signal.alarm(SECONDS)
            childs.send(b"forked")
            childs.recv(1)
            os._exit(0)
        childs.close()
        with ours:
            assert ours.recv(6) == b"forked"
            server.close()
            with start_http_server(server.port, registry=CollectorRegistry()) as again:
                assert get(again)[0] == 200
        os.waitpid(child, 0)


def test_a_child_closes_its_copy_of_a_server_and_the_parents_goes_on() -> None:
    with start_http_server(0, registry=CollectorRegistry()) as server:

        def work() -> str:
            server.close()
            return str(server.port)

        assert in_a_child(work) == str(server.port)
        assert get(server)[0] == 200


def test_the_environments_server_stays_with_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    service = ProcessServer()

    def work() -> str:
        service.open({PORT: "0"})
        service.open({PORT: "0"})
        return f"{service.server} {len(caplog.records)} {caplog.text}"

    service.open({PORT: "0"})
    assert service.server is not None
    output = in_a_child(work)
    service.server.close()
    assert output.startswith("None 1 ")
    assert "opens a port in the main process only" in output


def test_a_program_that_forks_before_it_serves_serves_in_its_child() -> None:
    service = ProcessServer()

    def work() -> str:
        service.open({PORT: "0"})
        assert service.server is not None
        with service.server as server:
            return str(get(server)[0])

    assert in_a_child(work) == "200"


def test_a_grandchild_leaves_the_server_to_its_grandparent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = ProcessServer()

    def work() -> str:
        service.open({PORT: "0"})
        return f"{service.server} {len(caplog.records)}"

    service.open({PORT: "0"})
    assert service.server is not None
    output = in_a_child(lambda: in_a_child(work))
    service.server.close()
    assert output == "None 1"


def test_an_application_that_was_asked_before_is_answered_in_a_child() -> None:
    app = make_asgi_app(CollectorRegistry())

    def status() -> str:
        start, _ = asyncio.run(call(app, HTTP))
        return str(start["status"])

    assert status() == "200"
    assert in_a_child(status) == "200"
