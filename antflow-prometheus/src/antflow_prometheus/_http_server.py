"""The HTTP server behind `MetricsServer`, in one thread with an event loop of its own.

Clients may be slow, many or hostile: the number of connections, the time and size of a request, and
the shares of time spent on connections and on collecting metrics are all bounded. This thread and
the pipelines' share the interpreter, so what it uses is lost to them.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Event, Future, Runner, SelectorEventLoop, Task
from contextvars import Context
from http import HTTPStatus
from socket import AF_INET, AF_INET6, SHUT_WR, SO_REUSEADDR, SOL_SOCKET, socket
from time import monotonic, thread_time

import h11
from prometheus_client import CollectorRegistry

from antflow.exporting import reset_after_fork

from ._response import MetricsRequest, Response, parse_request, respond, text_response

MAX_CONNECTIONS = 100
"""If another client connects, the oldest connection that waits for its client is closed."""

MAX_SECONDS = 10.0
"""For one connection, from its start to its end."""

MAX_REQUEST = 8 * 1024
"""Bytes of a request line with its headers. Each kilobyte takes up to 0.2 ms to parse."""

MAX_UNREAD = 64 * 1024
"""Bytes that are read and dropped after a request, so that closing does not lose the response."""

READ_INTERVAL = 0.1
"""Seconds until a client's second piece is read, twice as many until the third, and so on."""

ACCEPT_INTERVAL = 0.02
"""Seconds between two connections that are accepted, so that a flood leaves time to pipelines."""

RETRY_INTERVAL = 0.5
"""Seconds until the next attempt to accept a connection, as if no file descriptor is left."""

MAX_SHARE = 0.02
"""Share of the time in which metrics are collected, however many requests there are."""

BURST = 0.3
"""Seconds for which metrics may be collected beyond that share."""

MAX_CONNECTION_SHARE = 0.015
"""Share of the time for all other work; beyond it, no connection is accepted."""

CONNECTION_BURST = 0.05
"""Seconds of other work beyond that share."""

_logger = logging.getLogger(__name__)


class _Pace:
    """Bounds the share of the time that some work takes."""

    def __init__(self) -> None:
        self._excess = 0.0
        self._updated_at = monotonic()

    def rest_after(self, seconds: float, share: float, burst: float) -> float:
        """Return how long to rest after work.

        Args:
            seconds: the CPU time of the work.
            share: the share of the time that all work may take.
            burst: seconds that it may take beyond that.
        """
        now = monotonic()
        free = (now - self._updated_at) * share
        self._excess = max(0.0, self._excess - free) + seconds
        self._updated_at = now
        return max(0.0, self._excess - burst) / share


class _Collection:
    """Collects the metrics for requests; those that wait at the same time share a response.

    Args:
        registry: the registry of the metrics.

    Attributes:
        seconds: the CPU time that collecting has taken so far.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = 0.0
        self._registry = registry
        self._waiting: dict[MetricsRequest, Future[Response]] = {}
        self._has_waiting = Event()
        self._pace = _Pace()

    async def response_to(self, request: MetricsRequest) -> Response:
        """Return the response to a request, with metrics collected after this call."""
        pending = self._waiting.get(request)
        if pending is None:
            pending = self._waiting[request] = asyncio.get_running_loop().create_future()
            self._has_waiting.set()
        return await asyncio.shield(pending)  # another request may wait for it, too

    async def run(self) -> None:
        """Respond to requests until cancelled."""
        while await self._has_waiting.wait():
            # Those for all metrics first, of which there are few kinds: clients that choose
            # ever other names delay only each other.
            request = min(self._waiting, key=lambda each: bool(each.names))
            pending = self._waiting.pop(request)
            if not self._waiting:
                self._has_waiting.clear()
            begin = thread_time()
            # It blocks this event loop, which has nothing else to do, and no other.
            pending.set_result(self._respond(request))
            seconds = thread_time() - begin
            self.seconds += seconds
            await asyncio.sleep(self._pace.rest_after(seconds, MAX_SHARE, BURST))

    def _respond(self, request: MetricsRequest) -> Response:
        try:
            return respond(self._registry, request)
        except Exception:
            _logger.exception("Metrics could not be collected.")
            text = "Metrics could not be collected; the log says why.\n"
            return text_response(request.method, 500, text)


class _Connection:
    """A connection to a client.

    Args:
        socket: the socket of the connection.

    Attributes:
        waits_for_client: whether the client is to send or to read.
    """

    def __init__(self, socket: socket) -> None:
        self.socket = socket
        self.waits_for_client = True
        self._pause = 0.0

    async def receive(self, size: int) -> bytes:
        """Return the next bytes, at most so many; none if the client has sent all of its own."""
        # What a read costs does not depend on its size, and the client chooses the sizes. What
        # comes during a pause is read at once.
        if self._pause > 0:
            await asyncio.sleep(self._pause)
        self._pause += READ_INTERVAL
        return await asyncio.get_running_loop().sock_recv(self.socket, size)

    async def finish(self, response: bytes) -> None:
        """Send the response, and read what else the client sends."""
        await asyncio.get_running_loop().sock_sendall(self.socket, response)
        self.socket.shutdown(SHUT_WR)
        # Closing a socket with unread data resets the connection, and may lose the response.
        self._pause = 0.0
        unread = MAX_UNREAD
        while unread > 0 and (received := await self.receive(unread)):
            unread -= len(received)


class ScrapeServer:
    """Serves metrics on a port.

    Args:
        addr: address of the network interface to listen on.
        port: the port to listen on; 0 for any free one.
        registry: the registry of the metrics.

    Raises:
        OSError: the port is taken, or cannot be listened on.
        TypeError, ValueError: `addr` cannot be looked up.
    """

    def __init__(self, addr: str, port: int, registry: CollectorRegistry) -> None:
        # A run opens the server, and the loop would keep the run by its context.
        self._loop: AbstractEventLoop = Context().run(SelectorEventLoop)
        try:
            self._socket = _listen(addr, port)
        except BaseException:
            self._loop.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._collection = _Collection(registry)
        self._stopped = Event()
        # The oldest is first.
        self._connections: dict[Task[None], _Connection] = {}
        self._may_have_room = Event()
        reset_after_fork(self)

    def serve(self) -> None:
        """Serve requests until `stop` is called."""
        with Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """Have `serve` return; call this from another thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    def reset(self) -> None:
        """Close all sockets in a child process, so that only its parent has the port."""
        self._socket.close()
        for connection in self._connections.values():
            connection.socket.close()

    async def _serve(self) -> None:
        tasks = [asyncio.create_task(self._collection.run()), asyncio.create_task(self._accept())]
        with self._socket:
            await self._stopped.wait()
            for task in (*tasks, *self._connections):
                task.cancel()
            await asyncio.gather(*tasks, *self._connections, return_exceptions=True)

    async def _accept(self) -> None:
        pace = _Pace()
        before = self._seconds_on_connections()
        while True:
            if len(self._connections) >= MAX_CONNECTIONS:
                self._close_oldest()
                self._may_have_room.clear()
                await self._may_have_room.wait()
                continue
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except OSError:
                # The connection stays in the backlog, so a retry at once would fail in a busy loop.
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            connection = _Connection(accepted)
            task = asyncio.create_task(self._handle(connection))
            self._connections[task] = connection
            task.add_done_callback(self._close)
            # What a connection takes is known when it has ended; the next one waits for that.
            now = self._seconds_on_connections()
            rest = pace.rest_after(now - before, MAX_CONNECTION_SHARE, CONNECTION_BURST)
            before = now
            await asyncio.sleep(max(ACCEPT_INTERVAL, rest))

    def _seconds_on_connections(self) -> float:
        """Return the CPU time of this thread so far, without collecting."""
        return thread_time() - self._collection.seconds

    def _close_oldest(self) -> None:
        """Close the oldest connection that waits for its client, if there is one."""
        # A scraper sends its request at once and reads the response at once; a hundred clients that
        # connect meanwhile are needed to push it out.
        for task, connection in self._connections.items():
            if connection.waits_for_client:
                task.cancel()
                return

    async def _handle(self, connection: _Connection) -> None:
        """Respond to one request."""
        try:
            async with asyncio.timeout(MAX_SECONDS):
                await self._respond(connection)
        except Exception:  # of this connection alone: the others go on
            _logger.debug("A scrape was not answered.", exc_info=True)

    def _close(self, task: Task[None]) -> None:
        """Close the connection of a task, which may have been cancelled before its first step."""
        self._connections.pop(task).socket.close()
        self._may_have_room.set()

    async def _respond(self, connection: _Connection) -> None:
        # A request that is incomplete when that much is read is too large.
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST - 1)
        try:
            request = await _receive_request(connection, protocol)
        except h11.RemoteProtocolError as error:
            text = "The request was malformed or too large; ask for metrics with GET.\n"
            response = text_response("GET", error.error_status_hint, text)
        else:
            if request is None:
                return
            connection.waits_for_client = False
            response = await self._collection.response_to(request)
            connection.waits_for_client = True
            self._may_have_room.set()
        await connection.finish(_to_bytes(protocol, response))


async def _receive_request(
    connection: _Connection, protocol: h11.Connection
) -> MetricsRequest | None:
    """Return the request; None if the client has closed the connection without one.

    Raises:
        h11.RemoteProtocolError: the request is malformed or too large.
    """
    left = MAX_REQUEST
    while (event := protocol.next_event()) is h11.NEED_DATA:
        received = await connection.receive(left)
        left -= len(received)
        protocol.receive_data(received)
    if not isinstance(event, h11.Request):
        return None
    headers: dict[bytes, str] = {}
    for name, text in event.headers:
        known = f"{headers[name]}, " if name in headers else ""
        headers[name] = known + text.decode("latin-1")
    _, _, query = event.target.decode("latin-1").partition("?")
    accept, encodings = headers.get(b"accept", ""), headers.get(b"accept-encoding", "")
    return parse_request(event.method.decode("latin-1"), query, accept, encodings)


def _listen(addr: str, port: int) -> socket:
    listening = socket(AF_INET6 if ":" in addr else AF_INET)
    try:
        listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listening.bind((addr, port))
        listening.listen(MAX_CONNECTIONS)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _to_bytes(protocol: h11.Connection, response: Response) -> bytes:
    """Return the bytes of a response, after which the connection is closed."""
    headers = [*response.headers, ("Connection", "close")]
    reason = HTTPStatus(response.status).phrase
    events = [
        h11.Response(status_code=response.status, headers=headers, reason=reason.encode()),
        h11.Data(data=response.body),
        h11.EndOfMessage(),
    ]
    return b"".join(protocol.send(event) or b"" for event in events)
