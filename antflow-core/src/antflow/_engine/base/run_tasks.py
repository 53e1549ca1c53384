"""The asyncio tasks of one run, which ends after the last of them."""

from __future__ import annotations

from asyncio import Task, get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from typing import Any

from antflow._cancellation import present_task

from .reentrancy import hide_when_destroyed


class RunTasks:
    """Creates the tasks that a run waits for.

    Args:
        on_end: called with each task that has ended, which is not active any more.

    Attributes:
        active: the tasks that have not ended.
        cancelled: those that the run itself has cancelled while it goes on.
        ending: the task that ends the run after all others, once it may be cancelled.
        is_creating: whether one is being created.
    """

    def __init__(self, on_end: Callable[[Task[None]], None]) -> None:
        self.active: set[Task[None]] = set()
        self.cancelled: set[Task[None]] = set()
        self.ending: Task[None] | None = None
        self.is_creating = False
        self._on_end = on_end

    def create(
        self,
        create_task: Callable[[], Task[None]],
        on_done: Callable[[Task[None]], None] | None = None,
    ) -> Task[None]:
        """Create a task that the run waits for.

        Args:
            on_done: called when it is done, and calls `end`; None for `end` alone.
        """
        self.is_creating = True
        try:
            task = create_task()
        finally:
            self.is_creating = False
        self.active.add(task)
        task.add_done_callback(on_done or self.end)
        hide_when_destroyed(task)
        return task

    def spawn(self, awaitable: Awaitable[Any], context: Context | None) -> Task[None]:
        """Await something in a task, which begins also if it is cancelled first."""
        spawned = Spawned(awaitable)
        create_task = partial(get_running_loop().create_task, spawned.run(), context=context)
        return self.create(create_task, partial(self._on_spawned_done, spawned, context))

    def _on_spawned_done(self, spawned: Spawned, context: Context | None, task: Task[None]) -> None:
        if not spawned.is_begun:
            get_running_loop().call_soon(self.spawn(spawned.awaitable, context).cancel)
        self.end(task)

    def cancel_once(self, task: Task[None] | None) -> None:
        """Cancel a task so that it may clean up; neither the present one nor a second time."""
        if task is not None and task is not present_task() and task not in self.cancelled:
            self.cancelled.add(task)
            task.cancel()

    def end(self, task: Task[None]) -> None:
        """Note that a task is done."""
        self.active.discard(task)
        self._on_end(task)


class Spawned:
    """What is awaited in a task of its own, and whether that has begun."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable
        self.is_begun = False

    async def run(self) -> None:
        """Await it."""
        self.is_begun = True
        await self.awaitable
