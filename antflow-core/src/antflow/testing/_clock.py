"""Time that a test controls: waits take none, and durations are exact."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import thread as executors
from types import CodeType, FrameType
from typing import Any, TypeVar

from antflow import runners
from antflow._clock import CLOCK

from ._places import described_tasks

T = TypeVar("T")
Events = list[tuple[selectors.SelectorKey, int]]

GRACE_SECONDS = 0.02
PATIENCE_SECONDS = 10.0

WORK: frozenset[CodeType] = frozenset(
    function.__code__
    for function in (
        vars(runners)["_Job"].run,
        vars(executors)["_WorkItem"].run,
        vars(asyncio.BaseEventLoop)["_do_shutdown"],
    )
)
"""What a thread is in while an event loop waits for it."""


class StuckError(AssertionError):
    """Every task waits for something, and nothing is left that could happen."""


class Clock:
    """Time that a test controls, for the engine, `asyncio.sleep` and time-outs alike.

    `run` drives a coroutine. When everything waits, the time jumps to the next timer, so that a
    delay of an hour takes no time and is an hour all the same. While a thread works for the event
    loop, the clock stands still; while a connection is open, it goes on as real time does. The
    `timestamp` of an event remains real Unix time.

        clock = Clock()
        clock.run(pipeline.run(items))
        assert clock.time() == 3600
    """

    def __init__(self) -> None:
        self._now = 0.0

    def time(self) -> float:
        """Return the seconds that have gone by since the clock was made."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time go by at once, as a task does that takes so long.

        Args:
            seconds: 0 or more.

        Raises:
            ValueError: `seconds` is below 0, or no number.
        """
        if not seconds >= 0:
            raise ValueError(f"A clock cannot be advanced by {seconds!r} seconds; give 0 or more")
        self._now += seconds

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, on an event loop of its own that takes its time from here.

        Raises:
            StuckError: nothing can happen any more, and the coroutine has not ended.
            RuntimeError: an event loop runs here already.
            BaseException: what the coroutine raises.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented, and raises nothing
            main.close()
            raise RuntimeError(
                "A Clock runs an event loop of its own, and one runs here already; make the test a "
                "plain function (def, not async def)"
            )
        ended_at = self._now
        token = CLOCK.set(self.time)
        try:
            with asyncio.Runner(loop_factory=lambda: ClockLoop(self)) as runner:
                try:
                    return runner.run(main)
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
        super().__init__(_Waiting(self._pass_time, self._describe))

    def time(self) -> float:
        """Return the time of the clock, in seconds."""
        return self._clock.time()

    def timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that are still to go off."""
        return [timer for timer in self._scheduled if not timer.cancelled()]

    def _pass_time(self, seconds: float) -> None:
        """Let time go by until the next timer, to the last digit, or for so many seconds."""
        due = self._scheduled[0].when()
        self._clock.advance(min(seconds, due - self.time()))
        if 0 < due - self.time() < 1e-9:
            self._clock.advance(due - self.time())

    def _describe(self) -> str:
        return described_tasks(asyncio.all_tasks(self))


class _Waiting(selectors.DefaultSelector):
    """Where a loop waits: lets its time go by, unless there is something real to wait for.

    Args:
        pass_time: lets so many seconds go by.
        describe: returns what the tasks of the loop wait for.
    """

    def __init__(self, pass_time: Callable[[float], None], describe: Callable[[], str]) -> None:
        super().__init__()
        self._pass_time = pass_time
        self._describe = describe
        self._strangers = set(threading.enumerate())

    def select(self, timeout: float | None = None) -> Events:
        """Wait, and return what has happened; after `timeout` seconds of the clock, nothing."""
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if found := self._select_really(timeout):
            return found
        if timeout is None:
            raise StuckError(
                "Nothing can happen any more: every task waits, and no timer is set.\n"
                + self._describe()
            )
        self._pass_time(timeout)
        return []

    def _select_really(self, timeout: float | None) -> Events:
        """Wait for threads and connections, if there are any, as they take their own time."""
        if len(self.get_map()) > 1:  # one is the loop's own, by which threads wake it
            return super().select(PATIENCE_SECONDS if timeout is None else timeout)
        while threads := self._threads():
            if found := super().select(GRACE_SECONDS):
                return found
            frames = sys._current_frames()  # noqa: SLF001 - documented, for such purposes
            if not any(is_at_work(frames.get(thread.ident or 0)) for thread in threads):
                break
        return []

    def _threads(self) -> list[threading.Thread]:
        """Return the threads that have begun since the loop was made."""
        return [thread for thread in threading.enumerate() if thread not in self._strangers]


def is_at_work(frame: FrameType | None) -> bool:
    """Tell whether a thread that is in this frame works for an event loop."""
    while frame is not None:
        if frame.f_code in WORK:
            return True
        frame = frame.f_back
    return False
