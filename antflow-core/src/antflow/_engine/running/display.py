"""Displays of a run: finding one by its name, and driving it from the run's start to its end."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Lock, Task, get_running_loop, sleep, wait
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable
from threading import Thread
from typing import Any, NamedTuple

from antflow._cancellation import cancellations, is_closing, present_task
from antflow._engine.base.reentrancy import hide_when_destroyed
from antflow._engine.base.user_awaitable import UserAwaitable
from antflow._errors.safe_logging import log_error
from antflow._plugins.plain_progress import PROGRESS
from antflow.dashboards import DashboardProtocol, DashboardSnapshot
from antflow.results import ErrorSummary, PipelineResult
from antflow.retry import is_positive

CALL_SECONDS = 5.0
"""How long a run waits for a call of its dashboard: before its first item, and at its end."""

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
        total_items: how many items there are; None where that is unknown.
        interval: seconds between two updates.
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
        self._was_cancelled = False  # in a call
        self._caller: Task[Any] | None = None
        self._call_in_task: UserAwaitable | None = None
        self._ticker: Task[None] | None = None

    async def begin(self) -> None:
        """Have the dashboard start, and be updated from now on."""
        self._has_begun = True
        await self._call("on_start", CALL_SECONDS, self._pipeline, self._total_items)
        await self._update(CALL_SECONDS)
        if self._is_ending:
            return
        self._ticker = get_running_loop().create_task(self._tick())
        hide_when_destroyed(self._ticker)

    async def end(
        self, results: list[PipelineResult], summary: ErrorSummary, *, is_aborted: bool
    ) -> None:
        """Have the dashboard show the last state, and finish.

        Args:
            is_aborted: whether the run was cancelled. A dashboard that was cancelled with it inside
                a call might wait there again, so it is not updated any more.
        """
        self._is_ending = True
        if not self._has_begun:
            return
        try:
            await self._stop_ticking()
            if not (is_aborted and self._was_cancelled):
                await self._update(CALL_SECONDS)
        finally:
            await self._stop_ticking()
            await self._call("on_finish", CALL_SECONDS, results, summary)
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

    def is_calling(self, task: Task[Any] | None) -> bool:
        """Return whether a task is the one in which the dashboard is being called."""
        call = self._call_in_task
        return task is not None and task in (self._caller, call and call.task)

    async def _update(self, seconds: float | None = None) -> None:
        await self._call("on_update", seconds, self._snapshot())

    async def _call(self, method: str, seconds: float | None, *arguments: Any) -> None:
        """Call a method; if it takes longer than `seconds`, drop the dashboard."""
        async with self._turn:
            if self._is_dropped:
                return
            self._caller = present_task()
            try:
                answer = getattr(self._dashboard, method)(*arguments)
                if isawaitable(answer):
                    self._call_in_task = UserAwaitable(answer)
                    await self._call_in_task.wait(seconds)
            except BaseException as error:
                if is_closing(error, self._caller):
                    raise
                if isinstance(error, CancelledError) and cancellations():
                    if (call := self._call_in_task) is not None:
                        self._was_cancelled |= call.was_cut
                        if call.own_error is not None:  # as the run was cancelled
                            self._drop(method, call.own_error)
                    raise
                self._drop(method, error)
            finally:
                self._caller = self._call_in_task = None

    def _drop(self, method: str, error: BaseException) -> None:
        self._is_dropped = True
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
            return
        self._log(method, error, "it is not called again, and the run goes on")

    def _log(self, method: str, error: BaseException, effect: str) -> None:
        name = type(self._dashboard).__name__
        log_error(_logger, error, "Dashboard %s: %s raised; %s.", name, method, effect)


class DisplayRequest(NamedTuple):
    """A dashboard, and the seconds between its updates."""

    dashboard: DashboardProtocol
    interval: float


def requested_display(
    find: Callable[[str], DashboardProtocol],
    pipeline: str,
    *,
    progress: bool,
    dashboard: str | None,
    custom_dashboard: DashboardProtocol | None,
    interval: float,
) -> DisplayRequest | None:
    """Return the display for the arguments of `Pipeline.run`; None if they ask for none.

    Args:
        find: returns an installed dashboard by its name.
        progress: as for `Pipeline.run`.
        interval: seconds between updates.

    Raises:
        ValueError: two displays are asked for, one is unknown or incomplete, or the interval is
            not a number of seconds above 0.
    """
    chosen = chosen_dashboard(
        find, progress=progress, dashboard=dashboard, custom_dashboard=custom_dashboard
    )
    # The interval is checked without a display too, so that a wrong one is found at once.
    if not is_positive(interval):
        raise ValueError(
            f"dashboard_update_interval of pipeline {pipeline!r} is {interval!r}; give "
            "seconds, above 0"
        )
    return None if chosen is None else DisplayRequest(chosen, interval)
