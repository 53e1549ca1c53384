"""The server of metrics: real sockets, on loopback."""

from __future__ import annotations

import re
import socket
import sys
from threading import enumerate as all_threads
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from antflow_prometheus import MetricsServer, start_http_server
from tests.packages.prometheus.serving import get

needs_other_loopback = pytest.mark.skipif(
    sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux alone"
)


@needs_other_loopback
def test_it_listens_on_loopback_alone(server: MetricsServer) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port), 10)


@needs_other_loopback
def test_it_listens_at_its_address(registry: CollectorRegistry) -> None:
    with start_http_server(0, "0.0.0.0", registry) as server:
        assert server.url == f"http://0.0.0.0:{server.port}/metrics"
        for addr in ("127.0.0.1", "127.0.0.2"):
            assert get(server, addr=addr)[0] == 200


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as bound:
            bound.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_it_listens_on_ipv6(registry: CollectorRegistry) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with start_http_server(0, "::1", registry) as server:
        assert server.url == f"http://[::1]:{server.port}/metrics"
        assert get(server, addr="::1")[0] == 200


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


@pytest.mark.parametrize(
    "addr", ["", "  ", None, 5, b"::1", "\0", pytest.param("\N{SNOWMAN}" * 70, id="too long")]
)
def test_what_is_no_address_is_refused(addr: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"addr is {addr!r}; give an address of this")):
        start_http_server(0, addr)


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
