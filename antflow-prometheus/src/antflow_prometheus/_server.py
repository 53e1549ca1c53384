"""Serves metrics over HTTP in a thread."""

from __future__ import annotations

import errno
from threading import Thread
from types import TracebackType
from typing import Self

from prometheus_client import REGISTRY, CollectorRegistry

from ._http_server import ScrapeServer

LOOPBACK = "127.0.0.1"


class MetricsServer:
    """Serves metrics until it is closed; as a context manager, until the block is left.

    Args:
        port: the port to listen on; 0 for any free one.
        addr: address of the network interface to listen on.
        registry: the registry of the metrics.

    Raises:
        OSError: the port is taken, or cannot be listened on.
        ValueError: `port` is not a port number, or `addr` is not an address.
    """

    def __init__(self, port: int, addr: str, registry: CollectorRegistry) -> None:
        self._server = _open_server(port, check_addr(addr), registry)
        self._addr = addr
        self._thread = Thread(target=self._server.serve, name="antflow-metrics-server", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._server.port

    @property
    def url(self) -> str:
        """The URL of the metrics."""
        host = f"[{self._addr}]" if ":" in self._addr else self._addr
        return f"http://{host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop serving, close all connections, and free the port; a second call does nothing."""
        # In a forked child the thread does not exist, and the parent keeps the port.
        if self._thread.is_alive():
            self._server.stop()
            self._thread.join()

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
    """Serve metrics over HTTP in a separate thread; every path gives the metrics.

    Args:
        port: the port to listen on; 0 for any free one.
        addr: address of the network interface to listen on; the default accepts connections from
            this machine only, "0.0.0.0" from every machine that can reach it.
        registry: the registry of the metrics.

    Returns:
        The server; close it when it is no longer needed.

    Raises:
        OSError: the port is taken, or cannot be listened on.
        ValueError: `port` is not a port number, or `addr` is not an address.
    """
    return MetricsServer(port, addr, registry)


def check_addr(addr: object, name: str = "addr") -> str:
    """Return the address of a network interface, or raise for what is not one.

    Args:
        addr: the address.
        name: the name of its argument or variable, for the message.

    Raises:
        ValueError: it is not an address.
    """
    if isinstance(addr, str) and addr.startswith("[") and addr.endswith("]"):
        raise ValueError(f"{name} is {addr!r}; give {addr[1:-1]!r}, without the brackets")
    if not isinstance(addr, str) or not addr.strip():
        raise ValueError(_no_address(addr, name))
    return addr


def _no_address(addr: object, name: str) -> str:
    return (
        f"{name} is {addr!r}; give an address of this machine, such as '127.0.0.1' or '::1', "
        "or '0.0.0.0' for all that it has"
    )


def _open_server(port: int, addr: str, registry: CollectorRegistry) -> ScrapeServer:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ValueError(f"port is {port!r}; give a number from 1 to 65535, or 0 for any free one")
    try:
        return ScrapeServer(addr, port, registry)
    except OSError as error:
        raise _explain(error, port, addr) from error
    except (TypeError, ValueError) as error:
        raise ValueError(_no_address(addr, "addr")) from error


def _explain(error: OSError, port: int, addr: str) -> OSError:
    reason = error.strerror or str(error)
    remedy = "give an address of this machine, and a port that you may use"
    if error.errno == errno.EADDRINUSE:
        reason = "another program listens there already"
        remedy = "stop it, give another port, or 0 for any free one"
    return OSError(
        error.errno, f"Metrics cannot be served at {addr} port {port}: {reason}; {remedy}"
    )
