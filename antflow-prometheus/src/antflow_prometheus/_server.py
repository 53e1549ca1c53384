"""A small HTTP server of metrics, in a thread of its own."""

from __future__ import annotations

import errno
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from socketserver import TCPServer
from sys import exc_info
from threading import Thread
from types import TracebackType
from typing import Any, Self

from prometheus_client import REGISTRY, CollectorRegistry

from ._answer import Answer, answer

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.2
_logger = logging.getLogger(__name__)


class MetricsServer:
    """Serves metrics until it is closed; as a context manager, until the block is left.

    Args:
        port: to listen at; 0 to have a free one chosen.
        addr: address of the network interface to listen at.
        registry: whose metrics are shown.

    Raises:
        OSError: the port is taken, or cannot be listened at.
        ValueError: it is no port.
    """

    def __init__(self, port: int, addr: str, registry: CollectorRegistry) -> None:
        self._server = _listening(port, addr, registry)
        self._addr = addr
        self._thread = Thread(
            target=self._server.serve_forever,
            args=(POLL_SECONDS,),
            name="antflow-metrics-server",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Where the metrics are to be found."""
        host = f"[{self._addr}]" if ":" in self._addr else self._addr
        return f"http://{host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop to serve, and free the port; a second time, do nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def start_http_server(
    port: int, addr: str = LOOPBACK, registry: CollectorRegistry = REGISTRY
) -> MetricsServer:
    """Serve metrics over HTTP, in a thread of its own, at whatever path is asked for.

    Args:
        port: to listen at; 0 to have a free one chosen.
        addr: address of the network interface to listen at; with the default one, only this
            machine can ask, and with "0.0.0.0" every machine that reaches it.
        registry: whose metrics are shown.

    Returns:
        The server, which is to be closed.

    Raises:
        OSError: the port is taken, or cannot be listened at.
        ValueError: it is no port.
    """
    return MetricsServer(port, addr, registry)


class _Server(ThreadingHTTPServer):
    registry: CollectorRegistry

    def server_bind(self) -> None:
        """Listen, without asking the network for a name, which may take seconds."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)

    def handle_error(self, *_: object) -> None:
        """Note what went wrong with one request, such as a scraper that went away."""
        _logger.debug("A scrape was not answered.", exc_info=exc_info())


class _Server6(_Server):
    address_family = AF_INET6


class _Request(BaseHTTPRequestHandler):
    server: _Server
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
            return Answer(500, [], b"Metrics could not be collected; the log says why.\n")

    def log_message(self, *_: Any) -> None:
        """Log no requests."""


def _listening(port: int, addr: str, registry: CollectorRegistry) -> _Server:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ValueError(f"port is {port!r}; give a number from 1 to 65535, or 0 for any free one")
    try:
        server = (_Server6 if ":" in addr else _Server)((addr, port), _Request)
    except OSError as error:
        raise _explained(error, port, addr) from error
    server.registry = registry
    return server


def _explained(error: OSError, port: int, addr: str) -> OSError:
    reason = error.strerror or str(error)
    remedy = "give an address of this machine, and a port that you may use"
    if error.errno == errno.EADDRINUSE:
        reason = "another program listens there already"
        remedy = "stop it, give another port, or 0 for any free one"
    return OSError(
        error.errno, f"Metrics cannot be served at {addr} port {port}: {reason}; {remedy}"
    )
