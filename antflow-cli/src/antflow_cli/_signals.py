"""SIGINT, SIGTERM and SIGHUP: the first one drains the run, the second one stops it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from asyncio import AbstractEventLoop, current_task
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socket import socket, socketpair
from threading import Event, Lock, Thread
from time import monotonic
from types import FrameType
from typing import Any

from ._children import called_in_children
from ._printing import call_in_time

HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)))
GRACE_SECONDS = 1.0
"""How long cancelled tasks, threads and slow files may take before the process ends anyway."""

LONGEST_SECONDS = 1e6  # sockets refuse very long timeouts

# Bytes on the socket besides the numbers of signals.
_OVER = 0
_STOP = 255


@dataclass(frozen=True)
class ShutdownActions:
    """The steps of an early end, from the mildest to the last.

    Args:
        announce: prints what a second signal does; called in the thread of the signals.
        drain: stops reading, and lets the items already read finish.
        stop: cancels the tasks that run.
        exit_now: writes the remaining records, and ends the process.
    """

    announce: Callable[[], None]
    drain: Callable[[], None]
    stop: Callable[[], None]
    exit_now: Callable[[], None]


class SignalHandler:
    """Ends a run early after a signal, or after a file that cannot be written.

    A thread measures the time. So neither a task that ignores its cancellation nor one that blocks
    the event loop keeps the process alive.

    Args:
        actions: called on the event loop; `exit_now` in the thread if the loop is blocked.
        loop: the event loop of the run.
        drain_seconds: how long items already read may take to finish.
    """

    def __init__(
        self, actions: ShutdownActions, loop: AbstractEventLoop, drain_seconds: float
    ) -> None:
        self.signal: signal.Signals | None = None
        self._actions = actions
        self._loop = loop
        self._drain_seconds = drain_seconds
        self._reader: socket
        self._writer: socket
        self.is_stopped = False  # by `stop`
        self._is_exiting = Event()
        self._ending = Lock()
        self._has_ended = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals, except ignored ones, until the block is left."""
        self._reader, self._writer = socketpair()
        self._writer.setblocking(False)
        before = {each: signal.getsignal(each) for each in SIGNALS}
        Thread(target=self._run, name="antflow-signals", daemon=True).start()
        # The thread reads the signals from a socket, since Python calls handlers only between two
        # steps of the main thread, and a task that blocks in C makes no step.
        previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            for each, handler in before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(each, self._on_signal)
            with called_in_children(lambda: self._leave_to(before)):
                yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.set_wakeup_fd(previous)
            self._send(_OVER)
            self._writer.close()

    def _leave_to(self, handlers: Mapping[signal.Signals, Any]) -> None:
        """Restore the handlers in a forked process, whose signals would end this run."""
        for each, handler in handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def stop(self) -> None:
        """Stop the run as a second signal does; do nothing the second time."""
        if not self.is_stopped:  # two files may fail, and a third event ends the process
            self.is_stopped = True
            self._send(_STOP)

    def _send(self, event: int) -> None:
        with suppress(OSError):  # the run is over, or the socket is full of events already
            self._writer.send(bytes([event]))

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """Forward a signal that Python wrote to another descriptor."""
        # The program may have replaced the wakeup descriptor; asyncio's `add_signal_handler` does.
        ours = self._writer.fileno()
        current = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if current != ours:
            signal.set_wakeup_fd(current)
            self._send(number)

    def _run(self) -> None:
        with self._reader:
            self._handle_events()

    def _handle_events(self) -> None:
        event = self._next_event(None)
        if event == _OVER:
            return
        if event != _STOP:
            self._actions.announce()
            self._call_on_loop(self._actions.drain)
            event = self._next_event(self._drain_seconds + GRACE_SECONDS)
            if event == _OVER:
                return
        if event is not None:
            self._call_on_loop(self._actions.stop)
            if self._next_event(GRACE_SECONDS) == _OVER:
                return
        self._call_on_loop(self._exit)
        if not self._is_exiting.wait(GRACE_SECONDS):  # a task blocks the loop
            self._exit()

    def _next_event(self, timeout: float | None) -> int | None:
        """Return the next event; None after the timeout."""
        until = None if timeout is None else monotonic() + min(timeout, LONGEST_SECONDS)
        while True:
            self._reader.settimeout(None if until is None else max(0.0, until - monotonic()))
            try:
                received = self._reader.recv(1)
            except (TimeoutError, BlockingIOError):
                return None
            event = received[0] if received else _OVER
            if event in SIGNALS and self.signal is None:
                self.signal = signal.Signals(event)
            elif event == HANGUP:  # sent by the shell and the kernel, when one terminal is closed
                continue
            if event in {*SIGNALS, _STOP, _OVER}:  # the program's other signals arrive here, too
                return event

    def _call_on_loop(self, action: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(action)

    def _exit(self) -> None:
        self._is_exiting.set()
        self.end_once(self._actions.exit_now)

    def end_once(self, end: Callable[[], None]) -> None:
        """Call the first function that ends the run; wait for it in other threads.

        The run may end by itself while the thread of the signals is just about to end it.
        """
        with self._ending:
            if not self._has_ended:
                self._has_ended = True
                end()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt in a block that may wait for ever, as for a named pipe.

    Elsewhere, asyncio's own handler of the first SIGINT only cancels the main task.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        task = current_task()
        if task is not None and task.cancelling():  # by a SIGINT just before
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_in_time(code: int) -> None:
    """End the process after the grace period if it still waits for threads or the event loop.

    Python waits without a limit for functions in threads, and for tasks that ignore their
    cancellation. The exit handlers of plugins run later, and have no limit.
    """
    is_exiting = Event()
    # Python joins threads before it calls exit handlers, and calls the latest handler first.
    atexit.register(is_exiting.set)
    Thread(target=_exit_unless, args=(is_exiting, code), name="antflow-exit", daemon=True).start()


def _exit_unless(is_exiting: Event, code: int) -> None:
    if not is_exiting.wait(GRACE_SECONDS):
        exit_now(code)


def exit_now(code: int) -> None:
    """End the process without waiting for threads, after an attempt to flush the standard files."""
    try:
        call_in_time(_flush, GRACE_SECONDS, "antflow-flush")
    finally:
        os._exit(code)


def _flush() -> None:
    for stream in sys.stdout, sys.stderr:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
