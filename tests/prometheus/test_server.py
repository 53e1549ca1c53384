"""The server of metrics: real sockets, on loopback."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import enumerate as all_threads
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from antflow_prometheus import MetricsServer, start_http_server
from tests.prometheus.scraping import samples


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("heat", "Heat.", registry=registry).set(1.5)
    return registry


@pytest.fixture
def server(registry: CollectorRegistry) -> Iterator[MetricsServer]:
    with start_http_server(0, registry=registry) as server:
        yield server


def get(server: MetricsServer, method: str = "GET", path: str = "/metrics") -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/metrics", "/", "/anything?x=1"])
def test_metrics_are_served_at_any_path(server: MetricsServer, path: str) -> None:
    status, body = get(server, path=path)
    assert status == 200
    assert list(samples(body.decode()).values()) == [1.5]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 200), ("POST", 501)])
def test_other_methods(server: MetricsServer, method: str, status: int) -> None:
    assert get(server, method)[0] == status


def test_it_listens_on_loopback_alone(server: MetricsServer) -> None:
    assert server._server.socket.getsockname() == ("127.0.0.1", server.port)
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"


def test_it_listens_where_it_is_told_to(registry: CollectorRegistry) -> None:
    with start_http_server(0, "0.0.0.0", registry) as server:
        assert server._server.socket.getsockname()[0] == "0.0.0.0"
        assert get(server)[0] == 200


def test_it_listens_on_ipv6(registry: CollectorRegistry) -> None:
    try:
        server = start_http_server(0, "::1", registry)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with server:
        assert server.url == f"http://[::1]:{server.port}/metrics"
        with socket.create_connection(("::1", server.port), 10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.0 200")


def test_a_taken_port_is_a_clear_error(server: MetricsServer) -> None:
    with pytest.raises(OSError, match="another program listens there already") as caught:
        start_http_server(server.port)
    assert str(server.port) in str(caught.value)
    assert "give another port, or 0" in str(caught.value)


def test_a_strange_address_is_a_clear_error() -> None:
    with pytest.raises(
        OSError, match=r"cannot be served at 203\.0\.113\.1 port 0.*address of this"
    ):
        start_http_server(0, "203.0.113.1")


@pytest.mark.parametrize("port", [-1, 65536, "9464", None, True, 1.0])
def test_what_is_no_port_is_refused(port: Any) -> None:
    with pytest.raises(ValueError, match="number from 1 to 65535"):
        start_http_server(port)


def test_closing_frees_the_port_and_ends_the_thread(registry: CollectorRegistry) -> None:
    server = start_http_server(0, registry=registry)
    port = server.port
    server.close()
    server.close()
    assert "antflow-metrics-server" not in {thread.name for thread in all_threads()}
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 10)
    start_http_server(port, registry=registry).close()


def test_a_collector_that_raises_is_logged_and_told(
    registry: CollectorRegistry, server: MetricsServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def describe(self) -> list[Any]:
            return []

        def collect(self) -> Any:
            raise ValueError("broken")

    registry.register(Broken())
    status, body = get(server)
    assert status == 500
    assert b"the log says why" in body
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_a_scraper_that_goes_away_is_no_matter(
    server: MetricsServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                connection.sendall(b"GET /metrics HTT")
        assert get(server)[0] == 200
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
