"""How long an event loop takes to answer another thread."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Iterable
from threading import Event
from time import perf_counter
from weakref import WeakKeyDictionary

LIMIT = 0.1
"""Seconds that are waited for an answer."""


class _Call:
    """A call of a loop, for its answer to be waited for by any number of threads."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._answered = Event()
        self._sent = perf_counter()
        self._took = LIMIT
        loop.call_soon_threadsafe(self._answer)

    @property
    def is_answered(self) -> bool:
        return self._answered.is_set()

    def _answer(self) -> None:
        self._took = min(LIMIT, perf_counter() - self._sent)
        self._answered.set()

    def wait(self) -> float:
        self._answered.wait(max(0.0, self._sent + LIMIT - perf_counter()))
        return self._took


class Lags:
    """Asks event loops for an answer; each has one call to answer at most, however often."""

    def __init__(self) -> None:
        self._calls: WeakKeyDictionary[AbstractEventLoop, _Call] = WeakKeyDictionary()

    def of(self, loops: Iterable[AbstractEventLoop]) -> dict[AbstractEventLoop, float]:
        """Ask event loops of other threads, all at once.

        Returns:
            Seconds until each answered, `LIMIT` for one that did not; nothing for one that is
            closed, or that this very call holds up.
        """
        try:
            own: AbstractEventLoop | None = get_running_loop()
        except RuntimeError:
            own = None
        calls = {loop: self._call(loop) for loop in loops if loop is not own}
        return {loop: call.wait() for loop, call in calls.items() if call is not None}

    def _call(self, loop: AbstractEventLoop) -> _Call | None:
        """Return the call that a loop is to answer, a new one if it has answered the last."""
        if loop.is_closed():
            return None
        call = self._calls.get(loop)
        if call is None or call.is_answered:
            try:
                self._calls[loop] = call = _Call(loop)
            except RuntimeError:  # it has been closed since
                return None
        return call
