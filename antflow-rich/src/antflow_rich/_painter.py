"""The thread that draws, so that the event loop waits neither for drawing nor for the terminal."""

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
from typing import Protocol

from antflow import DashboardSnapshot, ErrorSummary

from ._capture import Written
from ._scene import Scene
from ._watch import Watch

FRAME_SECONDS = 0.25
PATIENCE = 2.0
"""Seconds that the end of the program waits for the terminal."""


class Surface(Protocol):
    """What is drawn on."""

    def open(self, inbox: SimpleQueue[Message], painter: Thread) -> None:
        """Have what the program writes go to the inbox, for the thread that draws to hear it."""

    def hear(self, written: Written) -> None:
        """Take what the program wrote."""

    def draw(self, scene: Scene | None, now: float) -> None:
        """Show a scene, and what was heard."""

    def close(self, scene: Scene | None) -> None:
        """End, with a summary if there is a last scene; whatever happens, leave no trace."""


@dataclass(frozen=True, slots=True)
class Update:
    """A state of the run.

    Args:
        snapshot: the state.
        faults: exceptions that plugins' hooks raised, by plugin.
        time: when it was taken.
    """

    snapshot: DashboardSnapshot
    faults: Mapping[str, int]
    time: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of the run.

    Args:
        summary: what failed; None to leave without a word.
        faults: as of an `Update`.
    """

    summary: ErrorSummary | None
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wake:
    """That there is a newer state than the one that was drawn."""


Message = Wake | Finish | Written


class Painter:
    """Draws one run on a surface, at most four times a second.

    Args:
        watch: turns snapshots into scenes.
        surface: what is drawn on.
        clock: a clock that never goes back, in seconds.
    """

    def __init__(
        self, watch: Watch, surface: Surface, clock: Callable[[], float] = monotonic
    ) -> None:
        self._watch = watch
        self._surface = surface
        self._clock = clock
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._is_ending = Event()
        self._is_begun = False
        self._first: deque[Update] = deque(maxlen=1)
        self._updates: deque[Update] = deque(maxlen=1)
        self._finish: Finish | None = None
        self._scene: Scene | None = None
        self._thread = Thread(target=self.run, name="antflow-display", daemon=True)
        self._over: Future[None] = Future()
        self._over.set_running_or_notify_cancel()  # so that who waits for it cannot cancel it
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin to draw; what the program has written before is not touched."""
        try:
            self._surface.open(self._inbox, self._thread)
            self._thread.start()
        except BaseException:
            self._surface.close(None)
            raise

    def show(self, snapshot: DashboardSnapshot, faults: Mapping[str, int]) -> None:
        """Have a state shown, unless a later one comes before its turn.

        The first is looked at in any case, since rates are counted from it.

        Raises:
            Exception: what ended the drawing.
        """
        self._check()
        waiting = self._updates if self._is_begun else self._first
        waiting.append(Update(snapshot, faults, self._clock()))
        self._is_begun = True
        if self._inbox.empty():  # else the thread looks for it after what it finds there
            self._inbox.put(Wake())

    async def finish(self, summary: ErrorSummary, faults: Mapping[str, int]) -> None:
        """Have the last state shown and the terminal given back, and wait for that.

        Raises:
            Exception: what ended the drawing.
        """
        self._end(Finish(summary, faults))
        self._keep_loop_open()
        await wrap_future(self._over)
        self._thread.join()
        self._check()

    def _keep_loop_open(self) -> None:
        """Have `asyncio.run` wait for the thread, where the run outlives the program's `main`."""
        with suppress(RuntimeError):  # it is shut down already
            get_running_loop().run_in_executor(None, self._thread.join, PATIENCE)

    def leave(self) -> None:
        """Have the terminal given back without a word, as the program ends or forgets the run."""
        self._end(Finish(None, {}))
        if self._thread is not current_thread():
            self._thread.join(PATIENCE)

    def run(self) -> None:
        """Draw until the end: what the thread does."""
        scene = None
        with self._keeping_error():
            self._draw()
            scene = self._last_scene()
        with self._keeping_error():
            self._surface.close(scene)
        self._over.set_result(None)

    @contextmanager
    def _keeping_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._error = self._error or error

    def _end(self, finish: Finish) -> None:
        self._inbox.put(finish)
        self._is_ending.set()

    def _check(self) -> None:
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:
            raise RuntimeError("Drawing was ended by what is no Exception") from self._error

    def _draw(self) -> None:
        due = -inf
        while True:
            self._sort(self._inbox.get())
            if (left := due - self._clock()) > 0:
                self._is_ending.wait(left)
            self._take_what_waits()
            if self._finish is not None:
                return
            self._surface.draw(self._next_scene(), self._clock())
            due = self._clock() + FRAME_SECONDS

    def _next_scene(self) -> Scene | None:
        for waiting in (self._first, self._updates):
            if waiting:
                update = waiting.pop()
                self._scene = self._watch.update(update.snapshot, update.time, update.faults)
        return self._scene

    def _last_scene(self) -> Scene | None:
        finish = self._finish
        if finish is None or finish.summary is None:
            return None
        self._next_scene()
        return self._watch.end(finish.summary, finish.faults)

    def _take_what_waits(self) -> None:
        with suppress(Empty):
            while True:
                self._sort(self._inbox.get_nowait())

    def _sort(self, message: Message) -> None:
        match message:
            case Written():
                self._surface.hear(message)
            case Finish():
                self._finish = message
