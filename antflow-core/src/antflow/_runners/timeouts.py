"""Calls that are cancelled after some seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

from antflow._cancellation import is_cancellation_due
from antflow.exceptions import AttemptTimeoutError

from .runner import TaskCall

GRACE_SECONDS = 5.0
"""How long a function may take to end once it was cancelled, until a warning says so."""

_logger = logging.getLogger(__name__)


class TimedOut(Exception):  # noqa: N818 - no user sees it
    """Raised in place of the error of a timeout.

    A task may raise such an error, too: that of a pipeline that it runs.
    """

    def __init__(self, error: TimeoutError) -> None:
        super().__init__()
        self.error = error


async def call_with_timeout(
    call: TaskCall, value: Any, seconds: float, error: Callable[[], TimeoutError], name: str
) -> Any:
    """Call a function, and cancel the call after some seconds.

    Args:
        call: called with `value`.
        seconds: the timeout.
        error: returns the error of a call that has not returned by then.
        name: what the log calls the call.

    Raises:
        TimedOut: with that error.
    """
    with _Timeout(seconds, error, name):
        return await call(value)


class _Timeout:
    """Cancels the current task after some seconds, unless the block has ended by then.

    Args:
        seconds: the timeout.
        error: returns the error that replaces the cancellation.
        name: what the log calls the block.
    """

    # Not asyncio.timeout: where the function has swallowed a cancellation, such as the one that a
    # failing TaskGroup leaves behind before Python 3.13, that takes its own for one from outside.

    __slots__ = ("_before", "_error", "_is_over", "_loop", "_name", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float, error: Callable[[], TimeoutError], name: str) -> None:
        self._seconds = seconds
        self._error = error
        self._name = name
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = 0  # cancellations of the task that this one does not have to leave standing

    def __enter__(self) -> None:
        self._before = self._task.cancelling()
        self._timer = self._loop.call_later(self._seconds, self._expire)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        raised: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if not self._is_over or self._task.uncancel() > self._before:
            return  # in time, or cancelled from outside, too
        if isinstance(raised, asyncio.CancelledError):
            # Its traceback shows what the function waited for.
            error = self._error().with_traceback(raised.__traceback__)
            raise TimedOut(error) from None

    def _expire(self) -> None:
        self._is_over = True
        if not is_cancellation_due(self._task):
            self._before = self._task.cancelling()  # the function has caught those, and goes on
        self._task.cancel()
        self._timer = self._loop.call_later(GRACE_SECONDS, _warn, self._name, self._seconds)


def with_timeout(call: TaskCall, seconds: float, stage: str, task: str) -> TaskCall:
    """Return a call of a task that is cancelled after some seconds."""
    name = f"task {task!r} of stage {stage!r}"

    def error() -> AttemptTimeoutError:
        return AttemptTimeoutError(f"The attempt at {name} took more than {seconds:g} seconds")

    async def timed(value: Any) -> Any:
        return await call_with_timeout(call, value, seconds, error, name)

    return timed


def _warn(name: str, seconds: float) -> None:
    _logger.warning(
        "The attempt at %s has a time limit of %g seconds and still runs %g seconds after it was "
        "cancelled. It has caught the CancelledError; let that pass, so that the item can fail.",
        name,
        seconds,
        GRACE_SECONDS,
    )
