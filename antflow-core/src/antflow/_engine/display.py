"""Displays of a run: finding one by its name, and driving it from the run's start to its end."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Lock, Task, current_task, get_running_loop, sleep, wait
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable
from threading import Thread
from typing import Any

from antflow._errors.safe_logging import log_error
from antflow._plugins.dispatcher import cancellations, is_closing
from antflow._plugins.plain_progress import PROGRESS
from antflow.dashboards import DashboardProtocol, DashboardSnapshot
from antflow.results import ErrorSummary, PipelineResult

_logger = logging.getLogger(__name__)


def chosen_dashboard(
    find: Callable[[str], DashboardProtocol],
    *,
    progress: bool,
    dashboard: str | None,
    custom_dashboard: DashboardProtocol | None,
) -> DashboardProtocol | None:
    """Return the dashboard that is asked for, if any.

    Args:
        find: returns an installed one by its name.
        progress: whether the one called "progress" is wanted.
        dashboard: the name of another one.
        custom_dashboard: one of the caller's own.

    Raises:
        ValueError: more than one is asked for, none of that name is installed, or the custom one
            lacks a method.
    """
    if progress and not isinstance(progress, bool):
        raise ValueError(
            f"progress={progress!r}; give True or False, and buffer_size by its name, if that is "
            "what was meant"
        )
    wanted = {
        "progress": progress or None,
        "dashboard": dashboard or None,
        "custom_dashboard": custom_dashboard,
    }
    asked = [name for name, value in wanted.items() if value is not None]
    if len(asked) > 1:
        raise ValueError(f"Cannot use both {asked[0]} and {asked[1]}; choose one of them")
    if custom_dashboard is None:
        name = PROGRESS if progress else dashboard or None
        return None if name is None else find(name)
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
        pipeline: the pipeline to show.
        total_items: how many items there are; None where that is unknown.
        interval: seconds between two updates.
        snapshot: returns the present state.
        abort: ends the run, at a KeyboardInterrupt or SystemExit of the dashboard.
    """

    def __init__(
        self,
        dashboard: DashboardProtocol,
        pipeline: object,
        total_items: int | None,
        interval: float,
        snapshot: Callable[[], DashboardSnapshot],
        abort: Callable[[BaseException | None], None],
    ) -> None:
        self._dashboard = dashboard
        self._pipeline = pipeline
        self._total_items = total_items
        self._interval = interval
        self._snapshot = snapshot
        self._abort = abort
        self._turn = Lock()
        self._is_dropped = False
        self._has_begun = self._is_ending = False
        self.caller: Task[Any] | None = None
        self._ticker: Task[None] | None = None

    async def begin(self) -> None:
        """Have the dashboard start, and be updated from now on."""
        self._has_begun = True
        await self._call("on_start", self._pipeline, self._total_items)
        await self._update()
        if self._is_ending:
            return
        self._ticker = get_running_loop().create_task(self._tick())

    async def end(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        """Have the dashboard show the last state, and finish.

        Args:
            results: what is kept of the run.
            summary: its failures.
        """
        self._is_ending = True
        if not self._has_begun:
            return
        try:
            await self._stop_ticking()
            await self._update()
        finally:
            await self._stop_ticking()
            await self._call("on_finish", results, summary)
            self._is_dropped = True

    def leave(self, seconds: float) -> None:
        """Have a dashboard with a method `on_exit` give back what it has taken.

        This is for ending the process while a task holds the event loop; any thread may call it.
        What the dashboard raises is logged.

        Args:
            seconds: how long to wait for it.
        """
        if self._is_dropped or not self._has_begun:
            return
        leaving = Thread(target=self._exit, name="antflow-leave", daemon=True)
        with suppress(RuntimeError):  # there can be no other thread
            leaving.start()
            leaving.join(seconds)

    def _exit(self) -> None:
        try:
            give_back = getattr(self._dashboard, "on_exit", None)
            if callable(give_back):
                give_back()
        except BaseException as error:
            self._log("on_exit", error, "the process ends")

    async def _stop_ticking(self) -> None:
        if self._ticker is not None and not self._ticker.done():
            self._ticker.cancel()
            await wait([self._ticker])

    async def _tick(self) -> None:
        while not (self._is_dropped or self._is_ending):
            await sleep(self._interval)
            await self._update()

    async def _update(self) -> None:
        await self._call("on_update", self._snapshot())

    async def _call(self, method: str, *arguments: Any) -> None:
        async with self._turn:
            if self._is_dropped:
                return
            self.caller = current_task()
            try:
                answer = getattr(self._dashboard, method)(*arguments)
                if isawaitable(answer):
                    await answer
            except BaseException as error:
                if is_closing(error, self.caller):
                    raise
                if isinstance(error, CancelledError) and cancellations():
                    raise
                self._drop(method, error)
            finally:
                self.caller = None

    def _drop(self, method: str, error: BaseException) -> None:
        self._is_dropped = True
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
            return
        self._log(method, error, "it is not called again, and the run goes on")

    def _log(self, method: str, error: BaseException, effect: str) -> None:
        name = type(self._dashboard).__name__
        log_error(_logger, error, "Dashboard %s: %s raised; %s.", name, method, effect)
