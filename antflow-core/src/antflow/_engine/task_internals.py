"""What asyncio knows of tasks without a public name for it: what waits for which."""

from __future__ import annotations

from asyncio import Future, Task, isfuture
from collections.abc import Iterator
from typing import Any


def tasks_waiting_for(task: Task[Any] | None) -> Iterator[Task[Any]]:
    """Yield a task, and those that wait for it: directly, or by `gather`, `wait` or a TaskGroup.

    A task that waits for an event which the other task is to set is not found.
    """
    # The callbacks of a future belong to the waiting task, or refer to the future that it awaits.
    found: list[Any] = [task]
    for future in found:  # which grows meanwhile
        if isinstance(future, Task):
            yield future
        for callback, _ in getattr(future, "_callbacks", None) or ():
            found += [each for each in _futures_of(callback) if each not in found]


def awaited_by(task: Task[Any]) -> Future[Any] | None:
    """Return the future that a task waits for, maybe through other tasks; None while it can run."""
    future = getattr(task, "_fut_waiter", None)
    while isinstance(future, Task):
        future = getattr(future, "_fut_waiter", None)
    return future


def hide_when_destroyed(task: Task[Any]) -> None:
    """Have asyncio not report a task that is destroyed before its end."""
    # For tasks of a run that is dropped: the run itself gives one warning for all of them.
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 - typing knows no such attribute


def _futures_of(callback: Any) -> Iterator[Any]:
    """Yield the futures and tasks that a callback of a future belongs to or refers to."""
    owner = getattr(callback, "__self__", None)  # a task, or a group of tasks
    referred = [owner, getattr(owner, "_parent_task", None), *getattr(callback, "args", ())]
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            referred.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    yield from (each for each in referred if isfuture(each))
