"""SIGINT and SIGTERM: the first has a run finish what it has begun, the second stops it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socket import socketpair
from threading import Event, Lock, Thread
from time import monotonic
from types import FrameType

from .printing import in_time

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 1.0
"""How long what was cancelled may take to end before the run goes without it."""

LONGEST_SECONDS = 1e6

_OVER = 0
_STOP = 255


@dataclass(frozen=True)
class Ways:
    """How a run ends early.

    Args:
        announce: says what a second signal does; called in the thread, and does not block it.
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
        self._reader, self._writer = socketpair()
        self._writer.setblocking(False)
        self._left = Event()
        self._once = Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals over, but for those that are ignored, until the block is left.

        The thread reads what Python writes of each signal as it comes. Python calls handlers
        between two steps of the main thread only, and a task that waits in C makes none.
        """
        before = {each: signal.getsignal(each) for each in SIGNALS}
        Thread(target=self._keep_watch, name="antflow-interruption", daemon=True).start()
        woken = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            for each, handler in before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(each, self._note)
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.set_wakeup_fd(woken)
            self._put(_OVER)
            self._writer.close()

    def stop(self) -> None:
        """Have the run stopped as by a second signal."""
        self._put(_STOP)

    def _put(self, event: int) -> None:
        with suppress(OSError):  # the run is over, or so many wait that one more says nothing
            self._writer.send(bytes([event]))

    def _note(self, number: int, _: FrameType | None) -> None:
        """Pass a signal on where the program has signals written to somebody else by now."""
        ours = self._writer.fileno()
        to = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if to != ours:
            signal.set_wakeup_fd(to)
            self._put(number)

    def _keep_watch(self) -> None:
        with self._reader:
            self._watch()

    def _watch(self) -> None:
        event = self._wait(None)
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

    def _wait(self, seconds: float | None) -> int | None:
        """Return what happens next; None if nothing does in time."""
        until = None if seconds is None else monotonic() + min(seconds, LONGEST_SECONDS)
        while True:
            self._reader.settimeout(None if until is None else max(0.0, until - monotonic()))
            try:
                written = self._reader.recv(1)
            except (TimeoutError, BlockingIOError):
                return None
            event = written[0] if written else _OVER
            if event in SIGNALS and self.signal is None:
                self.signal = signal.Signals(event)
            if event in {*SIGNALS, _STOP, _OVER}:
                return event

    def _call(self, way: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(way)

    def _leave(self) -> None:
        if self._once.acquire(blocking=False):
            self._left.set()
            self._ways.leave()


GRACE_SECONDS = 1.0
"""How long what is left behind may take to end before the process does without it."""


def leave_in_time(code: int) -> None:
    """End the process after the grace, if it is waiting for its threads or its event loop then.

    Python waits without a limit for functions in threads, and for tasks that ignore their
    cancellation. What plugins do at the exit comes later, and may take its time.

    Args:
        code: what the process is to end with.
    """
    is_leaving = Event()
    atexit.register(is_leaving.set)
    Thread(target=_leave_unless, args=(is_leaving, code), name="antflow-exit", daemon=True).start()


def _leave_unless(is_leaving: Event, code: int) -> None:
    if not is_leaving.wait(GRACE_SECONDS):
        leave(code)


def leave(code: int) -> None:
    """End the process, with what was printed if that is taken, and without waiting for anybody.

    Args:
        code: what the process is to end with.
    """
    try:
        in_time(_flush, GRACE_SECONDS, "antflow-flush")
    finally:
        os._exit(code)


def _flush() -> None:
    for stream in sys.stdout, sys.stderr:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
