"""Reads the environment and the options, and opens the server that they configure."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping
from multiprocessing import current_process, parent_process
from threading import Lock

from antflow.exporting import reset_after_fork

from ._server import LOOPBACK, MetricsServer, check_addr, start_http_server

PORT = "ANTFLOW_PROMETHEUS_PORT"
ADDR = "ANTFLOW_PROMETHEUS_ADDR"
PUSHGATEWAY = "ANTFLOW_PROMETHEUS_PUSHGATEWAY"
JOB = "ANTFLOW_PROMETHEUS_JOB"
MAX_PORT = 65535

_logger = logging.getLogger(__name__)


def port_of(environ: Mapping[str, str]) -> int | None:
    """Return the port to listen on; None if the variable is not set.

    Raises:
        ValueError: the variable is not a port number.
    """
    text = environ.get(PORT, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise ValueError(
            f"{PORT} is {text!r}; set it to a number from 1 to 65535, or to 0 for any free port"
        )
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the address at which `antflow run` serves metrics."""
    parser.add_argument(
        "--prometheus-port",
        metavar="PORT",
        type=_parse_port,
        help="serve metrics at http://127.0.0.1:PORT/metrics while the run lasts; 0 for any free "
        "port, which is logged as info",
    )
    parser.add_argument(
        "--prometheus-addr",
        metavar="ADDR",
        help="serve them at this address of the machine; 0.0.0.0 for access from other machines",
    )


def _parse_port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port number; give 1 to {MAX_PORT}, or 0 for any free one"
        )
    return int(text)


class ProcessServer:
    """The server that the environment or the options configure.

    There is one in a process, and none in a child process.
    """

    def __init__(self) -> None:
        self.server: MetricsServer | None = None
        self._is_owned_by_parent = False
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Leave the server to the parent process, if it has one."""
        self._lock = Lock()
        self._has_warned = False
        self._last_error: str | None = None
        self._is_owned_by_parent = self._is_owned_by_parent or self.server is not None
        self.server = None

    def open_or_warn(self, environ: Mapping[str, str]) -> None:
        """Open the server; if the port is taken, log a warning once, without a traceback.

        Raises:
            ValueError: the environment has no valid port number or address.
        """
        try:
            self.open(environ)
        except OSError as error:
            previous, self._last_error = self._last_error, error.strerror
            if previous != error.strerror:  # every run tries again
                _logger.warning(
                    "%s: %s. The program goes on, and the next run tries again.",
                    PORT,
                    error.strerror,
                )

    def open(self, environ: Mapping[str, str]) -> None:
        """Open the server if the environment configures one and it is not open.

        A child process of `multiprocessing`, or one that was forked from a serving parent, logs a
        warning once instead.

        Raises:
            OSError: the port is taken; the next call tries again.
            ValueError: the environment has no valid port number or address.
        """
        port = port_of(environ)
        if port is None:
            return
        with self._lock:
            # A child process inherits the environment, and so the port of its parent.
            if self._is_owned_by_parent or parent_process() is not None:
                self._warn_in_child()
            elif self.server is None:
                addr = check_addr(environ.get(ADDR, "").strip() or LOOPBACK, ADDR)
                self.server = start_http_server(port, addr)
                self._last_error = None
                _logger.info("Metrics are served at %s", self.server.url)

    def _warn_in_child(self) -> None:
        if not self._has_warned:
            _logger.warning(
                "%s opens a port in the main process only, not in the child process %s (%d); to "
                "show its pipelines, call antflow_prometheus.start_http_server there, with a port "
                "for each process, or set %s.",
                PORT,
                current_process().name,
                os.getpid(),
                PUSHGATEWAY,
            )
        self._has_warned = True

    def open_from_options(
        self, port: int | None, addr: str | None, environ: Mapping[str, str]
    ) -> None:
        """Open the server by the options, and by the environment where an option is missing.

        Args:
            port: the port to listen on; None if the option is missing.
            addr: the address to listen on; None if the option is missing.
            environ: the environment.

        Raises:
            ValueError: the port is taken, or there is an address without a port.
        """
        given = {PORT: None if port is None else str(port), ADDR: addr}
        merged = {**environ, **{name: text for name, text in given.items() if text is not None}}
        if addr is not None and port_of(merged) is None:
            raise ValueError("--prometheus-addr needs --prometheus-port; give both")
        if port is None and addr is None:
            return
        try:
            self.open(merged)
        except OSError as error:
            raise ValueError(str(error.strerror)) from error


PROCESS_SERVER = ProcessServer()
