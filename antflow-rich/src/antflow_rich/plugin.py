"""The plugin: provides the displays, and chooses one for `antflow run`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path

from antflow import DashboardProtocol, hookimpl

DASHBOARDS = ("progress", "compact", "detailed", "full")
"""The names of the displays; `progress=True` shows the first."""

PLAIN_INTERVAL = 10.0  # seconds
STDOUT, STDERR = 1, 2
STANDARD_OUTPUT = frozenset({"-", "/dev/stdout", "/dev/fd/1"})
TERMINAL = "/dev/tty"  # the terminal of this process, under any name

_OVERLAPS = {
    "--output": (
        "the display {!r} would be drawn over the results, which go to the same terminal; give "
        "--output FILE, pipe them into another program, or leave the display out"
    ),
    "--failures": (
        "the display {!r} would be drawn over the failures, which go to the same terminal; give "
        "--failures another file, or leave the display out"
    ),
}


class Rich:
    """Shows runs in the terminal, on standard error.

    Args:
        plain_interval: seconds between two lines of text if standard error cannot be redrawn, as
            in a file, a pipe, the log of a CI job, a notebook, or a terminal of the type "dumb".

    Raises:
        ValueError: `plain_interval` is not a number of seconds, 0 or more.
    """

    antflow_name = "rich"
    antflow_dashboards = DASHBOARDS

    def __init__(self, plain_interval: float = PLAIN_INTERVAL) -> None:
        if not _is_duration(plain_interval):
            raise ValueError(
                f"plain_interval of Rich is {plain_interval!r}; give the seconds between two "
                "lines, 0 for one at each update"
            )
        self._plain_interval = plain_interval

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        """Add the options of `antflow run` that choose a display."""
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument(
            "--progress",
            dest="dashboard",
            action="store_const",
            const=DASHBOARDS[0],
            help="show a progress bar on standard error; the default on a terminal to which no "
            "results go",
        )
        choice.add_argument(
            "--no-progress",
            dest="dashboard",
            action="store_const",
            const="",
            help="show nothing",
        )
        choice.add_argument(
            "--dashboard",
            dest="dashboard",
            choices=DASHBOARDS,
            help="show this display on standard error, on a terminal to which no results go",
        )

    @hookimpl(trylast=True)  # after plugins that choose a display
    def antflow_configure(self, options: Namespace) -> None:
        """Choose the progress bar if no display is chosen and a free terminal is there for it.

        Raises:
            ValueError: the chosen display would be drawn over the command's output.
        """
        chosen = options.dashboard
        if chosen not in {None, *DASHBOARDS} or not _has_terminal():
            return
        option = _overlapping_option(options)
        if chosen is None and option is None:
            options.dashboard = DASHBOARDS[0]
        if chosen is not None and option is not None:
            raise ValueError(_OVERLAPS[option].format(chosen))

    @hookimpl
    def antflow_dashboard(self, name: str) -> DashboardProtocol | None:
        """Return a new display, or None if the name is not one of antflow-rich."""
        if name not in DASHBOARDS:
            return None
        from ._run_display import make_display  # imports rich, which most programs do not need

        return make_display(name, self._plain_interval)


def _has_terminal() -> bool:
    """Return whether a display can be redrawn on standard error."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    from ._terminal import can_redraw  # imports rich, which a pipe does not need

    return can_redraw(sys.stderr, os.environ)


def _overlapping_option(options: Namespace) -> str | None:
    """Return the option by which `antflow run` writes to the terminal of the display."""
    standard_output = getattr(options, "standard_output", STDOUT)  # the command redirects STDOUT
    for option, name in ("--output", options.output), ("--failures", options.failures):
        if name not in {None, os.devnull} and _is_standard_error(name, standard_output):
            return option
    return None


def _is_standard_error(name: str, standard_output: int) -> bool:
    with suppress(OSError, ValueError):  # no such file, or no such descriptor
        written = os.fstat(standard_output) if name in STANDARD_OUTPUT else Path(name).stat()
        if os.path.samestat(written, os.fstat(STDERR)):
            return True
        return os.path.samestat(written, Path(TERMINAL).stat()) and os.isatty(STDERR)
    return False


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
