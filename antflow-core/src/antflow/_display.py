"""Displays of a run: finding one by its name, and driving it from the run's start to its end."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Lock, Task, get_running_loop, sleep, wait
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from ._notifier import is_being_cancelled
from .types import DashboardProtocol, DashboardSnapshot, PipelineResult

PROGRESS = "progress"
_logger = logging.getLogger(__name__)


def find_dashboard(name: str) -> DashboardProtocol:
    """Return a new dashboard of that name.

    Raises:
        ValueError: none of that name is installed.
    """
    raise ValueError(
        f"There is no dashboard {name!r}; installed are: none. The built-in ones, 'progress', "
        "'compact', 'detailed' and 'full', come with the package antflow-rich: "
        "pip install antflow-rich"
    )


def chosen_dashboard(
    *, progress: bool, dashboard: str | None, custom_dashboard: DashboardProtocol | None
) -> DashboardProtocol | None:
    """Return the dashboard that is asked for, if any.

    Raises:
        ValueError: more than one is asked for, none of that name is installed, or the custom one
            lacks a method.
    """
    if not isinstance(progress, bool):
        raise ValueError(
            f"progress={progress!r}; give True or False, and buffer_size by its name, if that is "
            "what was meant"
        )
    wanted = {
        "progress": progress or None,
        "dashboard": dashboard,
        "custom_dashboard": custom_dashboard,
    }
    asked = [name for name, value in wanted.items() if value is not None]
    if len(asked) > 1:
        raise ValueError(f"Cannot use both {asked[0]} and {asked[1]}; choose one of them")
    if custom_dashboard is None:
        name = PROGRESS if progress else dashboard
        return None if name is None else find_dashboard(name)
    for method in ("on_start", "on_update", "on_finish"):
        if not callable(getattr(custom_dashboard, method, None)):
            raise ValueError(
                f"custom_dashboard={custom_dashboard!r} has no method {method}; a dashboard has "
                "on_start, on_update and on_finish, as DashboardProtocol says"
            )
    return custom_dashboard


class Display:
    """One dashboard through one run; when it raises, it is dropped, and the run goes on.

    Args:
        dashboard: what is called.
        pipeline: what it is told to show.
        interval: seconds between two updates.
        snapshot: returns the present state.
        abort: ends the run; called with a KeyboardInterrupt or SystemExit that it raised.
    """

    def __init__(
        self,
        dashboard: DashboardProtocol,
        pipeline: object,
        interval: float,
        snapshot: Callable[[], DashboardSnapshot],
        abort: Callable[[BaseException], None],
    ) -> None:
        self._dashboard = dashboard
        self._pipeline = pipeline
        self._interval = interval
        self._snapshot = snapshot
        self._abort = abort
        self._turn = Lock()
        self._is_dropped = False
        self._is_ending = False
        self._ticker: Task[None] | None = None

    async def begin(self, total_items: int | None) -> None:
        """Have the dashboard start, and be updated from now on.

        Args:
            total_items: how many items there are; None where that is unknown.
        """
        await self._call("on_start", self._pipeline, total_items)
        await self._update()
        if self._is_ending:
            return
        self._ticker = get_running_loop().create_task(self._tick())

    async def end(self, results: list[PipelineResult]) -> None:
        """Have the dashboard show the last state, and finish.

        Args:
            results: what is kept of the run.
        """
        self._is_ending = True
        try:
            if self._ticker is not None:
                self._ticker.cancel()
                await wait([self._ticker])
            await self._update()
        finally:
            await self._call("on_finish", results, self._snapshot().error_summary)
            self._is_dropped = True

    async def _tick(self) -> None:
        while not self._is_dropped:
            await sleep(self._interval)
            await self._update()

    async def _update(self) -> None:
        await self._call("on_update", self._snapshot())

    async def _call(self, method: str, *arguments: Any) -> None:
        async with self._turn:
            if self._is_dropped:
                return
            try:
                answer = getattr(self._dashboard, method)(*arguments)
                if isawaitable(answer):
                    await answer
            except GeneratorExit:
                raise
            except BaseException as error:
                if isinstance(error, CancelledError) and is_being_cancelled():
                    raise
                self._drop(method, error)

    def _drop(self, method: str, error: BaseException) -> None:
        self._is_dropped = True
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
            return
        _logger.error(
            "Dashboard %s: %s raised; it is not called again, and the run goes on.",
            type(self._dashboard).__name__,
            method,
            exc_info=error,
        )
