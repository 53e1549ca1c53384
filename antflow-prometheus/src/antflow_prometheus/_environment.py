"""What the environment or the command line asks for: a server of metrics, or a push at the end."""

from __future__ import annotations

import argparse
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
MOST = 65535

_logger = logging.getLogger(__name__)


def port_of(environ: Mapping[str, str]) -> int | None:
    """Return the port to serve at, or None if that is not asked for.

    Raises:
        ValueError: the variable is not a port number.
    """
    text = environ.get(PORT, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) > MOST:
        raise ValueError(
            f"{PORT} is {text!r}; set it to a number from 1 to 65535, or to 0 for any free port"
        )
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the address at which `antflow run` serves metrics."""
    parser.add_argument(
        "--prometheus-port",
        metavar="PORT",
        type=_port,
        help="serve metrics at http://127.0.0.1:PORT/metrics while the run lasts; 0 for any free "
        "port, which is logged as info",
    )
    parser.add_argument(
        "--prometheus-addr",
        metavar="ADDR",
        help="serve them at this address of the machine; 0.0.0.0 for access from other machines",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port number; give 1 to {MOST}, or 0 for any free one"
        )
    return int(text)


class Service:
    """The server that is asked for: one a process, and none in a child process."""

    def __init__(self) -> None:
        self.server: MetricsServer | None = None
        self._is_a_childs = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """Leave the server to the parent process if that has one."""
        self._lock = Lock()
        self._is_declined = False
        self._refusal: str | None = None
        self._is_a_childs = self._is_a_childs or self.server is not None
        self.server = None

    def open_or_warn(self, environ: Mapping[str, str]) -> None:
        """Begin to serve as `open` does; if the port is taken, log that once, without a traceback.

        Raises:
            ValueError: the environment has no valid port number or address.
        """
        try:
            self.open(environ)
        except OSError as error:
            refusal, self._refusal = self._refusal, error.strerror
            if refusal != error.strerror:
                _logger.warning(
                    "%s: %s. The program goes on, and the next run tries again.",
                    PORT,
                    error.strerror,
                )

    def open(self, environ: Mapping[str, str]) -> None:
        """Begin to serve if that is asked for and not done already.

        In a child process that `multiprocessing` has started, or that was forked when its parent
        served already, that is logged once instead.

        Raises:
            OSError: the port is taken; the next call tries again.
            ValueError: the environment has no valid port number or address.
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
                self._refusal = None
                _logger.info("Metrics are served at %s", self.server.url)

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

    def open_as_asked(self, port: int | None, addr: str | None, environ: Mapping[str, str]) -> None:
        """Begin to serve where the command line says, the environment saying the rest.

        Args:
            port: to listen at; None if that is not said.
            addr: address to listen at; None if that is not said.
            environ: the environment.

        Raises:
            ValueError: the port is taken, or there is an address without a port.
        """
        said = {PORT: None if port is None else str(port), ADDR: addr}
        asked = {**environ, **{name: text for name, text in said.items() if text is not None}}
        if addr is not None and port_of(asked) is None:
            raise ValueError("--prometheus-addr needs --prometheus-port; give both")
        if port is None and addr is None:
            return
        try:
            self.open(asked)
        except OSError as error:
            raise ValueError(str(error.strerror)) from error


SERVICE = Service()
