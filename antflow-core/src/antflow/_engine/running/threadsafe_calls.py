"""Calls of coroutines on the event loop of a run, from any thread."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task, get_running_loop
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from antflow._engine.base.reentrancy import hide_when_destroyed
from antflow.exceptions import PipelineError

T = TypeVar("T")
_Make = Callable[[], Coroutine[Any, Any, T]]


class ThreadsafeCalls:
    """Starts coroutines on a run's loop; each sees the context variables of its caller.

    Unlike with `asyncio.run_coroutine_threadsafe`, a call that the loop did not get to start
    before the run ended fails, instead of never being done.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._lock = Lock()
        self._waiting: set[Future[Any]] = set()  # have not started
        self._is_closed = False

    def submit(self, loop: AbstractEventLoop, make: _Make[T]) -> Future[T]:
        """Start a coroutine on the loop, and return the future of its result.

        Cancelling the future cancels the coroutine's task.

        Args:
            make: called on the loop; returns the coroutine.

        Raises:
            PipelineError: the run has ended, or the loop is closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._is_closed:
                raise self._stopped()
            try:
                loop.call_soon_threadsafe(self._start, future, make)
            except RuntimeError as error:  # closed meanwhile
                raise self._stopped() from error
            self._waiting.add(future)
        return future

    def close(self) -> None:
        """Fail the calls that have not started: the run has ended."""
        with self._lock:
            self._is_closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(self._stopped())

    def _start(self, future: Future[T], make: _Make[T]) -> None:
        with self._lock:
            if future not in self._waiting:
                return
            self._waiting.remove(future)
        if future.cancelled():
            future.set_running_or_notify_cancel()
            return
        loop = get_running_loop()
        task = loop.create_task(make())
        hide_when_destroyed(task)
        task.add_done_callback(partial(_copy_outcome, future))
        future.add_done_callback(partial(_cancel, loop, task))

    def _stopped(self) -> PipelineError:
        return PipelineError(
            f"Pipeline {self._pipeline!r} was stopped before it took the call; start() it again"
        )


def _copy_outcome(future: Future[T], task: Task[T]) -> None:
    if task.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        if not task.cancelled():
            task.exception()  # or asyncio would log that nothing has retrieved it
        return
    error = task.exception()
    if error is None:
        future.set_result(task.result())
    else:
        future.set_exception(error)


def _cancel(loop: AbstractEventLoop, task: Task[T], future: Future[T]) -> None:
    if future.cancelled() and not task.done():
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(task.cancel)
