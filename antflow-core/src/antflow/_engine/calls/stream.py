"""Results as they come: the consumer's end of a run."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self

from antflow._engine.base.item import as_result
from antflow._engine.running.run import Run
from antflow._task_types import Value_co
from antflow.exceptions import PipelineError
from antflow.results import PipelineResult


class ResultStream(Generic[Value_co]):
    """An async iterator over results, as `Pipeline.stream` returns it.

    The run begins when the first result is asked for; that raises PipelineError if the pipeline is
    running already. Results come in order of completion, failed items included. After the last
    result, the iterator raises the exception of the input, or the one that ended the run.

    Close it with `aclose`, or use it as an async context manager, and no task is left behind. If it
    is merely dropped, as after a `break`, the run is cancelled within a few turns of the event
    loop.
    """

    def __init__(self, begin: Callable[[], Awaitable[Run]]) -> None:
        self._begin: Callable[[], Awaitable[Run]] | None = begin  # starts the run
        self._run: Run | None = None
        self._is_over = False
        self._loop: AbstractEventLoop | None = None

    def __aiter__(self) -> Self:
        return self

    def next_sequence_id(self, value: Any) -> int:
        """Return the `sequence_id` that the item of an input gets if it is the next one fed.

        An input that is being read may ask for it just before it yields the value, without an
        await in between, so that a program finds the input of each result. An item of an earlier
        run keeps its number, unless another item of this run has it.

        Args:
            value: what the input yields next.

        Raises:
            PipelineError: the run has not begun.
        """
        if self._run is None:
            raise PipelineError(
                "The run of this stream has not begun, so its items have no numbers; ask in the "
                "input, while it is read"
            )
        return self._run.items.number_of(value)

    async def __anext__(self) -> PipelineResult[Value_co]:
        """Return the next result.

        Raises:
            PipelineError: at the first call, if the pipeline is running already.
            TooManyFailuresError: after the last result, if more items failed than `max_failures`
                allows.
            BaseException: after the last result, the exception of the input or the one that ended
                the run.
        """
        run = self._run
        if run is None or self._is_over or not run.results.queue:
            run = await self._wait_ready()
            if run is None:
                raise StopAsyncIteration
        else:
            run.reentrancy.note_consumer()
        results = run.results
        item = results.queue.popleft()
        if results.waiters.any:
            results.waiters.wake()
        return as_result(item, results.stage)

    async def _wait_ready(self) -> Run | None:
        """Begin the run if need be, and wait until it has a result; return None at its end."""
        run = self._run
        if self._begin is not None:
            run = await self._start(self._begin)
            if self._is_over:  # it was left while it waited for an earlier run to end
                run.abort()
        if run is None or self._is_over:
            await self._wait_closed()
            return None
        results = run.results
        run.reentrancy.note_consumer()
        while not results.queue:
            if results.closed:
                self._is_over = True
                await run.wait()
                run.failures.raise_exceeded()
                return None
            # `_take_ready` may have taken a result while a worker found no room, just before that
            # worker waited: so nothing has woken it.
            if results.waiters.any:
                results.waiters.wake()
            await results.wait_for_item()
        return run

    def _take_ready(self) -> PipelineResult[Value_co] | None:  # for SyncStream
        """Return a result that is ready, if there is one, in another thread than the loop's."""
        run, loop = self._run, self._loop
        if run is None or loop is None or not run.results.queue:
            return None
        results = run.results
        item = results.queue.popleft()  # only the one consumer takes, and this is atomic
        if results.waiters.any:
            with suppress(RuntimeError):  # the loop is closed: no sender is left
                loop.call_soon_threadsafe(results.waiters.wake)
        return as_result(item, results.stage)

    def _raise_once(self) -> None:  # for SyncStream
        """Raise what ended the run, unless that was done already."""
        if self._run is not None:
            self._run.raise_once()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave()
        if error is None:
            self._raise_once()

    async def aclose(self) -> None:
        """Cancel the run, and wait until none of its tasks is left.

        Results that were not taken are in `pipeline.undelivered` then, and items that had not
        ended in `pipeline.unprocessed`. Called by one of the pipeline's own tasks, it does not
        wait.

        Raises:
            BaseException: the exception that ended the run, unless it was raised already.
        """
        await self._leave()
        self._raise_once()

    def leave_display(self, seconds: float) -> None:
        """Have the display of the run restore the terminal, before the program ends its process.

        Only a program that does not wait for the end of the run needs this. It may be called from
        any thread, also while a task holds the event loop.

        Args:
            seconds: how long to wait for the display.
        """
        if self._run is not None and self._run.lifecycle.display is not None:
            self._run.lifecycle.display.leave(seconds)

    def __del__(self) -> None:
        run, loop = self._run, self._loop
        if run is None or loop is None or run.is_over or loop.is_closed():
            return
        run.is_abandoned = True
        loop.call_soon_threadsafe(run.abort)

    async def _start(self, begin: Callable[[], Awaitable[Run]]) -> Run:
        self._run = run = await begin()
        self._begin = None  # which holds the input
        self._loop = get_running_loop()
        return run

    async def _leave(self) -> None:
        self._is_over, self._begin = True, None
        if self._run is not None:
            self._run.abort()
        await self._wait_closed()

    async def _wait_closed(self) -> None:
        """Wait until no task of the run is left, unless this is one of them."""
        if self._run is not None and not self._run.reentrancy.is_inside_task():
            await self._run.wait_closed()
