"""Listening to a port, and answering each request in a thread of its own."""

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

from ._answer import Answer, answer, told
from ._forks import renewed_in_children

_logger = logging.getLogger(__name__)


class Listener(ThreadingHTTPServer):
    """Listens to a port.

    Args:
        addr: address of the network interface.
        port: to listen at; 0 to have a free one chosen.
        registry: whose metrics are shown.

    Raises:
        OSError: the port is taken, or cannot be listened at.
        TypeError, ValueError: `addr` cannot be looked up.
    """

    def __init__(self, addr: str, port: int, registry: CollectorRegistry) -> None:
        self.address_family = AF_INET6 if ":" in addr else AF_INET
        self.registry = registry
        self._lock = Lock()
        self._connections: set[Any] = set()
        super().__init__((addr, port), _Request)
        self.socket.setblocking(False)
        self._waking, self._woken = socketpair()
        self._selector = DefaultSelector()
        self._selector.register(self.socket, EVENT_READ)
        self._selector.register(self._woken, EVENT_READ)
        renewed_in_children(self)

    def server_bind(self) -> None:
        """Listen, without asking the network for a name, which may take seconds."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)

    def serve(self) -> None:
        """Answer requests until `stop` is called."""
        with self._woken, self._selector as selector:
            while self._woken not in (key.fileobj for key, _ in selector.select()):
                self.handle_request()

    def stop(self) -> None:
        """Wake `serve` up, and have it return."""
        self._waking.close()

    def renew(self) -> None:
        """Let go of all sockets in a child process, so that its parent alone has the port."""
        for one in (self._selector, self.socket, self._waking, self._woken, *self._connections):
            one.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a connection."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().close_request(request)

    def server_close(self) -> None:
        """Cut all connections, for no thread to wait for what a client sends, and free the port."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Note what went wrong with one request, such as a scraper that went away."""
        _logger.debug("The scrape of %s was not answered.", client_address, exc_info=exc_info())


class _Request(BaseHTTPRequestHandler):
    server: Listener
    timeout = 30.0  # seconds for which a client may keep silent

    def do_GET(self) -> None:
        """Answer with metrics."""
        found = self._found()
        self.send_response(found.status)
        for header in found.headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(found.body)

    do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - named after the methods

    def _found(self) -> Answer:
        _, _, query = self.path.partition("?")
        accept = self.headers.get("Accept", "")
        encodings = self.headers.get("Accept-Encoding", "")
        try:
            return answer(self.server.registry, self.command, query, accept, encodings)
        except Exception:
            _logger.exception("Metrics could not be collected.")
            return told(self.command, 500, "Metrics could not be collected; the log says why.\n")

    def log_message(self, *_: Any) -> None:
        """Log no requests."""
