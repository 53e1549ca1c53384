"""SIGINT and SIGTERM: the first has a run finish what it has begun, the second stops it."""

from __future__ import annotations

import signal
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 1.0
"""How long what was cancelled may take to end before the run goes without it."""

_OVER = 0
_STOP = -1


@dataclass(frozen=True)
class Ways:
    """How a run ends early.

    Args:
        announce: says what a second signal does; called in the thread.
        drain: reads no more, and finishes what was read.
        stop: cancels what runs.
        leave: writes of what is left, and ends the process.
    """

    announce: Callable[[], None]
    drain: Callable[[], None]
    stop: Callable[[], None]
    leave: Callable[[], None]


class Interruption:
    """Ends a run early where a signal, or a file that fails, asks for it.

    A thread keeps the time, so that neither a task that ignores its cancellation nor one that
    never gives up the event loop can keep the process.

    Args:
        ways: how; called on the event loop, but `leave` in the thread if the loop is held.
        loop: the event loop.
        drain_seconds: how long what was read may take to finish.
    """

    def __init__(self, ways: Ways, loop: AbstractEventLoop, drain_seconds: float) -> None:
        self.signal: signal.Signals | None = None
        self._ways = ways
        self._loop = loop
        self._drain_seconds = drain_seconds
        self._events: SimpleQueue[int] = SimpleQueue()
        self._left = Event()
        self._once = Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals over, but for those that are ignored, until the block is left."""
        before = {each: signal.getsignal(each) for each in SIGNALS}
        thread = Thread(target=self._keep_watch, name="antflow-interruption", daemon=True)
        thread.start()
        try:
            for each, handler in before.items():
                if handler is not signal.SIG_IGN:
                    self._take(each)
            yield
        finally:
            for each, handler in before.items():
                with suppress(NotImplementedError):
                    self._loop.remove_signal_handler(each)
                signal.signal(each, handler)
            self._events.put(_OVER)

    def _take(self, number: signal.Signals) -> None:
        """Have a signal noted, and the loop woken for that.

        Without the loop's knowledge, a signal that comes just before it goes to sleep would be
        noted when it wakes; through the loop alone, one that comes while a task holds it would be.
        """
        with suppress(NotImplementedError):  # on Windows the loop wakes for every signal
            self._loop.add_signal_handler(number, _nothing)
        signal.signal(number, self._note)

    def stop(self) -> None:
        """Have the run stopped as by a second signal."""
        self._events.put(_STOP)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
        self._events.put(number)

    def _keep_watch(self) -> None:
        event: int | None = self._events.get()
        if event == _OVER:
            return
        if event != _STOP:
            self._ways.announce()
            self._call(self._ways.drain)
            event = self._wait(self._drain_seconds + GRACE_SECONDS)
            if event == _OVER:
                return
        if event is not None:
            self._call(self._ways.stop)
            if self._wait(GRACE_SECONDS) == _OVER:
                return
        self._call(self._leave)
        if not self._left.wait(GRACE_SECONDS):
            self._leave()

    def _wait(self, seconds: float) -> int | None:
        """Return what happens next; None if nothing does in time."""
        try:
            return self._events.get(timeout=min(seconds, 1e6))
        except Empty:
            return None

    def _call(self, way: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(way)

    def _leave(self) -> None:
        if self._once.acquire(blocking=False):
            self._left.set()
            self._ways.leave()


def _nothing() -> None:
    """Stand for what the loop does at a signal."""
