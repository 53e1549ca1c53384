"""Requests to the server of metrics: real sockets, on loopback."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from antflow_prometheus import MetricsServer
from tests.packages.prometheus.scraping import samples
from tests.packages.prometheus.serving import get


@pytest.mark.parametrize("path", ["/metrics", "/", "/anything?x=1"])
def test_metrics_are_served_at_any_path(server: MetricsServer, path: str) -> None:
    status, body = get(server, path=path)
    assert status == 200
    assert list(samples(body.decode()).values()) == [1.5]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 200), ("POST", 405)])
def test_other_methods(server: MetricsServer, method: str, status: int) -> None:
    assert get(server, method)[0] == status


def test_closing_closes_connections(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert get(server)[0] == 200  # so that the connection before it is accepted
        server.close()
        assert connection.recv(100) == b""


class Broken:
    """A collector that raises."""

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Any:
        raise ValueError("broken")


def test_a_collector_that_raises_is_logged_and_the_response_says_so(
    registry: CollectorRegistry, server: MetricsServer, caplog: pytest.LogCaptureFixture
) -> None:
    registry.register(Broken())
    status, body = get(server)
    assert status == 500
    assert b"the log says why" in body
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_head_has_no_body_when_a_collector_raises(
    registry: CollectorRegistry, server: MetricsServer
) -> None:
    registry.register(Broken())
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        received = connection.makefile("rb").read()
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"content-length: " in received.lower()
    assert received.endswith(b"\r\n\r\n")


def test_a_scraper_that_goes_away_is_no_matter(
    server: MetricsServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        for sent in (b"", b"GET /metrics HTT"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                connection.sendall(sent)
        assert get(server)[0] == 200
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
