"""Prints how long the slowest attempt of each stage took, at the end of a run."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import Any

from antflow import TaskEvent, hookimpl

__all__ = ["Slowest"]


class Slowest:
    """The plugin: it prints nothing until it is turned on.

    Args:
        prints: whether it is turned on; None reads the variable ANTFLOW_SLOWEST.
    """

    antflow_name = "slowest"

    def __init__(self, prints: bool | None = None) -> None:
        if prints is None:
            prints = bool(os.environ.get("ANTFLOW_SLOWEST"))
        self._prints = prints

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        """Add an option to `antflow run` that turns it on, too."""
        parser.add_argument(
            "--slowest",
            action="store_true",
            help="print at the end how long the slowest attempt of each stage took",
        )

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        """Turn it on if the option was given."""
        self._prints = self._prints or options.slowest

    @hookimpl
    def antflow_pipeline_start(self) -> SlowestOfRun | None:
        """Return an observer of this run; runs share no state."""
        return SlowestOfRun() if self._prints else None


class SlowestOfRun:
    """The observer of one run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Note an attempt that has succeeded."""
        self._note(event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """Note an attempt that has failed and will be repeated."""
        self._note(event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """Note an attempt that has failed and was the last."""
        self._note(event)

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        """Print to standard error, apart from what the program prints."""
        for stage, seconds in self.seconds.items():
            print(f"{stage}: {seconds:.3f} s", file=sys.stderr)

    def _note(self, event: TaskEvent) -> None:
        seconds = event.duration or 0
        self.seconds[event.stage] = max(seconds, self.seconds.get(event.stage, 0))
