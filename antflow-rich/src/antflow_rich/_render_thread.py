"""The thread that draws, so that the event loop never waits for drawing or for the terminal."""

from __future__ import annotations

from asyncio import get_running_loop, wrap_future
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue
from threading import Event, Thread, current_thread
from time import monotonic

from antflow import DashboardSnapshot, ErrorSummary

from ._capture import CapturedText
from ._renderers import Renderer
from ._view_builder import ViewBuilder
from ._views import RunView

FRAME_SECONDS = 0.25
EXIT_SECONDS = 2.0  # for which the end of the program waits for a stopped terminal


@dataclass(frozen=True, slots=True)
class Update:
    """A state of the run.

    Args:
        snapshot: the state.
        faults: number of exceptions raised by each plugin's hooks.
        time: when the snapshot was taken, on the clock of the thread.
    """

    snapshot: DashboardSnapshot
    faults: Mapping[str, int]
    time: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of the run.

    Args:
        summary: the failed items; None to close without a summary.
        faults: number of exceptions raised by each plugin's hooks.
    """

    summary: ErrorSummary | None
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wake:
    """Wakes the thread for a new update."""


RenderMessage = Wake | Finish | CapturedText


class RenderThread:
    """Draws one run with a renderer, at most four times per second.

    Args:
        builder: builds the views.
        renderer: draws them.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self, builder: ViewBuilder, renderer: Renderer, clock: Callable[[], float] = monotonic
    ) -> None:
        self._builder = builder
        self._renderer = renderer
        self._clock = clock
        self._queue: SimpleQueue[RenderMessage] = SimpleQueue()
        self._is_finishing = Event()
        # Updates do not queue up: the first one is kept, since rates are counted from it, and the
        # latest one.
        self._has_update = False
        self._first: deque[Update] = deque(maxlen=1)
        self._latest: deque[Update] = deque(maxlen=1)
        self._finish: Finish | None = None
        self._view: RunView | None = None
        self._thread = Thread(target=self.run, name="antflow-display", daemon=True)
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # so that cancelling a waiter does not cancel it
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start to draw."""
        try:
            self._renderer.open(self._queue, self._thread)
            self._thread.start()
        except BaseException:
            self._renderer.close(None)
            raise

    def update(self, snapshot: DashboardSnapshot, faults: Mapping[str, int]) -> None:
        """Draw a state, unless a later one replaces it before the next frame.

        Raises:
            Exception: the error that ended the drawing.
        """
        self._raise_error()
        slot = self._latest if self._has_update else self._first
        slot.append(Update(snapshot, faults, self._clock()))
        self._has_update = True
        if self._queue.empty():  # otherwise the thread wakes anyway
            self._queue.put(Wake())

    async def finish(self, summary: ErrorSummary, faults: Mapping[str, int]) -> None:
        """Draw the summary, restore the terminal, and wait for the thread to end.

        Raises:
            Exception: the error that ended the drawing.
        """
        self._stop(Finish(summary, faults))
        self._keep_loop_open()
        await wrap_future(self._ended)
        self._thread.join()
        self._raise_error()

    def _keep_loop_open(self) -> None:
        """Make `asyncio.run` wait for the thread.

        It joins the executor's threads, also where a stream that `main` left by `break` finishes
        as the loop shuts down.
        """
        with suppress(RuntimeError):  # the executor is shut down already
            get_running_loop().run_in_executor(None, self._thread.join, EXIT_SECONDS)

    def close(self) -> None:
        """Restore the terminal without a summary, from any thread."""
        if self._thread.ident is None:
            return  # it could not be started, and `start` has restored the terminal
        self._stop(Finish(None, {}))
        if self._thread is not current_thread():  # a finalizer runs in whichever thread
            self._thread.join(EXIT_SECONDS)

    def run(self) -> None:
        """Draw until the end; the target of the thread."""
        view = None
        with self._keeping_error():
            self._draw()
            view = self._last_view()
        with self._keeping_error():  # the terminal is restored after an error, too
            self._renderer.close(view)
        self._ended.set_result(None)

    @contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._error = self._error or error

    def _stop(self, finish: Finish) -> None:
        self._queue.put(finish)
        self._is_finishing.set()

    def _raise_error(self) -> None:
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:
            # A SystemExit of this thread must not end the program from the event loop.
            raise RuntimeError("Drawing was ended by what is no Exception") from self._error

    def _draw(self) -> None:
        due = -inf
        while True:
            self._receive(self._queue.get())
            if (left := due - self._clock()) > 0:
                self._is_finishing.wait(left)
            self._receive_all()
            if self._finish is not None:
                return
            self._renderer.draw(self._next_view(), self._clock())
            due = self._clock() + FRAME_SECONDS

    def _next_view(self) -> RunView | None:
        for slot in (self._first, self._latest):
            if slot:
                update = slot.pop()
                self._view = self._builder.update(update.snapshot, update.time, update.faults)
        return self._view

    def _last_view(self) -> RunView | None:
        finish = self._finish
        if finish is None or finish.summary is None:
            return None
        self._next_view()
        return self._builder.finish(finish.summary, finish.faults)

    def _receive_all(self) -> None:
        with suppress(Empty):
            while True:
                self._receive(self._queue.get_nowait())

    def _receive(self, message: RenderMessage) -> None:
        match message:
            case CapturedText():
                self._renderer.add_output(message)
            case Finish():
                self._finish = message
