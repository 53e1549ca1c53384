"""The HTTP server behind `MetricsServer`, with a thread for each request.

It is the standard library's, except that it stops at once: it waits for no client.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from selectors import EVENT_READ, DefaultSelector
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket, socketpair
from socketserver import TCPServer
from sys import exc_info
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry

from ._forks import reset_after_fork
from ._response import Response, respond, text_response

_logger = logging.getLogger(__name__)


class ScrapeServer(ThreadingHTTPServer):
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
        self.address_family = AF_INET6 if ":" in addr else AF_INET
        self.registry = registry
        self._lock = Lock()
        self._connections: set[Any] = set()
        super().__init__((addr, port), _RequestHandler)
        # A client may disconnect between `select` and `accept`, which would block then.
        self.socket.setblocking(False)
        # Closing one end wakes `serve` at once; the standard library polls every half second.
        self._waking, self._woken = socketpair()
        self._selector = DefaultSelector()
        self._selector.register(self.socket, EVENT_READ)
        self._selector.register(self._woken, EVENT_READ)
        reset_after_fork(self)

    def server_bind(self) -> None:
        """Listen, without the base class's look-up of a name, which may take seconds."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)

    def serve(self) -> None:
        """Serve requests until `stop` is called."""
        with self._woken, self._selector as selector:
            while self._woken not in (key.fileobj for key, _ in selector.select()):
                self.handle_request()

    def stop(self) -> None:
        """Wake `serve`, so that it returns."""
        self._waking.close()

    def reset(self) -> None:
        """Close all sockets in a child process, so that only its parent has the port."""
        for one in (self._selector, self.socket, self._waking, self._woken, *self._connections):
            one.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().close_request(request)

    def server_close(self) -> None:
        """Free the port, and shut down all connections, so that no thread waits for a client."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Log the failure of a request, such as a scraper that disconnected."""
        _logger.debug("The scrape of %s was not answered.", client_address, exc_info=exc_info())


class _RequestHandler(BaseHTTPRequestHandler):
    server: ScrapeServer
    timeout = 30.0  # seconds without a byte from the client

    def do_GET(self) -> None:
        """Respond with metrics."""
        response = self._respond()
        self.send_response(response.status)
        for header in response.headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(response.body)

    do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - named after the methods

    def _respond(self) -> Response:
        _, _, query = self.path.partition("?")
        accept = self.headers.get("Accept", "")
        encodings = self.headers.get("Accept-Encoding", "")
        try:
            return respond(self.server.registry, self.command, query, accept, encodings)
        except Exception:
            _logger.exception("Metrics could not be collected.")
            text = "Metrics could not be collected; the log says why.\n"
            return text_response(self.command, 500, text)

    def log_message(self, *_: Any) -> None:
        """Log no requests."""
