"""`LimitedCall`, which awaits users' code for a limited time, even if it ignores cancellation."""

from __future__ import annotations

from asyncio import CancelledError, Task, get_running_loop, wait
from collections.abc import Awaitable
from contextvars import Context
from typing import Any

from antflow._plugins.dispatcher import late_error, present_task

from .task_internals import hide_when_destroyed

GRACE_SECONDS = 5.0
"""How long to wait for the end of what was cancelled, before it is left behind."""


class LimitedCall:
    """What a method of a user's object returned, awaited in a task of its own.

    Args:
        answer: the awaitable.
        context: in which it is awaited; None for a copy of the present one.
    """

    # In the caller's task, nothing could go on before the awaitable has ended.

    def __init__(self, answer: Awaitable[Any], context: Context | None = None) -> None:
        self.task: Task[Any] | None = None  # once it has started
        self.was_cut = False  # it ended because it was cancelled
        self._answer = answer
        self._context = context
        self._is_cancelled = False

    async def wait(self, seconds: float | None) -> None:
        """Wait for the end; forward cancellations.

        Args:
            seconds: when to cancel it; None for never.

        Raises:
            CancelledError: this was cancelled, and then the awaitable has ended.
            TimeoutError: it was cancelled after `seconds`, or it did not end when it was cancelled.
            BaseException: what it raised.
        """
        # Not by the loop's task factory: an eager task could not enter the caller's own context.
        task = Task(self._run(), loop=get_running_loop(), context=self._context)
        hide_when_destroyed(task)
        limit, cancelled = seconds, None
        while not task.done():
            try:
                await wait([task], timeout=limit)
            except CancelledError as error:
                cancelled = error
            else:
                if self._is_cancelled and not task.done():
                    raise TimeoutError("It was cancelled and did not end; it is left running")
            if not task.done():
                self._cancel()
                limit = GRACE_SECONDS
        raised = CancelledError() if task.cancelled() else task.exception() or task.result()
        if cancelled is not None:
            raise cancelled
        if self._is_cancelled:
            assert seconds is not None
            raise late_error(seconds)
        if raised is not None:
            raise raised

    async def _run(self) -> BaseException | None:
        """Return what the awaitable raises: asyncio would raise an interrupt through the loop."""
        self.task = present_task()
        if self._is_cancelled:
            self._cancel()
        try:
            await self._answer
        except GeneratorExit:
            raise
        except BaseException as error:
            self.was_cut = self._is_cancelled and isinstance(error, CancelledError)
            return error
        return None

    def _cancel(self) -> None:
        # Not before its first step: a coroutine that never starts could not clean up.
        self._is_cancelled = True
        if self.task is not None:
            self.task.cancel()
