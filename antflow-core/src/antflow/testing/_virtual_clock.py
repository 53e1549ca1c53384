"""`Clock`: virtual time, in which waits take no real time and durations are exact.

The clock is an event loop with another selector: where the loop would wait, the selector moves the
time to the next timer. There is no tick.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from math import inf, ulp
from types import CodeType
from typing import Any, TypeVar
from weakref import WeakSet

from antflow._clock import CLOCK
from antflow._runners import threads as runners

from ._task_descriptions import describe_tasks

T = TypeVar("T")
Events = list[tuple[selectors.SelectorKey, int]]

THREAD_WAIT_SECONDS = 5.0
"""The longest wait for a thread while a timer is set, in real time."""

UNTIMED_THREAD_WAIT_SECONDS = 60.0
"""The longest wait for a thread while no timer is set, in real time."""

RESOLUTION = 1e-9
"""Seconds by which two times differ at least, while floats are that close to each other."""

THREAD_FUTURE_MAKERS: frozenset[CodeType] = frozenset(
    function.__code__
    for function in (
        vars(runners)["_Job"].__init__,
        asyncio.futures.wrap_future,
        asyncio.BaseEventLoop.shutdown_default_executor,
    )
)
"""The functions that make the futures that threads fulfil.

The loop knows these futures by the function that makes them: by the time that a thread is seen at
work, the time may have jumped.
"""


class StuckError(AssertionError):
    """The run can never end: every task waits, and no timer is set."""


class Clock:
    """Virtual time for the engine, `asyncio.sleep` and time-outs.

    `run` runs a coroutine. When all tasks wait, the time jumps to the next timer: a delay of an
    hour takes no real time, and the clock shows an hour more. While a thread works for the event
    loop, for a stage or in `asyncio.to_thread`, the clock stands still; if a timer is set, for five
    real seconds at most. While a connection is open, the clock runs like real time. It does not
    wait for child processes of asyncio. The `timestamp` of an event is real Unix time.

        clock = Clock()
        clock.run(pipeline.run(items))
        assert clock.time() == 3600
    """

    def __init__(self) -> None:
        self._now = 0.0

    def time(self) -> float:
        """Return the seconds that have passed on this clock since it was made."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward, as if a task had taken that long.

        Args:
            seconds: 0 or more.

        Raises:
            ValueError: `seconds` is below 0, infinite, or NaN.
        """
        if not 0 <= seconds < inf:
            raise ValueError(f"A clock cannot be advanced by {seconds!r} seconds; give 0 or more")
        self._now += seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, on a new event loop that uses this clock.

        Raises:
            StuckError: the coroutine can never end: every task waits, and no timer is set.
            RuntimeError: an event loop is running already.
            BaseException: the exception of the coroutine.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented, and raises nothing
            main.close()
            raise RuntimeError(
                "A Clock runs an event loop of its own, and one runs here already; make the test a "
                "plain function (def, not async def)"
            )
        ended_at = self._now
        token = CLOCK.set(self.time)
        loop = self.make_loop()
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    return runner.run(loop.run_until_stuck(main))
                finally:
                    ended_at = self._now
        finally:
            CLOCK.reset(token)
            self._now = ended_at  # closing the loop takes no time

    def make_loop(self) -> ClockLoop:
        """Return the event loop for `run`; override it to return a subclass of `ClockLoop`."""
        return ClockLoop(self)


class ClockLoop(asyncio.SelectorEventLoop):
    """The event loop of a `Clock`.

    For another order of callbacks, subclass it, and override `Clock.make_loop`. Where the loop
    would wait, its selector moves the clock to the next timer.
    """

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._thread_futures = WeakSet[asyncio.Future[Any]]()
        self._main: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None
        super().__init__(
            _ClockSelector(
                self._has_thread_futures,
                self._next_due,
                self.thread_wait_seconds,
                self._advance,
                self._on_stuck,
            )
        )

    async def run_until_stuck(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, or cancel it when the loop fails.

        Raises:
            BaseException: the error by which the loop failed, or the exception of the coroutine.
        """
        self._main = asyncio.current_task()
        try:
            return await main
        except GeneratorExit:
            raise
        except BaseException:
            if self._error is not None:
                raise self._error from None
            raise
        finally:
            self._main = None

    def time(self) -> float:
        """Return the time of the clock, in seconds."""
        return self._clock.time()

    def timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that are set."""
        return [timer for timer in self._scheduled if not timer.cancelled()]

    def fail(self, error: BaseException) -> None:
        """Cancel the coroutine that runs, and have an error raised in its place.

        Raises:
            BaseException: the error, at once, if the coroutine was cancelled before.
        """
        if self._main is None or self._error is not None:
            raise error
        self._error = error
        self._main.cancel()

    def create_future(self) -> asyncio.Future[Any]:
        """Return a new future, and remember it if a thread is to fulfil it."""
        future = super().create_future()
        if sys._getframe(1).f_code in THREAD_FUTURE_MAKERS:  # noqa: SLF001 - documented, for such purposes
            self._thread_futures.add(future)
        return future

    def thread_wait_seconds(self) -> float:
        """Return the longest wait for a thread while a timer is set, in real time."""
        return THREAD_WAIT_SECONDS

    def _has_thread_futures(self) -> bool:
        """Return whether a thread works for the loop."""
        return not all(future.done() for future in self._thread_futures)

    @property
    def _clock_resolution(self) -> float:
        """The distance to the next time that differs: asyncio calls what is due before that."""
        # Beyond 2**24 seconds two floats are further apart than the resolution of real clocks.
        return max(RESOLUTION, ulp(self.time()))

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None:
        """Ignore the resolution of the real clock, which asyncio sets."""

    def _next_due(self) -> float:
        """Return when the next timer is due; infinity if none is set that is ever due."""
        return self._scheduled[0].when() if self._scheduled else inf

    def _advance(self, seconds: float) -> None:
        """Move the time forward, at most to the next timer."""
        due, now = self._next_due(), self.time()
        # The sum may be rounded down, to a time just before the timer.
        is_reached = now + seconds > due - max(RESOLUTION, ulp(due))
        self._clock._now = due if is_reached else now + seconds  # noqa: SLF001 - exact, unlike a sum

    def _on_stuck(self) -> None:
        self.fail(
            StuckError(
                "Nothing can happen any more: every task waits, and no timer is set.\n"
                + describe_tasks(asyncio.all_tasks(self))
            )
        )


class _ClockSelector(selectors.DefaultSelector):
    """A selector that moves virtual time forward instead of waiting.

    It waits in real time while a connection is open or a thread works for the loop.

    Args:
        has_thread_futures: returns whether a thread works for the loop.
        next_due: returns when the next timer is due, or infinity.
        thread_wait_seconds: returns how long to wait for it while a timer is set.
        advance: moves the time forward by a number of seconds, at most to the next timer.
        on_stuck: called when every task waits and no timer is set.
    """

    def __init__(
        self,
        has_thread_futures: Callable[[], bool],
        next_due: Callable[[], float],
        thread_wait_seconds: Callable[[], float],
        advance: Callable[[float], None],
        on_stuck: Callable[[], None],
    ) -> None:
        super().__init__()
        self._has_thread_futures = has_thread_futures
        self._next_due = next_due
        self._thread_wait_seconds = thread_wait_seconds
        self._advance = advance
        self._on_stuck = on_stuck
        self._earlier_threads = set(threading.enumerate())

    def select(self, timeout: float | None = None) -> Events:
        """Return the events of file objects; none once `timeout` seconds of virtual time passed."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self._next_due() == inf:  # a timer may be set that is never due, as by `sleep(inf)`
            timeout = None
        # Before the look at the files, as a thread may call the loop back after that, and end.
        may_be_called = timeout is None and self._has_new_threads()
        if found := super().select(0):
            return found
        if self._has_thread_futures():
            found = super().select(
                UNTIMED_THREAD_WAIT_SECONDS if timeout is None else self._thread_wait_seconds()
            )
        elif len(self.get_map()) > 1:  # one is the socket by which threads wake the loop
            return self._select_in_real_time(timeout)
        elif may_be_called:
            found = super().select(THREAD_WAIT_SECONDS)
        if not found:
            # asyncio's timeout is a day at most, however far the next timer is
            self._advance_or_fail(None if timeout is None else inf)
        return found

    def _has_new_threads(self) -> bool:
        """Return whether a thread that a task started, and that may call the loop back, is left."""
        return not self._earlier_threads.issuperset(threading.enumerate())

    def _select_in_real_time(self, timeout: float | None) -> Events:
        """Wait in real time, and move the virtual time forward by as much."""
        began = time.monotonic()
        found = super().select(THREAD_WAIT_SECONDS if timeout is None else timeout)
        if not found:
            self._advance_or_fail(timeout)
        elif timeout is not None:
            self._advance(min(timeout, time.monotonic() - began))
        return found

    def _advance_or_fail(self, seconds: float | None) -> None:
        if seconds is None:
            self._on_stuck()
        else:
            self._advance(seconds)
