"""Says how long the slowest attempt of each stage took, when a run ends."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import Any

from antflow import TaskEvent, hookimpl

__all__ = ["Slowest"]


class Slowest:
    """The plugin: it does nothing until it is asked.

    Args:
        prints: whether it is asked; None for whether ANTFLOW_SLOWEST is set.
    """

    antflow_name = "slowest"

    def __init__(self, prints: bool | None = None) -> None:
        self._prints = bool(os.environ.get("ANTFLOW_SLOWEST")) if prints is None else prints

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        """Add an option to `antflow run`, by which it is asked, too."""
        parser.add_argument(
            "--slowest",
            action="store_true",
            help="say at the end how long the slowest attempt of each stage took",
        )

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        """Look whether the option was given."""
        self._prints = self._prints or options.slowest

    @hookimpl
    def antflow_pipeline_start(self) -> SlowestOfRun | None:
        """Return what watches this run, so that nothing is shared between two."""
        return SlowestOfRun() if self._prints else None


class SlowestOfRun:
    """Watches one run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Look at an attempt that has returned."""
        self._note(event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """Look at an attempt that has failed and is followed by another."""
        self._note(event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """Look at an attempt that has failed for good."""
        self._note(event)

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        """Say what was found, where it does not mix with what the program prints."""
        for stage, seconds in self.seconds.items():
            print(f"{stage}: {seconds:.3f} s", file=sys.stderr)

    def _note(self, event: TaskEvent) -> None:
        self.seconds[event.stage] = max(self.seconds.get(event.stage, 0), event.duration or 0)
