"""Measures how long event loops take to respond."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Iterable
from threading import Event
from time import perf_counter
from weakref import WeakKeyDictionary

MAX_LAG = 0.1
"""Seconds to wait for a response."""


class _Probe:
    """A callback sent to an event loop, whose response any number of threads may await."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._answered = Event()
        self._sent = perf_counter()
        self._lag = MAX_LAG
        loop.call_soon_threadsafe(self._answer)

    @property
    def is_answered(self) -> bool:
        return self._answered.is_set()

    def _answer(self) -> None:
        self._lag = min(MAX_LAG, perf_counter() - self._sent)
        self._answered.set()

    def wait(self) -> float:
        self._answered.wait(max(0.0, self._sent + MAX_LAG - perf_counter()))
        return self._lag


class LoopLag:
    """Measures the lag of event loops; a slow loop has one probe pending, however many scrapes."""

    def __init__(self) -> None:
        self._probes: WeakKeyDictionary[AbstractEventLoop, _Probe] = WeakKeyDictionary()

    def measure(self, loops: Iterable[AbstractEventLoop]) -> dict[AbstractEventLoop, float]:
        """Measure the lag of the event loops of other threads, all at once.

        Returns:
            Seconds until each loop responded, `MAX_LAG` for one that did not; nothing for a closed
            loop, or for the running loop, which this call blocks.
        """
        try:
            running: AbstractEventLoop | None = get_running_loop()
        except RuntimeError:
            running = None
        # All probes are sent before the first is waited for, so that the waits do not add up.
        probes = {loop: self._probe(loop) for loop in loops if loop is not running}
        return {loop: probe.wait() for loop, probe in probes.items() if probe is not None}

    def _probe(self, loop: AbstractEventLoop) -> _Probe | None:
        """Return the pending probe of a loop, or a new one; None if the loop is closed."""
        if loop.is_closed():
            return None
        # A loop that does not respond must not collect one callback for each scrape.
        probe = self._probes.get(loop)
        if probe is None or probe.is_answered:
            try:
                self._probes[loop] = probe = _Probe(loop)
            except RuntimeError:  # the loop was closed just now
                return None
        return probe
