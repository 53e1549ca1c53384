"""Running a pipeline for a caller that is no coroutine: a script, a notebook, a thread."""

from __future__ import annotations

import atexit
import signal
from asyncio import (
    CancelledError,
    Event,
    Runner,
    Task,
    current_task,
    get_running_loop,
    new_event_loop,
)
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from math import inf
from queue import Empty, SimpleQueue
from threading import Thread, current_thread, main_thread
from time import monotonic
from typing import Any, Generic, TypeVar

from antflow.results import PipelineResult

from .stream import ResultStream

DROPPED_SECONDS = 5.0
"""How long a stream that is merely dropped waits for the end of its run."""

SIGNAL_SECONDS = 0.5
"""How long a wait may overlook Ctrl-C: a signal just before a wait begins in C does not end it."""

LOOP_HANDLERS = frozenset(("asyncio.runners", "ipykernel.ipkernel"))
"""Modules whose handlers of SIGINT only cancel a task, which does not run while its loop waits."""

T = TypeVar("T")


def run_sync(make: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
    """Run a coroutine to its end: in this thread if it has no running loop, else in a new one.

    Raises:
        BaseException: what the coroutine raises, or KeyboardInterrupt once it has been cancelled.
    """
    if _has_running_loop():
        return _run_in_thread(LoopThread(lambda _: make(), name))
    # A loop factory leaves alone what the thread has set by asyncio.set_event_loop.
    with Runner(loop_factory=new_event_loop) as runner:
        return runner.run(make())


def _run_in_thread(thread: LoopThread[T]) -> T:
    try:
        with _raising_interrupts():
            thread.start()
            return thread.result()
    except BaseException:
        thread.stop()
        raise


class SyncStream(Generator[PipelineResult, None, None]):
    """A generator of the results of a stream, whose event loop runs in a thread of its own.

    The thread begins when the first result is asked for. Results are taken from the run itself, so
    that no more of them wait than the stream allows, and none is lost when the generator is left.
    """

    def __init__(self, stream: ResultStream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._wanted = Event()
        self._thread: LoopThread[None] | None = None
        self._is_over = False

    def send(self, value: None) -> PipelineResult:
        """Return the next result; `next` calls this.

        Raises:
            BaseException: as from the stream, or KeyboardInterrupt once the run has ended.
        """
        if self._is_over:
            raise StopIteration
        try:
            return self._next()
        except BaseException:
            self._leave()
            raise

    def throw(self, *arguments: Any) -> PipelineResult:
        """Cancel the run, wait for its end, and raise an exception; `close` calls this.

        Raises:
            BaseException: the one given, or the one that ended the run unless it was raised.
        """
        self._leave()
        self._stream._raise_once()  # noqa: SLF001
        return super().throw(*arguments)

    def __del__(self) -> None:
        if self._thread is not None and not self._is_over:
            # The garbage collector may call this while its thread holds a lock, as of a log
            # handler, that the run needs to end. So the wait is limited.
            self._thread.stop(DROPPED_SECONDS)

    def _next(self) -> PipelineResult:
        while (result := self._stream._take_ready()) is None:  # noqa: SLF001
            with _raising_interrupts():
                is_ready = self._wait_ready()
            if not is_ready:
                raise StopIteration
        return result

    def _wait_ready(self) -> bool:
        """Wait until a result is ready; return False at the end, or raise the run's error."""
        if self._thread is None:
            server = _Server(self._stream, self._wanted)
            self._thread = LoopThread(server.serve, self._name)
            self._thread.start()
        else:
            self._thread.call(self._wanted.set)
        is_ready = self._thread.wait_news()
        if not is_ready:
            self._thread.result()
        return is_ready

    def _leave(self) -> None:
        self._is_over = True
        if self._thread is not None:
            self._thread.stop()


class _Server:
    """Reports, on the loop, that results are ready.

    It is no part of the generator, which could not be dropped while its thread refers to it.

    Args:
        wanted: set when the consumer has found none.
    """

    def __init__(self, stream: ResultStream, wanted: Event) -> None:
        self._stream = stream
        self._wanted = wanted

    async def serve(self, report: Callable[[], None]) -> None:
        async with self._stream as stream:
            while await stream._wait_ready() is not None:  # noqa: SLF001
                report()
                await self._wanted.wait()
                self._wanted.clear()


class LoopThread(Generic[T]):
    """A thread that runs a coroutine on an event loop, for a caller that waits for it.

    The coroutine sees the context variables of the caller. If something interrupts a wait, such as
    Ctrl-C, the caller stops the thread. So does the interpreter's exit.

    Args:
        make: returns the coroutine; called with a function that reports news to the caller.
    """

    def __init__(
        self, make: Callable[[Callable[[], None]], Coroutine[Any, Any, T]], name: str
    ) -> None:
        self._make = make
        self._news: SimpleQueue[bool] = SimpleQueue()  # False: there is no more
        self._ended = Latch()
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._is_cancelled = False
        self._task: Task[Any] | None = None
        self._loop = new_event_loop()
        # A daemon, so that Python's exit does not wait for a consumer that takes no more.
        self._thread = Thread(
            target=copy_context().run, args=(self._run,), name=f"{name}-loop", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        _unended.add(self)
        try:
            self._thread.start()
        except RuntimeError:
            _unended.discard(self)
            self._loop.close()
            raise

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, if that is still open; do not wait for it."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def wait_news(self) -> bool:
        """Wait for the next report; return False if the coroutine has ended instead."""
        while True:
            with suppress(Empty):
                return self._news.get(timeout=SIGNAL_SECONDS)

    def result(self) -> T:
        """Wait for the end of the coroutine, and return its result, once."""
        self._ended.wait()
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # breaks a cycle; see _errors/tracebacks.py
        return self._results.pop()

    def stop(self, seconds: float | None = None) -> None:
        """Cancel the coroutine, drop its outcome, and wait for its end unless in its own thread.

        Args:
            seconds: how long to wait; None for no limit.
        """
        self.call(self._cancel)
        if current_thread() is self._thread or not self._thread.is_alive():  # as after a fork
            return
        try:
            with _raising_interrupts():
                self._ended.wait(seconds)
        except BaseException:  # interrupted again
            _unended.discard(self)  # the exit does not wait, either
            raise
        self._error = None  # whose traceback would keep this thread

    # In the thread

    def _run(self) -> None:
        try:
            with Runner(loop_factory=lambda: self._loop) as runner:
                self._results.append(runner.run(self._main()))
        except BaseException as error:
            self._error = error
        _unended.discard(self)
        self._ended.set()
        self._news.put(False)

    async def _main(self) -> T:
        self._task = current_task()
        if self._is_cancelled:
            raise CancelledError
        return await self._make(lambda: self._news.put(True))

    def _cancel(self) -> None:
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()


class Latch:
    """Opens once; waiting for it may be interrupted by a signal."""

    # A KeyboardInterrupt in `threading.Event.wait` may leave the event's lock held, for ever: it is
    # raised between two lines of Python code. A SimpleQueue has none.

    def __init__(self) -> None:
        self._is_open = False
        self._openings: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Let everything go on that waits."""
        self._is_open = True
        self._openings.put(None)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it is set, or for so many seconds."""
        deadline = inf if seconds is None else monotonic() + seconds
        try:
            while not self._is_open and (left := deadline - monotonic()) > 0:
                with suppress(Empty):
                    self._openings.get(timeout=min(left, SIGNAL_SECONDS))
        finally:
            if self._is_open:
                self._openings.put(None)  # for what else waits


_unended: set[LoopThread[Any]] = set()


@atexit.register
def _stop_unended() -> None:
    """Let runs clean up at the interpreter's exit, which ends their threads."""
    for thread in list(_unended):
        thread.stop()


def _has_running_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _raising_interrupts() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt in a wait that blocks the event loop of this thread."""
    handler = None
    if _has_running_loop() and current_thread() is main_thread():
        handler = signal.getsignal(signal.SIGINT)
        # A handler of the program's own stays.
        if getattr(getattr(handler, "func", handler), "__module__", "") not in LOOP_HANDLERS:
            handler = None
    try:
        if handler is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
