"""`AsyncExecutor`, which calls functions as `concurrent.futures` does, on a pipeline's workers."""

# ruff: noqa: SLF001 - an executor knows its futures and its pipeline

from __future__ import annotations

from asyncio import (
    CancelledError,
    Queue,
    Semaphore,
    get_running_loop,
    sleep,
)
from asyncio import timeout as time_limit
from asyncio import timeout_at as time_limit_at
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from contextvars import copy_context
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from ._engine.calls import operations
from ._engine.calls.checks import check_executor_loop, check_not_worker
from ._engine.calls.operations import DEFAULT_PRIORITY
from ._engine.limiting.executor_stage import Call, ExecutorStage
from ._engine.running.run import Run
from ._errors.suggestions import explains_arguments
from ._errors.texts import one_line, short
from ._executor.calls import (
    MOST,
    calls_of,
    checked_call,
    has_retries,
    run_call,
    seconds_to_wait,
)
from ._executor.future import AsyncFuture, check_timeout
from ._executor.waiting import Wait, WaitStrategy, cancelling, results_of
from .exceptions import ExecutorShutdownError, PipelineError
from .limits import Limit
from .pipeline import Pipeline
from .retry import is_count
from .stats import PipelineStats

__all__ = ["AsyncExecutor", "AsyncFuture", "ExecutorShutdownError", "WaitStrategy"]

T = TypeVar("T")

CALLS_PER_TURN = 100
"""So many calls of an iterable are submitted before other work on the event loop gets a turn."""


@explains_arguments
class AsyncExecutor:
    """Calls functions, at most `max_workers` at once, and returns a future for each.

    It is `concurrent.futures` for asyncio, and a pipeline of one stage, so that statistics, hooks
    and displays see its calls as they see items. It begins with its first call, and calls run with
    the context variables of that moment.

    Args:
        max_workers: how many calls run at once.
        name: names the executor in statistics, logs and errors, as the pipeline and as the stage.
        progress: show progress on standard error, as `Pipeline.run` does.
        dashboard: name of an installed dashboard.
        plugins: plugins for this executor, besides the installed ones.
        autoload: whether installed plugins take part.

    Raises:
        ValueError: `max_workers` is not a whole number above 0, both displays are asked for, or the
            dashboard is not installed.
        PipelineError: `name` is not a non-empty string, `max_workers` is above 100,000, or two
            plugins have the same name.
    """

    def __init__(
        self,
        max_workers: int = 5,
        *,
        name: str = "executor",
        progress: bool = False,
        dashboard: str | None = None,
        plugins: Iterable[object] = (),
        autoload: bool = True,
    ) -> None:
        if not is_count(max_workers, 1):
            raise ValueError(f"max_workers must be at least 1, not {max_workers!r}")
        if not isinstance(name, str) or not name:
            raise PipelineError(f"An executor's name must be a non-empty string, not {name!r}")
        stage = ExecutorStage(
            name,
            max_workers,
            [run_call],
            task_attempts=MOST,
            retry_on=has_retries,
            retry_wait=seconds_to_wait,
            queue_capacity=0,
            max_parked=MOST,
        )
        self._pipeline: Pipeline[Call, Any] = Pipeline(
            [stage], collect_results=False, name=name, plugins=plugins, autoload=autoload
        )
        self._display = self._pipeline._requested_display(progress, dashboard)
        self._max_workers = max_workers
        self._run: Run | None = None
        self._pending: set[AsyncFuture[Any]] = set()
        self._is_shut_down = False

    @one_line
    def __repr__(self) -> str:
        state = "shut down" if self._is_shut_down else f"{len(self._pending)} calls pending"
        return f"<AsyncExecutor {short(self._pipeline.name)}, {state}>"

    def get_stats(self) -> PipelineStats:
        """Return statistics of the calls, those of a pipeline with one stage."""
        return self._pipeline.get_stats()

    # Calls

    @overload
    def submit(
        self,
        fn: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        retries: int = 0,
        retry_delay: float = 0.1,
        semaphore: Semaphore | Limit | None = None,
        **kwargs: Any,
    ) -> AsyncFuture[T]: ...

    @overload
    def submit(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        retries: int = 0,
        retry_delay: float = 0.1,
        semaphore: Semaphore | Limit | None = None,
        **kwargs: Any,
    ) -> AsyncFuture[T]: ...

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        retries: int = 0,
        retry_delay: float = 0.1,
        semaphore: Semaphore | Limit | None = None,
        **kwargs: Any,
    ) -> AsyncFuture[Any]:
        """Call a function when a worker is free, and return the future of its result at once.

        A coroutine function runs on the event loop, a plain function in a thread.

        Args:
            fn: the function.
            args: its positional arguments.
            retries: how many more attempts follow one that raises an Exception.
            retry_delay: seconds before the second attempt; each further wait is twice as long, up
                to a minute. A call that waits holds no worker.
            semaphore: an `asyncio.Semaphore`, acquired around each attempt, for which a worker
                waits; or a `Limit`, for which the call waits without one. `key` and `cost` of a
                limit are called with the positional argument, or with a tuple of several.
            kwargs: its keyword arguments.

        Raises:
            ExecutorShutdownError: the executor was shut down.
            TypeError: `fn` cannot be called, or `semaphore` is neither of the two.
            ValueError: `retries` or `retry_delay` is not a number, 0 or more.
            PipelineError: the executor runs on another event loop, or in another thread.
            RuntimeError: no event loop is running.
        """
        call = checked_call(fn, args, kwargs, retries, retry_delay, semaphore)
        return self._submit(call)

    @overload
    async def map(
        self,
        fn: Callable[..., Awaitable[T]],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.1,
    ) -> list[T]: ...

    @overload
    async def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.1,
    ) -> list[T]: ...

    async def map(
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.1,
    ) -> list[Any]:
        """Call a function with each item of an iterable; return the results in order.

        With several iterables, it is called with one item of each, until the shortest is exhausted.
        They are read to their end, though a call fails; `map_iter` reads no more than it runs.

        Args:
            fn: as for `submit`.
            iterables: of the arguments.
            timeout: seconds for all calls; None for no limit.
            retries: as for `submit`.
            retry_delay: as for `submit`.

        Raises:
            TimeoutError: not all calls have ended by then. All others are cancelled, as they are
                after an error.
            ValueError: `timeout` is not a number, or as from `submit`.
            BaseException: the first error; of several, that of the earliest call.
        """
        check_timeout(timeout)
        futures: list[AsyncFuture[Any]] = []
        calls = calls_of(fn, iterables, retries, retry_delay)
        with cancelling(futures):
            async with time_limit(timeout):
                for call in calls:
                    futures.append(self._submit(call))
                    if not len(futures) % CALLS_PER_TURN:
                        await sleep(0)
                await self.wait(futures, return_when=WaitStrategy.FIRST_EXCEPTION)
            return results_of(futures)

    @overload
    def map_iter(
        self,
        fn: Callable[..., Awaitable[T]],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.1,
    ) -> AsyncIterator[T]: ...

    @overload
    def map_iter(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.1,
    ) -> AsyncIterator[T]: ...

    async def map_iter(
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.1,
    ) -> AsyncIterator[Any]:
        """Call a function as `map` does, and yield the results in order.

        The iterables are read as results are taken: at most `max_workers` items ahead of them.

        Args:
            fn: as for `submit`.
            iterables: of the arguments.
            timeout: seconds for all calls, from the first result that is asked for; None for no
                limit.
            retries: as for `submit`.
            retry_delay: as for `submit`.

        Raises:
            TimeoutError: as from `map`.
            ValueError: as from `map`.
            BaseException: the first error, when it is the turn of its result.
        """
        check_timeout(timeout)
        futures: deque[AsyncFuture[Any]] = deque()
        calls = calls_of(fn, iterables, retries, retry_delay)
        loop = get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        with cancelling(futures):
            error = self._submit_next(calls, self._max_workers, futures)
            while futures:
                async with time_limit_at(end):
                    result = await futures[0]
                futures.popleft()
                if error is None:
                    error = self._submit_next(calls, 1, futures)
                yield result
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # breaks a cycle; see _errors/tracebacks.py

    # Waiting

    async def wait(
        self,
        futures: Iterable[AsyncFuture[T]],
        timeout: float | None = None,
        return_when: WaitStrategy = WaitStrategy.ALL_COMPLETED,
    ) -> tuple[set[AsyncFuture[T]], set[AsyncFuture[T]]]:
        """Wait for futures, and return those that are done and those that are not.

        Args:
            futures: of this executor or of others.
            timeout: seconds to wait; None for no limit. The calls go on.
            return_when: when all have ended; when one has; or when one has raised, or all have
                ended.

        Raises:
            TimeoutError: with ALL_COMPLETED, not all have ended by then.
            ValueError: `return_when` is not a WaitStrategy, or `timeout` is not a number.
        """
        check_timeout(timeout)
        if not isinstance(return_when, WaitStrategy):
            raise ValueError(f"return_when is {return_when!r}; give a WaitStrategy")
        waiting = Wait(set(futures), return_when)
        try:
            async with time_limit(timeout):
                await waiting.satisfied
        except TimeoutError:
            if return_when is WaitStrategy.ALL_COMPLETED:
                raise
        finally:
            waiting.stop()
        return waiting.done, waiting.pending

    async def as_completed(
        self, futures: Iterable[AsyncFuture[T]], timeout: float | None = None
    ) -> AsyncIterator[AsyncFuture[T]]:
        """Yield futures as their calls end.

        Args:
            futures: of this executor or of others; each is yielded once.
            timeout: seconds for all of them, from the first that is asked for; None for no limit.
                The calls go on.

        Raises:
            TimeoutError: not all have ended by then.
            ValueError: `timeout` is not a number.
        """
        check_timeout(timeout)
        left = dict.fromkeys(futures)
        ended: Queue[AsyncFuture[T]] = Queue()
        loop = get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        for future in left:
            future._check_await()
        try:
            for future in left:
                future.add_done_callback(ended.put_nowait)
            while left:
                async with time_limit_at(end):
                    future = await ended.get()
                del left[future]
                yield future
        finally:
            for future in left:
                future._remove_done_callback(ended.put_nowait)

    # Shutting down

    async def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: return when all calls have ended; else at once, and the calls go on.
            cancel_futures: cancel the calls that wait, those for another attempt included. The ones
                that run go on.

        Raises:
            PipelineError: a call of the executor waits for its own end, or the executor runs on
                another event loop.
            BaseException: what ended the executor, such as a KeyboardInterrupt in a call.
        """
        if self._run is not None:
            check_executor_loop(
                self._run,
                "shutdown()",
                "asyncio.run_coroutine_threadsafe(executor.shutdown(), loop)",
            )
            check_not_worker(self._run)
        self._is_shut_down = True
        if self._run is None:
            return
        if cancel_futures:
            # In the order in which they wait: the first is found at once.
            for future in sorted(self._pending, key=lambda each: each.sequence_id):
                if future._state == "waiting":
                    future.cancel()
        if wait:
            await operations.drain(self._run)
        else:
            self._run.is_joined = True
            self._run.close_input()

    async def __aenter__(self) -> Self:
        await self._open().wait_opened()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_shut_down = True
        if isinstance(error, CancelledError | GeneratorExit):  # nothing waits for the results
            await operations.stop(self._run, drain=False, timeout=0, returns_unprocessed=True)
        else:
            await self.shutdown()

    # The run

    def _open(self) -> Run:
        """Return the run, which begins with the first call."""
        if self._is_shut_down:
            raise ExecutorShutdownError(
                f"Executor {self._pipeline.name!r} was shut down and takes no more calls; make a "
                "new AsyncExecutor"
            )
        if self._run is None:
            get_running_loop()  # or the run could not start
            self._run = self._pipeline._runs.begin_now(
                self._pipeline, copy_context(), display=self._display
            )
        return self._run

    def _submit_next(
        self, calls: Iterator[Call], number: int, futures: deque[AsyncFuture[Any]]
    ) -> Exception | None:
        """Submit the next calls; return what the iterable or the executor raised instead of one."""
        try:
            for call in islice(calls, number):
                futures.append(self._submit(call))
        except Exception as error:  # raised when it is its turn: the results before it stand
            return error
        return None

    def _submit(self, call: Call) -> AsyncFuture[Any]:
        run = self._open()
        check_executor_loop(
            run,
            "call",
            "asyncio.run_coroutine_threadsafe(coroutine, loop), with a coroutine that makes the "
            "call and awaits it",
        )
        try:
            handle = run.submitter.submit_nowait(call, DEFAULT_PRIORITY, None)
        except PipelineError as error:
            raise ExecutorShutdownError(
                f"Executor {self._pipeline.name!r} has ended and takes no more calls; make a new "
                "AsyncExecutor"
            ) from (run.error or error)
        return AsyncFuture(handle, run, self._pending)
