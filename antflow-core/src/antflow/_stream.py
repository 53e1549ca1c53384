"""Results as they come: the consumer's end of a run."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from ._item import as_result
from ._run import Run
from .types import PipelineResult


class ResultStream:
    """An async iterator over results in order of completion; the run begins with the first step.

    Leave it by `aclose` or use it as an async context manager, and no task is left behind. If it
    is merely dropped, as by `break`, the run is cancelled within a few turns of the loop.

    Args:
        begin: starts the run.
    """

    def __init__(self, begin: Callable[[], Awaitable[Run]]) -> None:
        self._begin = begin
        self._run: Run | None = None
        self._loop: AbstractEventLoop | None = None
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PipelineResult:
        if self._is_closed:
            raise StopAsyncIteration
        run = self._run or await self._start()
        results = run.results
        run.note_consumer()
        while not results.queue:
            if results.closed:
                self._is_closed = True
                await run.wait()
                raise StopAsyncIteration
            await results.wait_for_item()
        item = results.queue.popleft()
        if results.crowded:
            results.make_room()
        return as_result(item, results.stage)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what still runs and wait until it is gone.

        What had ended is in `pipeline.undelivered` then, and the rest in `pipeline.unprocessed`.
        """
        self._is_closed = True
        if self._run is not None and not self._run.is_over:
            self._run.abort()
            await self._run.outlast()

    def __del__(self) -> None:
        run, loop = self._run, self._loop
        if run is None or loop is None or run.is_over or loop.is_closed():
            return
        run.is_abandoned = True
        loop.call_soon_threadsafe(run.abort)

    async def _start(self) -> Run:
        self._run = run = await self._begin()
        self._loop = get_running_loop()
        return run
