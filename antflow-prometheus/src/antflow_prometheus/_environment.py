"""What the environment asks for: a server of metrics, or a push at the end of each run."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from multiprocessing import current_process, parent_process
from threading import Lock

from ._forks import renewed_in_children
from ._server import LOOPBACK, MetricsServer, checked_addr, start_http_server

PORT = "ANTFLOW_PROMETHEUS_PORT"
ADDR = "ANTFLOW_PROMETHEUS_ADDR"
PUSHGATEWAY = "ANTFLOW_PROMETHEUS_PUSHGATEWAY"
JOB = "ANTFLOW_PROMETHEUS_JOB"

_logger = logging.getLogger(__name__)


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
        self.server: MetricsServer | None = None
        self._is_a_childs = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """Leave the server to the parent process if that has one."""
        self._lock = Lock()
        self._is_declined = False
        self._is_a_childs = self._is_a_childs or self.server is not None
        self.server = None

    def open(self, environ: Mapping[str, str]) -> None:
        """Begin to serve if that is asked for and not done already.

        In a child process that `multiprocessing` has started, or that was forked when its parent
        served already, that is logged once instead.

        Raises:
            OSError: the port is taken; the next call tries again.
            ValueError: it is no port, or what is to be its address is none.
        """
        port = port_of(environ)
        if port is None:
            return
        with self._lock:
            if self._is_a_childs or parent_process() is not None:
                self._decline()
            elif self.server is None:
                addr = checked_addr(environ.get(ADDR, "").strip() or LOOPBACK, ADDR)
                self.server = start_http_server(port, addr)

    def _decline(self) -> None:
        if not self._is_declined:
            _logger.warning(
                "%s opens a port in the main process only, not in the child process %s (%d); to "
                "show its pipelines, call antflow_prometheus.start_http_server there, with a port "
                "for each process, or set %s.",
                PORT,
                current_process().name,
                os.getpid(),
                PUSHGATEWAY,
            )
        self._is_declined = True


SERVICE = Service()
