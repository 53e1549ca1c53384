"""The task that ends a run for its plugins and its display."""

from __future__ import annotations

from asyncio import Task, get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial

from .run_state import RunState


class Ending:
    """Runs what is to be awaited at the end of a run, and then finishes the run.

    Args:
        run: the state of the run; an error at its end becomes the run's.
        end: what is to be awaited.
        finish: called after that, whatever happened.
    """

    def __init__(
        self, run: RunState, end: Callable[[], Awaitable[None]], finish: Callable[[], None]
    ) -> None:
        self.task: Task[None] | None = None
        self.is_begun = False  # so that it may be cancelled
        self._run = run
        self._end = end
        self._finish = finish

    def start(self, context: Context) -> None:
        """Begin, in a context."""
        ending = self._await_end()
        try:
            self.task = get_running_loop().create_task(ending, context=context)
        except RuntimeError:  # the loop is closed: nothing can be awaited
            ending.close()
            self._finish()
            return
        self.task.add_done_callback(partial(self._on_done, context))

    def running(self) -> list[Task[None]]:
        """Return the task, once it may be cancelled."""
        return [self.task] if self.is_begun and self.task is not None else []

    async def _await_end(self) -> None:
        self.is_begun = True
        await self._end()

    def _on_done(self, context: Context, task: Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._run.error = self._run.error or error
        # It may be cancelled before its first step, as asyncio.run does at its end.
        if self.is_begun:
            self._finish()
        else:
            self.start(context)
