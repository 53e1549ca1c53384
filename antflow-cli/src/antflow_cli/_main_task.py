"""`MainTask`, which ends a run properly though the program ends the event loop."""

from __future__ import annotations

import signal
from asyncio import AbstractEventLoop, Runner, Task, current_task
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ._target import TargetError

Result = TypeVar("Result")

ENDS = (SystemExit, KeyboardInterrupt, RuntimeError)
"""What leaves an event loop whose main task has not ended: asyncio raises the first two where a
task or callback raises them, and the last one after `loop.stop()`."""


class MainTask:
    """The main task of the command, which is run to its end.

    A task or callback that the program has started may end the event loop, by `sys.exit()` for
    example. Then the run is stopped as after a signal, and reports what it has not done.

    Attributes:
        on_loop_end: called with what has ended the loop; None until there is a run to stop.
    """

    def __init__(self) -> None:
        self.on_loop_end: Callable[[BaseException], None] | None = None
        self._task: Task[Any] | None = None

    def run(self, runner: Runner, main: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end, and return its result.

        Raises:
            TargetError: the program has ended the loop before there was a run.
            BaseException: what the coroutine raised.
        """
        before = signal.getsignal(signal.SIGINT)
        try:
            return runner.run(self._noted(main))
        except ENDS as error:
            result: Result = self._run_on(runner.get_loop(), error)
            signal.signal(signal.SIGINT, before)  # the runner has left that to the run
            return result

    async def _noted(self, main: Coroutine[Any, Any, Result]) -> Result:
        self._task = current_task()
        return await main

    def _run_on(self, loop: AbstractEventLoop, error: BaseException) -> Any:
        while True:
            if self._task is None or self._task.done():
                raise error
            if self.on_loop_end is None:
                text = f"the program ends the event loop: {type(error).__name__}: {error}"
                raise TargetError(text) from error
            self.on_loop_end(error)
            try:
                return loop.run_until_complete(self._task)
            except ENDS as another:
                error = another
