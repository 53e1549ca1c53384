"""Reads the input of `run` and `stream`, as fast as there is room."""

from __future__ import annotations

from asyncio import CancelledError, Task, get_running_loop, wait
from contextlib import suppress
from inspect import isasyncgen

from antflow._engine.base.run_state import RunState
from antflow._engine.workers.stage_runtime import StageRuntime

from .feeder import Feeder
from .sources import Source
from .thread_reader import ThreadReader


class InputReader:
    """Feeds an input to the first stage, in a task of the run, and then closes the run's input."""

    def __init__(self, run: RunState, feeder: Feeder) -> None:
        self.error: BaseException | None = None
        self._run = run
        self._feeder = feeder

    def start(
        self, source: Source, stage: StageRuntime, priority: int, opening: Task[None] | None
    ) -> Task[None]:
        """Begin to read, in a task.

        Args:
            opening: what has to end before; None if nothing has.
        """
        task = get_running_loop().create_task(self._read(source, stage, priority, opening))
        self._run.active_feeds += 1
        self._run.reentrancy.reader = task
        return task

    async def _read(
        self, source: Source, stage: StageRuntime, priority: int, opening: Task[None] | None
    ) -> None:
        run = self._run
        try:
            await run.leave_eager_step()
            if opening is not None:
                await wait([opening])
            if run.accepts_input:
                await self._feeder.feed(source, stage, priority)
        except (Exception, CancelledError) as error:
            if run.accepts_input:
                self.error = error
        except GeneratorExit:  # the loop is closed, or the run was dropped
            self._abandon(source)
            raise
        except BaseException as error:
            run.abort(error)
        run.active_feeds -= 1
        await self._stop(source, stage, priority)

    def _abandon(self, source: Source) -> None:
        """Stop reading where nothing can be awaited; an async generator is left to its loop."""
        self._run.active_feeds -= 1
        if isinstance(source, ThreadReader):
            source.stop()

    async def _stop(self, source: Source, stage: StageRuntime, priority: int) -> None:
        """Let an input that was not read to its end clean up after itself."""
        try:
            if isasyncgen(source):
                await source.aclose()
            elif isinstance(source, ThreadReader):
                if not self._run.is_aborted:
                    with suppress(CancelledError):  # at the time limit: the thread is abandoned
                        await source.finish()
                await self._feeder.take_unread(source.stop(), stage, priority)
                await source.wait_closed()
        finally:
            self._run.close_input()
