"""How long an event loop takes to answer another thread."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Iterable
from threading import Event
from time import perf_counter

LIMIT = 0.1
"""Seconds that are waited for an answer."""


class _Call:
    def __init__(self, loop: AbstractEventLoop) -> None:
        self._answered = Event()
        self._sent = perf_counter()
        self._took = LIMIT
        loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._took = min(LIMIT, perf_counter() - self._sent)
        self._answered.set()

    def wait(self) -> float:
        self._answered.wait(max(0.0, self._sent + LIMIT - perf_counter()))
        return self._took


def lags(loops: Iterable[AbstractEventLoop]) -> dict[AbstractEventLoop, float]:
    """Ask event loops of other threads for an answer, all at once.

    Returns:
        Seconds until each answered, `LIMIT` for one that did not; nothing for one that is closed,
        or that this very call holds up.
    """
    try:
        own: AbstractEventLoop | None = get_running_loop()
    except RuntimeError:
        own = None
    calls: dict[AbstractEventLoop, _Call] = {}
    for loop in loops:
        if loop is own:
            continue
        try:
            calls[loop] = _Call(loop)
        except RuntimeError:  # it is closed
            continue
    return {loop: call.wait() for loop, call in calls.items()}
