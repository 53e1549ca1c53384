"""`UserAwaitable`, which awaits users' code for a limited time, even if it ignores cancellation."""

from __future__ import annotations

from asyncio import FIRST_COMPLETED, CancelledError, Future, Task, get_running_loop, wait
from collections.abc import Awaitable, Iterable
from contextvars import Context
from typing import Any

from antflow._cancellation import cancellations, late_error, present_task

from .reentrancy import hide_when_destroyed

GRACE_SECONDS = 5.0
"""How long to wait for the end of what was cancelled, before it is left behind."""


class UserAwaitable:
    """What a method of a user's object returned, awaited in a task of its own.

    Args:
        context: in which it is awaited; None for a copy of the present one.
    """

    # In the caller's task, nothing could go on before the awaitable has ended.

    def __init__(self, answer: Awaitable[Any], context: Context | None = None) -> None:
        self.task: Task[Any] | None = None  # once it has started
        self.was_cut = False  # it ended because it was cancelled
        self.own_error: BaseException | None = None  # what it raised otherwise
        self._answer = answer
        self._context = context
        self._awaiting: Task[BaseException | None] | None = None
        self._is_cancelled = False

    async def wait(self, seconds: float | None, until: Future[Any] | None = None) -> None:
        """Wait for the end, or until then; forward cancellations.

        Args:
            seconds: when to cancel it; None for never.
            until: if this is done first, the awaitable goes on; call `wait` again for its end.

        Raises:
            CancelledError: this was cancelled, and then the awaitable has ended.
            TimeoutError: it was cancelled after `seconds`, or it did not end when it was cancelled.
            BaseException: what it raised.
        """
        if self._awaiting is None:
            # Not by the loop's task factory: an eager task could not enter the caller's context.
            self._awaiting = Task(self._run(), loop=get_running_loop(), context=self._context)
            hide_when_destroyed(self._awaiting)
        task = self._awaiting
        cancelled = await self._wait_for_one([task] if until is None else [task, until], seconds)
        raised = None
        if task.done():
            raised = CancelledError() if task.cancelled() else task.exception() or task.result()
        if cancelled is not None:
            raise cancelled
        if self._is_cancelled:
            assert seconds is not None
            raise late_error(seconds)
        if raised is not None:
            raise raised

    async def _wait_for_one(
        self, awaited: list[Future[Any]], limit: float | None
    ) -> CancelledError | None:
        """Wait until one of these is done, and return the last cancellation of the waiting task.

        Raises:
            TimeoutError: the awaitable was cancelled, and none of them is done.
        """
        cancelled, self._is_cancelled = None, False
        while not _any_done(awaited):
            try:
                await wait(awaited, timeout=limit, return_when=FIRST_COMPLETED)
            except CancelledError as error:
                cancelled = error
            else:
                if self._is_cancelled and not _any_done(awaited):
                    raise TimeoutError("It was cancelled and did not end; it is left running")
            if not _any_done(awaited):
                self._cancel()
                limit = GRACE_SECONDS
        return cancelled

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
            self.was_cut = isinstance(error, CancelledError) and cancellations(self.task) > 0
            self.own_error = None if self.was_cut else error
            return error
        return None

    def _cancel(self) -> None:
        # Not before its first step: a coroutine that never starts could not clean up.
        self._is_cancelled = True
        if self.task is not None:
            self.task.cancel()


def _any_done(futures: Iterable[Future[Any]]) -> bool:
    return any(future.done() for future in futures)
