"""The display of one run, as `antflow_dashboard` returns it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from weakref import finalize

from antflow import DashboardSnapshot, ErrorSummary, Pipeline, PipelineResult

from ._areas import BottomArea, FullScreenArea
from ._frames import FRAMES, plain_line, summary
from ._render_thread import RenderThread
from ._renderers import TERMINAL_IN_USE, LiveRenderer, PlainRenderer, Renderer
from ._terminal import Terminal, can_redraw
from ._view_builder import ViewBuilder

FULL_SCREEN = ("full",)


class RunDisplay:
    """Shows one run.

    Args:
        make_renderer: returns the renderer when the run starts.
    """

    def __init__(self, make_renderer: Callable[[], Renderer]) -> None:
        self._make_renderer = make_renderer

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        """Start to draw.

        Args:
            total_items: expected number of items; None if unknown.
        """
        self._pipeline = pipeline
        builder = ViewBuilder(pipeline.name, total_items)
        self._thread = RenderThread(builder, self._make_renderer())
        # A display that is dropped without `on_finish` must not leave the terminal changed.
        self._close = finalize(self, self._thread.close)
        self._thread.start()

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        """Draw the present state."""
        self._thread.update(snapshot, self._pipeline.plugin_faults)

    async def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        """Draw the summary and restore the terminal.

        Args:
            results: the successes that are kept, which are not shown.
            summary: the failed items.
        """
        await self._thread.finish(summary, self._pipeline.plugin_faults)
        self._close.detach()

    def on_exit(self) -> None:
        """Restore the terminal without a summary, in any thread, as the process ends at once."""
        self._close()


def make_display(name: str, plain_interval: float) -> RunDisplay:
    """Return a new display.

    Args:
        name: name of the display, one of `FRAMES`.
        plain_interval: seconds between two lines where nothing can be redrawn.
    """
    return RunDisplay(partial(make_renderer, name, plain_interval))


def make_renderer(name: str, plain_interval: float) -> Renderer:
    """Return a live renderer if standard error is a free terminal, else a plain one.

    Args:
        name: name of the display.
        plain_interval: seconds between two lines of a plain renderer.
    """
    stream = sys.stderr
    if not can_redraw(stream, os.environ):
        return PlainRenderer(stream, plain_interval, plain_line, summary)
    terminal = Terminal(stream)
    if not TERMINAL_IN_USE.acquire(blocking=False):
        return PlainRenderer(stream, plain_interval, plain_line, summary)
    area = FullScreenArea() if name in FULL_SCREEN else BottomArea()
    return LiveRenderer(terminal, area, FRAMES[name], summary)
