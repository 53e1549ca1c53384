"""What an item holds of the limits of its stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Protocol

from .meters import LOCK, Hold, Meters


class Grant:
    """What an item holds of the limits of its stage, while the stage works on it.

    Args:
        limits: of the stage.
        clock: of the run.
        holds: one for each limit that bounds the item.
        units: of each.
        limit: name of the limit that the item waited for last; None if it did not wait.
        waited: seconds from the moment when the item might not start until it started.
        error: what `key` or `cost` raised; the item then holds nothing, and fails.
    """

    __slots__ = ("_clock", "_holds", "_limits", "_units", "error", "limit", "waited")

    def __init__(
        self,
        limits: Sequence[Meters],
        clock: Callable[[], float],
        holds: Sequence[Hold] = (),
        units: Sequence[float] = (),
        limit: str | None = None,
        waited: float = 0.0,
        error: BaseException | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._holds = holds
        self._units = units
        self.limit = limit
        self.waited = waited
        self.error = error

    def is_of(self, meters: Meters) -> bool:
        """Return whether the item's stage has a limit, though it may not bound the item."""
        return meters in self._limits

    def holds(self, meters: Meters) -> bool:
        """Return whether the item holds a limit."""
        return any(hold.meters is meters for hold in self._holds)

    def release(self, *, has_succeeded: bool = False) -> None:
        """Let others start in place of the item; called again, this does nothing."""
        with LOCK:
            holds, self._holds = self._holds, ()
            now = self._clock()
            for hold in holds:
                hold.meters.end(hold, now, has_succeeded=has_succeeded)

    def correct(self, meters: Meters, units: float) -> None:
        """Enter how many units of one limit the item has really used."""
        with LOCK:
            now, counted = self._clock(), list(self._units)
            for index, hold in enumerate(self._holds):
                if hold.meters is meters and hold.entry is not None:
                    window, change = hold.meter.window, units - counted[index]
                    assert window is not None
                    window.correct(hold.entry, change, now)
                    counted[index] = units
                    if change < 0:
                        hold.meter.call_next()
            self._units = counted

    def refund(self) -> None:
        """Give back the units of an item for which no attempt is made."""
        for hold in self._holds:
            self.correct(hold.meters, 0.0)

    def overload(self) -> None:
        """Let fewer attempts run at once where the concurrency adapts."""
        with LOCK:
            for hold in self._holds:
                hold.meter.overload(hold.generation)

    def pause(self, meters: Meters, seconds: float) -> None:
        """Let no attempt of the item's key start for some seconds."""
        with LOCK:
            until = self._clock() + seconds
            for hold in self._holds:
                if hold.meters is meters:
                    hold.meter.pause(until)


class Holder(Protocol):
    """A worker, which holds the limits of the item that it works on."""

    @property
    def grant(self) -> Grant | None:
        """What its item holds; None if the stage has no limits."""


CURRENT_HOLDER: ContextVar[Holder | None] = ContextVar("antflow_current_holder", default=None)
"""The worker of the current task; each worker of a stage with limits sets it once."""
