"""`LocalRunner`, which calls tasks on the event loop or in threads, by the kind of function."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any

from antflow.context import CURRENT_WORKER
from antflow.stage import Stage, TaskFunc, always_awaitable, is_coroutine_function, task_name

from .runner import RunnerStats, TaskCall
from .threads import Threads
from .timeouts import with_timeout


class LocalRunner:
    """Calls coroutine functions on the event loop, and plain functions in threads of the stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._workers = stage.workers
        self._threads: Threads | None = None  # for plain functions, if there are any

    def bind(self, task: TaskFunc) -> TaskCall:
        """Return a task, of any kind of function, as a worker calls it."""
        stage = self._stage
        function = _unpacked(task) if stage.unpack_args else task
        name, is_in_thread = task_name(task), False
        call: TaskCall
        if always_awaitable(task):  # no wrapper of ours, so that an item costs no further call
            call = function
        elif is_coroutine_function(task):
            call = _awaited(function)
        else:
            call, is_in_thread = partial(self._get_threads().run, function, name), True
        if stage.task_timeout is not None:
            call = with_timeout(call, stage.task_timeout, stage.name, name)
        has_timeout = stage.task_timeout is not None or stage.item_timeout is not None
        return self._when_ready(call) if is_in_thread and has_timeout else call

    def call_plain(self, function: Callable[[Any], Any], name: str, value: Any) -> Awaitable[Any]:
        """Call a plain function in a thread."""
        return self._get_threads().run(function, name, value)

    def resize(self, workers: int) -> None:
        """Have threads for so many workers from now on."""
        self._workers = workers
        if self._threads is not None:
            self._threads.resize(workers)

    def stats(self) -> RunnerStats:
        """Return how many threads are abandoned."""
        return RunnerStats(0 if self._threads is None else self._threads.abandoned)

    def close(self, *, cancel: bool) -> Future[None] | None:
        """End the threads, except those that are abandoned."""
        return None if self._threads is None else self._threads.close(cancel=cancel)

    def _get_threads(self) -> Threads:
        if self._threads is None:
            self._threads = Threads(self._stage.name, self._workers)
        return self._threads

    def _when_ready(self, timed: TaskCall) -> TaskCall:
        """Return a call that begins, with its timeout, when a thread may be started."""
        threads = self._get_threads()

        async def call(value: Any) -> Any:
            if threads.are_too_many:
                worker = CURRENT_WORKER.get()
                assert worker is not None
                with worker.waits.mark():  # closing the run cancels the wait
                    await threads.wait_ready()
            return await timed(value)

        return call


def _awaited(function: TaskFunc) -> TaskCall:
    """Return a call of a wrapper around a coroutine function; the wrapper may return a value."""

    async def call(value: Any) -> Any:
        result = function(value)
        return await result if isawaitable(result) else result

    return call


def _unpacked(task: TaskFunc) -> TaskFunc:
    """Return a function that spreads its argument over the parameters of a task."""

    def call(value: Any) -> Any:
        if isinstance(value, dict):
            return task(**value)
        if isinstance(value, list | tuple):
            return task(*value)
        return task(value)

    return call
