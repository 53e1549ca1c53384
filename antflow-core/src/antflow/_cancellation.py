"""Cancellation of asyncio tasks: who was cancelled, what is pending, how long to wait then."""

from __future__ import annotations

import sys
from asyncio import Task, current_task, timeout
from collections.abc import Awaitable
from typing import Any

HOOK_SECONDS = 5.0
"""How long code that was cancelled waits for a hook, which could hold it for ever."""


def present_task() -> Task[Any] | None:
    """Return the task that is running; None outside of any task and event loop."""
    # Coroutines of a loop that was closed are destroyed by the garbage collector, outside of it.
    try:
        return current_task()
    except RuntimeError:
        return None


def cancellations(task: Task[Any] | None = None) -> int:
    """Return how many cancellations a task, or the present one, has been sent."""
    task = task or present_task()
    return 0 if task is None else task.cancelling()


def is_closing(error: BaseException, task: Task[Any] | None) -> bool:
    """Return whether the coroutine that an error ends is being closed, and must not await again.

    Otherwise a GeneratorExit is an error like others, which a user's function has raised.

    Args:
        task: the task in which the coroutine ran before.
    """
    if not isinstance(error, GeneratorExit):
        return False
    return task is None or present_task() is not task  # no task runs what it closes


def delivered_cancellations() -> int:
    """Return how many cancellations have reached the present task; a pending one has not."""
    task = present_task()
    return 0 if task is None else task.cancelling() - is_cancellation_pending(task)


async def await_in_time(answer: Awaitable[Any]) -> Any:
    """Await what users' code returned to code that was cancelled, for a limited time.

    Raises:
        TimeoutError: it did not return in time, and was cancelled.
    """
    limit = timeout(HOOK_SECONDS)
    try:
        async with limit:
            return await answer
    except TimeoutError:
        if not limit.expired():
            raise
        raise late_error(HOOK_SECONDS) from None


def late_error(seconds: float) -> TimeoutError:
    """Return the error of an awaitable that was cancelled after some seconds."""
    return TimeoutError(
        f"It did not return within {seconds:g} seconds, and was cancelled; let it return earlier, "
        "and do slow work in a task of its own"
    )


def uncancel_group(task: Task[Any], before: int) -> None:
    """Take back the cancellation that a failing TaskGroup leaves behind before Python 3.13.

    Args:
        task: in which the group has failed.
        before: how many cancellations the task had been sent before.
    """
    if sys.version_info < (3, 13) and not is_cancellation_pending(task):
        while task.cancelling() > before:
            task.uncancel()


def is_cancellation_pending(task: Task[Any]) -> bool:
    """Return whether a cancellation of a task has not reached it yet."""
    # asyncio has no public name for this. A task of another kind without it has none pending.
    return bool(getattr(task, "_must_cancel", False))


def is_cancellation_due(task: Task[Any]) -> bool:
    """Return whether a suspended task is about to receive a cancellation."""
    # asyncio has no public name for this. A task of another kind without it has none.
    awaited = getattr(task, "_fut_waiter", None)
    is_cancelled = awaited is not None and awaited.cancelled()
    is_cancelling = isinstance(awaited, Task) and awaited.cancelling() > 0
    return is_cancelled or is_cancelling or bool(getattr(task, "_must_cancel", False))
