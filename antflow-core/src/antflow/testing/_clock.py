"""Time that a test controls: waits take none, and durations are exact."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any, TypeVar

from antflow._engine.clock import CLOCK
from antflow._runners import threads as runners

from ._places import described_tasks

T = TypeVar("T")
Events = list[tuple[selectors.SelectorKey, int]]

PATIENCE_SECONDS = 5.0
LONGEST_WORK_SECONDS = 60.0

PROMISES: frozenset[CodeType] = frozenset(
    function.__code__
    for function in (
        vars(runners)["_Job"].__init__,
        asyncio.futures.wrap_future,
        asyncio.BaseEventLoop.shutdown_default_executor,
    )
)
"""What makes the futures that threads fulfil."""


class StuckError(AssertionError):
    """The run can never end: every task waits, and no timer is set."""


class Clock:
    """Time that a test controls, for the engine, `asyncio.sleep` and time-outs alike.

    `run` runs a coroutine. When all tasks wait, the time jumps to the next timer, so that a delay
    of an hour takes no real time, and the clock shows an hour more. While a thread works for the
    event loop, for a stage or in `asyncio.to_thread`, the clock stands still, for five real seconds
    at most if a timer is set. While a connection is open, the clock goes on like real time. It does
    not wait for child processes of asyncio. The `timestamp` of an event is still real Unix time.

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
        """Move the time on at once, as if a task had taken that long.

        Args:
            seconds: how far, 0 or more.

        Raises:
            ValueError: `seconds` is below 0, or is NaN.
        """
        if not seconds >= 0:
            raise ValueError(f"A clock cannot be advanced by {seconds!r} seconds; give 0 or more")
        self._now += seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, on a new event loop that uses this clock.

        Raises:
            StuckError: the coroutine has not ended, and nothing can happen any more.
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
        loop = ClockLoop(self)
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    return runner.run(loop.until_stuck(main))
                finally:
                    ended_at = self._now
        finally:
            CLOCK.reset(token)
            self._now = ended_at  # closing the loop takes no time


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of a clock.

    Args:
        clock: the clock.
    """

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._promised: list[asyncio.Future[Any]] = []
        self._main: asyncio.Task[Any] | None = None
        self._stuck: StuckError | None = None
        super().__init__(_Waiting(self.is_promised_something, self._pass_time, self._be_stuck))

    async def until_stuck(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; where that does not come, cancel it.

        Raises:
            StuckError: it was cancelled, since nothing could happen any more.
            BaseException: what the coroutine raises.
        """
        self._main = asyncio.current_task()
        try:
            return await main
        except GeneratorExit:
            raise
        except BaseException:
            if self._stuck is not None:
                raise self._stuck from None
            raise
        finally:
            self._main = None

    def time(self) -> float:
        """Return the time of the clock, in seconds."""
        return self._clock.time()

    def timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that are still to go off."""
        return [timer for timer in self._scheduled if not timer.cancelled()]

    def create_future(self) -> asyncio.Future[Any]:
        """Return a new future, and remember it if it is one that a thread is to fulfil."""
        future = super().create_future()
        if sys._getframe(1).f_code in PROMISES:  # noqa: SLF001 - documented, for such purposes
            self._promised.append(future)
        return future

    def is_promised_something(self) -> bool:
        """Tell whether a thread works for the loop."""
        self._promised = [future for future in self._promised if not future.done()]
        return bool(self._promised)

    def _pass_time(self, seconds: float) -> None:
        """Let time go by until the next timer, to the last digit, or for so many seconds."""
        due = self._scheduled[0].when()
        self._clock.advance(min(seconds, due - self.time()))
        if 0 < due - self.time() < 1e-9:
            self._clock.advance(due - self.time())

    def _be_stuck(self) -> None:
        """Cancel what the loop runs, once; raise where that does not end it."""
        error = StuckError(
            "Nothing can happen any more: every task waits, and no timer is set.\n"
            + described_tasks(asyncio.all_tasks(self))
        )
        if self._main is None or self._stuck is not None:
            raise error
        self._stuck = error
        self._main.cancel()


class _Waiting(selectors.DefaultSelector):
    """Where a loop waits: lets its time go by, unless there is something real to wait for.

    Args:
        is_promised_something: tells whether a thread works for the loop.
        pass_time: lets so many seconds go by.
        be_stuck: called when nothing can happen any more.
    """

    def __init__(
        self,
        is_promised_something: Callable[[], bool],
        pass_time: Callable[[float], None],
        be_stuck: Callable[[], None],
    ) -> None:
        super().__init__()
        self._is_promised_something = is_promised_something
        self._pass_time = pass_time
        self._be_stuck = be_stuck
        self._strangers = set(threading.enumerate())

    def select(self, timeout: float | None = None) -> Events:
        """Wait, and return what has happened; after `timeout` seconds of the clock, nothing."""
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self._is_promised_something():
            found = super().select(LONGEST_WORK_SECONDS if timeout is None else PATIENCE_SECONDS)
        elif len(self.get_map()) > 1:  # one is the loop's own, by which threads wake it
            return self._select_as_time_goes_by(timeout)
        elif timeout is None and not self._strangers.issuperset(threading.enumerate()):
            found = super().select(PATIENCE_SECONDS)
        if not found:
            self._move_on(timeout)
        return found

    def _select_as_time_goes_by(self, timeout: float | None) -> Events:
        """Wait really, and have the clock go on meanwhile."""
        began = time.monotonic()
        found = super().select(PATIENCE_SECONDS if timeout is None else timeout)
        if not found:
            self._move_on(timeout)
        elif timeout is not None:
            self._pass_time(min(timeout, time.monotonic() - began))
        return found

    def _move_on(self, timeout: float | None) -> None:
        if timeout is None:
            self._be_stuck()
        else:
            self._pass_time(timeout)
