"""Reading a plain iterable in a thread, so that one that blocks does not hold the event loop."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from inspect import isgenerator
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Self

from antflow._stats.counters import StageCounters

READ_AHEAD = 10
"""Values that the thread may read before they are asked for."""

_logger = logging.getLogger(__name__)


class ThreadReader:
    """An async iterator over a plain iterable, which a daemon thread reads a few values ahead.

    The thread starts when the first value is asked for, and closes the iterator if that is a
    generator. To lose no value, `finish` reading before you `stop` it. A thread cannot be
    cancelled: one that is inside the iterable when reading stops is abandoned, and what it reads
    afterwards is discarded.

    Args:
        counters: of the stage that is fed; they count the thread if it is abandoned.
        context: copied for the thread; None for the present one.
    """

    def __init__(
        self,
        items: Iterable[Any],
        pipeline: str,
        counters: StageCounters,
        context: Context | None = None,
    ) -> None:
        self._items: Iterable[Any] | None = items
        self._pipeline = pipeline
        self._counters = counters
        self._context = copy_context() if context is None else context.copy()
        self._loop: AbstractEventLoop | None = None
        # The thread and the loop share what follows, and change it under the lock of `_changed`.
        self._changed = Condition()
        self._values: deque[Any] = deque()
        self._error: BaseException | None = None
        self._waiter: Future[None] | None = None
        self._is_inside = False  # the thread is inside the iterable
        self._is_ending = False  # nothing more is to be read
        self._is_stopped = False  # what comes is discarded
        self._is_abandoned = False
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """Return the next value.

        Raises:
            BaseException: what the iterable raised.
        """
        if self._loop is None:
            self._start()
        while True:
            with self._changed:
                if self._values:
                    self._changed.notify()
                    return self._values.popleft()
                if self._is_over or self._is_stopped:
                    break
                waiter = self._waiter = get_running_loop().create_future()
            await waiter
        self._raise_error()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if kind is GeneratorExit:  # nothing may be awaited then
            self._abandon()
        else:
            await self.wait_closed()

    async def finish(self) -> None:
        """Read no further, and wait for the value that the thread is about to deliver."""
        if self._loop is None or self._loop.is_closed():
            return
        while True:
            with self._changed:
                self._end_reading()
                if not self._is_inside:
                    return
                waiter = self._waiter = get_running_loop().create_future()
            await waiter

    def _end_reading(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._error = None  # of reading; one that comes from now on is of closing
            self._changed.notify()

    def stop(self) -> list[Any]:
        """Stop reading; abandon the thread if it is inside the iterable.

        Returns:
            The values that were read and not asked for.
        """
        with self._changed:
            self._end_reading()
            self._is_stopped = True
            unread = list(self._values)
            self._values.clear()
            is_inside = self._is_inside
        if is_inside:
            self._abandon()
        return unread

    async def wait_closed(self) -> None:
        """Wait, reading having stopped, until the thread has closed the iterable.

        It does not wait for an abandoned thread. If it is cancelled, the thread is abandoned.

        Raises:
            BaseException: what the iterable raised when it was closed.
        """
        if self._loop is None or self._loop.is_closed():
            return
        while True:
            with self._changed:
                if self._is_over or self._is_abandoned:
                    break
                waiter = self._waiter = get_running_loop().create_future()
            try:
                await waiter
            except BaseException:
                self._abandon()
                raise
        self._raise_error()

    def _start(self) -> None:
        self._loop = get_running_loop()
        thread = Thread(
            target=self._context.run,
            args=(self._read,),
            name=f"{self._pipeline}-input",
            daemon=True,
        )
        try:
            thread.start()
        except BaseException:  # the system has no thread left
            self._is_over, self._items = True, None
            raise

    def _raise_error(self) -> None:
        with self._changed:
            error, self._error = self._error, None
        try:
            if isinstance(error, StopAsyncIteration):  # which would look like the end of the input
                raise RuntimeError("The input raised StopAsyncIteration") from error
            if error is not None:
                raise error
        finally:
            del error  # breaks a cycle; see _errors/tracebacks.py

    def _abandon(self) -> None:
        with self._changed:
            if self._loop is None or self._is_over or self._is_abandoned:
                return
            self._is_abandoned = True
            self._counters.abandoned_readers += 1
        _logger.warning(
            "Pipeline %r: the thread that reads the input was abandoned, since a running thread "
            "cannot be cancelled; it ends when the input returns its next value. Give what the "
            "input waits for a time limit, or make the input an async iterable.",
            self._pipeline,
        )

    # In the thread

    def _read(self) -> None:
        iterator: Iterator[Any] | None = None
        assert self._items is not None
        self._is_inside = True
        try:
            iterator = iter(self._items)
            while self._is_more_wanted():
                self._deliver(next(iterator))
        except StopIteration:
            pass
        except BaseException as error:
            self._note(error)
        self._leave()
        try:
            if isgenerator(iterator):
                iterator.close()
        except BaseException as error:
            self._note(error, is_closing=True)
        iterator = self._items = None  # so that they are destroyed in this thread
        self._end()

    def _is_more_wanted(self) -> bool:
        """Wait for room; return whether another value is wanted."""
        with self._changed:
            self._is_inside = False
            while len(self._values) >= READ_AHEAD and not self._is_ending:
                self._changed.wait()
            self._is_inside = not self._is_ending
            return self._is_inside

    def _deliver(self, value: Any) -> None:
        with self._changed:
            self._is_inside = False
            if not self._is_stopped:
                self._values.append(value)
                self._wake()

    def _note(self, error: BaseException, *, is_closing: bool = False) -> None:
        """Keep an error, if it is not too late, to be raised on the loop."""
        with self._changed:
            is_late = self._is_abandoned or (self._is_ending and not is_closing)
            if self._error is None and not is_late:
                self._error = error

    def _leave(self) -> None:
        with self._changed:
            self._is_inside = False
            self._wake()

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            self._wake()
            if self._is_abandoned:
                self._call(self._forget_abandoned)

    def _wake(self) -> None:
        if self._waiter is not None:
            self._call(_set, self._waiter)
            self._waiter = None

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nothing waits any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _forget_abandoned(self) -> None:
        self._counters.abandoned_readers -= 1


def _set(waiter: Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
