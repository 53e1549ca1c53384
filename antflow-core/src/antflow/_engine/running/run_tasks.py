"""The asyncio tasks of one run, which ends after the last of them."""

from __future__ import annotations

from asyncio import Task, get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from typing import Any

from antflow._cancellation import present_task
from antflow._engine.base.reentrancy import hide_when_destroyed
from antflow._engine.base.run_state import RunState
from antflow._engine.workers.exits import cancelled_from_outside


class RunTasks:
    """Creates the tasks that a run waits for; one that fails ends the run.

    Args:
        run: the state of the run.
        on_end: called with each task that has ended.
    """

    def __init__(self, run: RunState, on_end: Callable[[Task[None]], None]) -> None:
        self.active: set[Task[None]] = set()
        self.cancelled: set[Task[None]] = set()  # by the run itself, while it goes on
        self._run = run
        self._on_end = on_end

    def create(
        self,
        create_task: Callable[[], Task[None]],
        on_done: Callable[[Task[None]], None] | None = None,
    ) -> Task[None]:
        """Create a task that the run waits for.

        Args:
            create_task: creates it.
            on_done: called when it is done, and calls `end`; None for `end` alone.
        """
        self._run.is_creating_task = True
        try:
            task = create_task()
        finally:
            self._run.is_creating_task = False
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
            self._run.on_open_loop(task.cancel)

    def end(self, task: Task[None]) -> None:
        """Note that a task is done; abort the run if it failed or was cancelled from outside."""
        run = self._run
        self.active.discard(task)
        if task.cancelled():
            is_expected = task is run.reentrancy.reader or task in self.cancelled
            if not (is_expected or run.is_closed):
                run.abort(cancelled_from_outside(run.name, task.get_name()))
        elif (error := task.exception()) is not None:
            run.abort(error)
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
