"""Clients that are slow, many or hostile cost little, and leave room for the others."""

from __future__ import annotations

import os
import resource
import socket
import time
from asyncio import SelectorEventLoop
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from threading import active_count
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric

from antflow_prometheus import MetricsServer
from tests.packages.prometheus.serving import get

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: antflow\r\n"


def connect(server: MetricsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10)


def answer_to(server: MetricsServer, *sent: bytes) -> bytes:
    """Return what the server answers until it closes the connection."""
    with connect(server) as connection:
        for part in sent:
            connection.sendall(part)
        return connection.makefile("rb").read()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def accepts_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antflow_prometheus._http_server.ACCEPT_INTERVAL", 0.001)
    monkeypatch.setattr("antflow_prometheus._http_server.CONNECTION_BURST", 10.0)


@pytest.mark.usefixtures("accepts_quickly")
@pytest.mark.parametrize(
    "sent", [b"", REQUEST, REQUEST + b"\r\n"], ids=["silent", "slow", "not reading"]
)
def test_clients_that_wait_need_no_thread_and_keep_no_other_client_waiting(
    server: MetricsServer, opened: ExitStack, sent: bytes
) -> None:
    before = active_count()
    for _ in range(120):
        opened.enter_context(connect(server)).sendall(sent)
    assert get(server)[0] == 200
    assert active_count() <= before  # a thread of an earlier test may have ended


@pytest.mark.usefixtures("accepts_quickly")
def test_the_client_that_is_slowest_is_disconnected_if_there_are_too_many(
    server: MetricsServer, opened: ExitStack
) -> None:
    first, *_ = [opened.enter_context(connect(server)) for _ in range(101)]
    assert get(server)[0] == 200
    assert first.recv(100) == b""


@pytest.mark.usefixtures("accepts_quickly")
def test_clients_that_got_metrics_and_stay_leave_room(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    monkeypatch.setattr("antflow_prometheus._http_server.BURST", -0.02)
    monkeypatch.setattr("antflow_prometheus._http_server.MAX_SHARE", 0.02)  # each second
    monkeypatch.setattr("antflow_prometheus._http_server.MAX_SECONDS", 1000)
    for _ in range(110):
        opened.enter_context(connect(server)).sendall(REQUEST + b"\r\n")
    assert get(server)[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([REQUEST, b"X: " + 40_000 * b"a" + b"\r\n\r\n"], b"431"),
        ([REQUEST + b"X: " + 9_000 * b"a" + b"\r\n\r\n"], b"431"),  # in one piece
        ([b"GET /" + 40_000 * b"a" + b" HTTP/1.1\r\n\r\n"], b"431"),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], b"400"),  # TLS
        ([b"GET /metrics HTTP/1.1\r\n\r\n"], b"400"),  # no host
        ([b"hello\r\n\r\n"], b"400"),
    ],
)
def test_a_malformed_or_large_request_is_refused(
    server: MetricsServer, sent: list[bytes], status: bytes
) -> None:
    answer = answer_to(server, *sent)
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")
    assert b"malformed or too large" in answer
    assert get(server)[0] == 200


def test_of_pipelined_requests_the_first_is_answered(server: MetricsServer) -> None:
    answer = answer_to(server, 100 * (REQUEST + b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"heat 1.5" in answer


def test_a_path_leads_to_no_file(server: MetricsServer) -> None:
    answer = answer_to(server, b"GET /../../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"heat 1.5" in answer
    assert b"root" not in answer


def test_a_request_that_comes_in_pieces_is_answered(server: MetricsServer) -> None:
    parts = [bytes([byte]) for byte in REQUEST + b"\r\n"]
    assert answer_to(server, *parts).startswith(b"HTTP/1.1 200 ")


def test_of_a_client_that_sends_many_pieces_few_are_read(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    receive = SelectorEventLoop.sock_recv

    async def note(self: SelectorEventLoop, connection: socket.socket, size: int) -> bytes:
        received = await receive(self, connection, size)
        sizes.append(len(received))
        return received

    monkeypatch.setattr(SelectorEventLoop, "sock_recv", note)
    with connect(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(0.005)
        for _ in range(40):
            connection.send(b"G")
            with suppress(TimeoutError):
                connection.recv(1)
    assert 1 <= len(sizes) <= 10


def test_connections_take_a_bounded_share_of_the_time(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch, opened: ExitStack
) -> None:
    ticks = count(1)
    monkeypatch.setattr("antflow_prometheus._http_server.CONNECTION_BURST", 0.0)
    monkeypatch.setattr("antflow_prometheus._http_server.MAX_CONNECTION_SHARE", 0.05)
    monkeypatch.setattr("antflow_prometheus._http_server.thread_time", lambda: next(ticks) * 0.01)
    begin = time.monotonic()
    for _ in range(5):
        opened.enter_context(connect(server))
    assert get(server)[0] == 200
    assert time.monotonic() - begin > 4 * 0.01 / 0.05


@pytest.mark.parametrize("request_sent", [b"", REQUEST])
def test_a_slow_client_is_disconnected_in_time(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch, request_sent: bytes
) -> None:
    monkeypatch.setattr("antflow_prometheus._http_server.MAX_SECONDS", 0.05)
    with connect(server) as connection:
        connection.sendall(request_sent)
        assert connection.recv(100) == b""


@contextmanager
def no_file_descriptors() -> Iterator[None]:
    """Allow no new descriptor in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_file_descriptors_the_server_waits_and_goes_on_later(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[socket.socket] = []
    accept = SelectorEventLoop.sock_accept

    async def note(self: SelectorEventLoop, listening: socket.socket) -> tuple[socket.socket, Any]:
        attempts.append(listening)
        return await accept(self, listening)

    monkeypatch.setattr(SelectorEventLoop, "sock_accept", note)
    monkeypatch.setattr("antflow_prometheus._http_server.RETRY_INTERVAL", 0.2)
    assert get(server)[0] == 200
    with connect(server) as first, socket.socket() as second:
        first.sendall(REQUEST)
        with no_file_descriptors():
            second.connect(("127.0.0.1", server.port))
            second.sendall(REQUEST + b"\r\n")
            second.settimeout(0.5)
            with pytest.raises(TimeoutError):
                second.recv(100)
        assert 1 < len(attempts) < 100  # it does not spin
        second.settimeout(10)
        assert second.recv(12) == b"HTTP/1.1 200"


@pytest.mark.usefixtures("accepts_quickly")
def test_collecting_takes_a_bounded_share_of_the_time_and_requests_share_what_is_collected(
    registry: CollectorRegistry,
    server: MetricsServer,
    monkeypatch: pytest.MonkeyPatch,
    opened: ExitStack,
) -> None:
    monkeypatch.setattr("antflow_prometheus._http_server.BURST", 0.0)
    monkeypatch.setattr("antflow_prometheus._http_server.MAX_SHARE", 0.1)
    collections = 0

    class Busy:
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> list[Metric]:
            nonlocal collections
            collections += 1
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            return []

    registry.register(Busy())
    begin = time.monotonic()
    connections = [opened.enter_context(connect(server)) for _ in range(60)]
    for connection in connections:
        connection.sendall(REQUEST + b"\r\n")
    for connection in connections:
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    seconds = time.monotonic() - begin
    assert collections < 30
    assert collections - 1 <= seconds * 0.1 / 0.02


@pytest.mark.usefixtures("accepts_quickly")
def test_clients_that_choose_ever_other_metrics_delay_only_each_other(
    registry: CollectorRegistry,
    server: MetricsServer,
    monkeypatch: pytest.MonkeyPatch,
    opened: ExitStack,
) -> None:
    monkeypatch.setattr("antflow_prometheus._http_server.BURST", -0.02)  # 0.2 s after each
    monkeypatch.setattr("antflow_prometheus._http_server.MAX_SHARE", 0.1)
    for number in range(50):
        request = REQUEST.replace(b"/metrics", b"/?name[]=heat&name[]=%d" % number)
        opened.enter_context(connect(server)).sendall(request + b"\r\n")
    begin = time.monotonic()
    assert get(server)[0] == 200
    assert time.monotonic() - begin < 4
