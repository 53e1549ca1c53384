"""`AsyncFuture`, the caller's end of a call."""

from __future__ import annotations

import logging
from asyncio import CancelledError, InvalidStateError
from asyncio import timeout as time_limit
from collections.abc import Callable, Generator
from contextlib import suppress
from math import isnan
from numbers import Real
from types import TracebackType
from typing import Any, Generic, TypeVar

from antflow._engine.base.run_state import RunState
from antflow._engine.calls.checks import check_executor_loop
from antflow._engine.channels.handle import ItemHandle
from antflow._errors.safe_logging import log_error
from antflow._errors.texts import one_line, short
from antflow.exceptions import ExecutorShutdownError, PipelineError
from antflow.results import PipelineResult

T = TypeVar("T")

_logger = logging.getLogger("antflow.executor")


def check_timeout(timeout: float | None) -> None:
    """Raise ValueError if a time limit is not a number; one of less than 0 is over at once."""
    # NaN is neither before nor after any time: as a timer it breaks the order of the loop's others.
    if timeout is not None and (not isinstance(timeout, Real) or isnan(timeout)):
        raise ValueError(f"timeout is {short(timeout)}; give seconds, or None for no limit")


class AsyncFuture(Generic[T]):
    """The result of a call that an executor makes, or will make; await it for the result.

    Cancelling what awaits it does not cancel the call. If a call fails and its future is dropped
    without anything having asked for the result, the error is logged.
    """

    __slots__ = ("_callbacks", "_handle", "_is_received", "_pending", "_run", "_traceback")

    def __init__(self, handle: ItemHandle, run: RunState, pending: set[AsyncFuture[Any]]) -> None:
        self._handle = handle
        self._run = run
        self._pending = pending  # the executor's futures that have not ended
        pending.add(self)
        self._callbacks: list[Callable[[AsyncFuture[T]], object]] = []
        self._is_received = False  # whether something has asked for the result
        self._traceback: TracebackType | None = None  # of the error, when the call ended
        handle.call_at_end(self._call_back)

    @one_line
    def __repr__(self) -> str:
        return f"<AsyncFuture {self.sequence_id}: {self._state}>"

    @property
    def sequence_id(self) -> int:
        """Number of the call in its executor, from 0."""
        return self._handle.item.sequence_id

    def done(self) -> bool:
        """Return whether the call has ended or was cancelled."""
        return self._handle.done()

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self.done() and self._state == "cancelled"

    def cancel(self) -> bool:
        """Cancel the call: where it waits, at once; while it runs, as a task is cancelled.

        A function that runs in a thread cannot be stopped; its result is dropped.

        Returns:
            False if the call has ended already.

        Raises:
            PipelineError: the call has not ended, and the executor runs on another event loop or in
                another thread.
        """
        if self.done():
            return False
        check_executor_loop(self._run, "cancel()", "loop.call_soon_threadsafe(future.cancel)")
        return self._handle.cancel()

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done():
            self._check_await()
            with suppress(PipelineError):  # an error ended the executor, as `_received` says
                yield from self._handle.__await__()
        try:
            return self._received()
        finally:
            del self  # or the error's traceback would keep this frame, and so the error

    async def result(self, timeout: float | None = None) -> T:
        """Wait for the result and return it.

        Args:
            timeout: seconds to wait; then the call goes on. None for no limit.

        Raises:
            TimeoutError: the call has not ended by then.
            CancelledError: the call was cancelled.
            ExecutorShutdownError: an error ended the executor before the call had ended.
            ValueError: `timeout` is not a number.
            BaseException: what the function raised.
        """
        check_timeout(timeout)
        try:
            async with time_limit(timeout):
                return await self
        finally:
            del self  # as in __await__

    def exception(self) -> BaseException | None:
        """Return what the function raised; None if it returned.

        It is an ExecutorShutdownError if an error ended the executor before.

        Raises:
            InvalidStateError: the call has not ended.
            CancelledError: it was cancelled.
        """
        if not self.done():
            raise InvalidStateError(f"{self!r} has not ended; await it first")
        self._is_received = True
        if self._state == "cancelled":
            raise CancelledError
        return self._error

    def add_done_callback(self, callback: Callable[[AsyncFuture[T]], object]) -> None:
        """Call a function with this future when the call has ended: at once, if it has already.

        Callbacks are called in the order in which they were added; what one raises is logged.
        """
        if self.done():
            self._call(callback)
        else:
            self._callbacks.append(callback)

    def __del__(self) -> None:
        if self._is_received or self.done() is False or self._state != "failed":
            return
        error = self._error
        if error is None or self._handle.result is None:  # shutdown() raises what ended it
            return
        log_error(_logger, error, "The error of %r was never asked for", self)

    @property
    def _state(self) -> str:
        """Whether the call waits, runs or was cancelled, or how it ended."""
        if not self.done():
            return self._handle.status
        result = self._handle.result
        if result is None:
            return "cancelled" if self._handle.stopped_by is None else "failed"
        if result.outcome == "dropped":
            return "cancelled"
        # A function may raise a CancelledError of its own.
        return "cancelled" if isinstance(result.error, CancelledError) else result.outcome

    @property
    def _error(self) -> BaseException | None:
        """What the call that has ended raised, or an error that names what ended the executor."""
        result = self._handle.result
        if result is not None:
            return result.error
        cause = self._handle.stopped_by
        error = ExecutorShutdownError(
            f"An error ended the executor before this call had ended: {short(cause)}"
        )
        error.__cause__ = cause
        return error

    @property
    def _value(self) -> T:
        result: PipelineResult | None = self._handle.result
        assert result is not None
        value: T = result.value
        return value

    def _received(self) -> T:
        """Return the result of a call that has ended, or raise its error."""
        error = self.exception()
        if error is None:
            return self._value
        try:
            # Not with the frames of those that asked before, or it would grow.
            raise error.with_traceback(self._traceback)
        finally:
            del error, self  # breaks a cycle; see _errors/tracebacks.py

    def _call_back(self) -> None:
        self._pending.discard(self)
        if self._handle.result is not None and self._handle.result.error is not None:
            self._traceback = self._handle.result.error.__traceback__
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call(callback)

    def _call(self, callback: Callable[[AsyncFuture[T]], object]) -> None:
        try:
            callback(self)
        except (Exception, CancelledError) as error:
            log_error(_logger, error, "A callback of %r failed", self)

    def _check_await(self) -> None:
        """Raise PipelineError if the present code cannot wait for the call."""
        if not self.done():
            check_executor_loop(
                self._run, "await", "asyncio.run_coroutine_threadsafe(future.result(), loop)"
            )
            self._handle.check_await()

    def _remove_done_callback(self, callback: Callable[[AsyncFuture[T]], object]) -> None:
        """Call a function no more."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def _abandon(self) -> None:
        """Cancel the call, if it has not ended; its outcome is of no interest."""
        self._is_received = True
        with suppress(PipelineError):  # what waited is collected when the event loop is gone
            self.cancel()
