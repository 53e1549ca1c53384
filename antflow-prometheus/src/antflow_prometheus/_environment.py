"""What the environment asks for: a server of metrics, or a push at the end of each run."""

from __future__ import annotations

from collections.abc import Mapping
from multiprocessing import parent_process
from threading import Lock

from ._server import LOOPBACK, MetricsServer, start_http_server

PORT = "ANTFLOW_PROMETHEUS_PORT"
ADDR = "ANTFLOW_PROMETHEUS_ADDR"
PUSHGATEWAY = "ANTFLOW_PROMETHEUS_PUSHGATEWAY"
JOB = "ANTFLOW_PROMETHEUS_JOB"


def port_of(environ: Mapping[str, str]) -> int | None:
    """Return the port to serve at, or None if that is not asked for.

    Raises:
        ValueError: it is no port.
    """
    text = environ.get(PORT, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(
            f"{PORT} is {text!r}; set it to a number from 1 to 65535, or to 0 for any free port"
        )
    return int(text)


class Service:
    """The server that the environment asks for: one a process, and none in a child process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.server: MetricsServer | None = None

    def open(self, environ: Mapping[str, str]) -> None:
        """Begin to serve if that is asked for and not done already.

        Raises:
            OSError: the port is taken; the next call tries again.
            ValueError: it is no port.
        """
        with self._lock:
            port = port_of(environ)
            if port is None or self.server is not None or parent_process() is not None:
                return
            self.server = start_http_server(port, environ.get(ADDR, "").strip() or LOOPBACK)


SERVICE = Service()
