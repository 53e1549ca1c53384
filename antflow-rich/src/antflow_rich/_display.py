"""The displays, each of one run: what `antflow_dashboard` gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from weakref import finalize

from antflow import DashboardSnapshot, ErrorSummary, Pipeline, PipelineResult

from ._frames import FRAMES, plain_line, summary
from ._live import IN_USE, Live
from ._painter import Painter, Surface
from ._plain import Plain
from ._region import Region
from ._screen import Screen
from ._terminal import Terminal, can_redraw
from ._watch import Watch

WHOLE_WINDOW = ("full",)


class RunDisplay:
    """Shows one run.

    Args:
        surface: returns what it is drawn on.
    """

    def __init__(self, surface: Callable[[], Surface]) -> None:
        self._surface = surface

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        """Begin to draw.

        Args:
            pipeline: the Pipeline.
            total_items: how many items there are; None where the input does not say.
        """
        self._pipeline = pipeline
        self._painter = Painter(Watch(pipeline.name, total_items), self._surface())
        self._leave = finalize(self, self._painter.leave)
        self._painter.start()

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        """Have the present state drawn."""
        self._painter.show(snapshot, self._pipeline.plugin_faults)

    async def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        """Give the terminal back, with a summary of the run.

        Args:
            results: the successes that are kept.
            summary: what failed.
        """
        await self._painter.finish(summary, self._pipeline.plugin_faults)
        self._leave.detach()

    def on_exit(self) -> None:
        """Give the terminal back without a word, in any thread, where the process ends at once."""
        self._leave()


def display(name: str, plain_interval: float) -> RunDisplay:
    """Return a new display.

    Args:
        name: which one, of `FRAMES`.
        plain_interval: seconds between two lines where nothing can be drawn.
    """
    return RunDisplay(partial(surface, name, plain_interval))


def surface(name: str, plain_interval: float) -> Surface:
    """Return what a display of that name is drawn on: the terminal, if it is one and free.

    Args:
        name: which display.
        plain_interval: seconds between two lines where nothing can be drawn.
    """
    stream = sys.stderr
    if not can_redraw(stream, os.environ):
        return Plain(stream, plain_interval, plain_line, summary)
    terminal = Terminal(stream)
    if not IN_USE.acquire(blocking=False):
        return Plain(stream, plain_interval, plain_line, summary)
    place = Screen() if name in WHOLE_WINDOW else Region()
    return Live(terminal, place, FRAMES[name], summary)
